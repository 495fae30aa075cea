# SPDX-License-Identifier: MIT
"""What is left out of the suite that runs against several nodes is there, and has a reason."""

import ast
import pathlib

import pytest

BLACKBOX = pathlib.Path(__file__).resolve().parents[1] / "blackbox"


def left_out():
    """The table, without importing what it needs."""
    for node in ast.parse((BLACKBOX / "lib/across.py").read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "LEFT_OUT":
            return ast.literal_eval(node.value)
    raise AssertionError("lib/across.py has no LEFT_OUT")


@pytest.mark.parametrize("what, why", left_out().items())
def test_what_is_left_out_exists(what, why):
    module, _, test = what.partition("::")
    assert (BLACKBOX / module).is_file() and why
    names = [node.name for node in ast.parse((BLACKBOX / module).read_text()).body if isinstance(node, ast.FunctionDef)]
    assert not test or test in names, f"{module} has no {test}"
    assert not test or module not in left_out(), f"all of {module} is left out"
