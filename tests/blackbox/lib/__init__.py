"""Helpers of the black-box tests: servers, clients, the contract's grammar, load."""
