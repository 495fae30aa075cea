# SPDX-License-Identifier: MIT
"""Clusters on real MariaDB, Redis and nginx; run by `./test cluster` in a network namespace of its own."""
import os
import pathlib
import subprocess
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "blackbox"))
sys.path.insert(0, str(TESTS.parent / "python"))

from lib.fixtures import pytest_configure, connect  # noqa: E402,F401
from cluster import Cluster, Database  # noqa: E402


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    database = Database(tmp_path_factory.mktemp("mariadb") / "place").start()
    yield database
    database.stop()


@pytest.fixture
def cluster(tmp_path, database):
    """cluster(nodes=3, **options): a running one, judged and ended with the test."""
    made = []

    def start(nodes=3, **options):
        cluster = Cluster(tmp_path, database, nodes, **options)
        made.append(cluster)
        return cluster.start()

    yield start
    for cluster in made:
        cluster.finish()
