# SPDX-License-Identifier: MIT
"""Clusters on real MariaDB, Redis and nginx; run by `./test cluster` in a network namespace of its own.

--heal FILE writes how long each scenario took to heal: as a table for people, or as JSON where FILE ends so.
"""
import asyncio
import json
import pathlib
import sys
import tempfile

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "blackbox"))
sys.path.insert(0, str(TESTS.parent / "python"))
sys.path.insert(0, str(TESTS / "cluster"))

from lib.fixtures import pytest_configure, connect  # noqa: E402,F401
import heal  # noqa: E402
from cluster import Cluster, Database  # noqa: E402
from network import Here, Network, run  # noqa: E402
from people import Town  # noqa: E402

PATIENCE = 1200


def pytest_addoption(parser):
    parser.addoption("--heal", metavar="FILE", help="write how long it took to heal")


@pytest.fixture(scope="session")
def network():
    """Machines apart from each other; None where there may be none."""
    network = Network() if Network.possible() else None
    yield network
    if network:
        network.end()


@pytest.fixture
def far(network):
    """The network, where a test can't do without."""
    if network is None:
        pytest.skip("needs root and a network namespace of its own: ./test cluster")
    return network


@pytest.fixture(scope="session")
def database(tmp_path_factory, network):
    place = network.place("db") if network else Here
    database = Database(tmp_path_factory.mktemp("mariadb") / "place", place).start()
    yield database
    database.stop()


@pytest.fixture
def small_database(tmp_path, network):
    """One on a disk of its own that is small; inside: where that is mounted."""
    if network is None:
        pytest.skip("needs root and namespaces of its own: ./test cluster")
    inside = pathlib.Path(tempfile.mkdtemp(prefix="confab-small-", dir="/tmp"))   # where MariaDB's user gets to
    run("mount", "-t", "tmpfs", "-o", "size=300m,mode=755", "tmpfs", inside)
    database = Database(tmp_path / "place", inside=inside).start()
    yield database
    database.stop()
    run("umount", "-l", inside)
    inside.rmdir()


@pytest.fixture
def cluster(tmp_path, database):
    """cluster(nodes=3, **options): a running one, judged and ended with the test."""
    made = []

    def start(nodes=3, on=database, **options):
        cluster = Cluster(tmp_path, on, nodes, **options)
        made.append(cluster)
        return cluster.start()

    yield start
    for cluster in made:
        cluster.finish()


@pytest.fixture
def play(tmp_path, record_property):
    """play(cluster, story): people talk, `story(town)` happens, they go on; then all is compared with the log."""
    figures = []

    def play(cluster, story, **options):
        async def whole():
            async with Town(cluster, tmp_path, figures, **options) as town:
                town.talk()
                await town.until_answered(100)
                await story(town)
                await town.until_answered(100)
                await town.settle()

        asyncio.run(asyncio.wait_for(whole(), PATIENCE))

    yield play
    record_property("heal", figures)


# --- What was measured, gathered from all processes ---

_rows = {}


def pytest_runtest_logreport(report):
    figures = dict(report.user_properties).get("heal")
    if report.when == "teardown" and figures:
        name = report.nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ")
        _rows[name.replace("[", ": ").rstrip("]")] = figures


def pytest_terminal_summary(terminalreporter, config):
    if not _rows:
        return
    found = heal.table(_rows)
    terminalreporter.section("time to heal, at worst")
    terminalreporter.write(heal.as_markdown(found))
    file = config.getoption("--heal")
    if file:
        text = json.dumps(found, indent=1, sort_keys=True) + "\n" if file.endswith(".json") else heal.as_markdown(found)
        pathlib.Path(file).write_text(text)
