# SPDX-License-Identifier: MIT
"""A server that all tests of a session share."""
import pytest

from bench_server import Bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("bench"))
    yield bench
    bench.server.finish()
