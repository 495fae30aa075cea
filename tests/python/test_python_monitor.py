# SPDX-License-Identifier: MIT
"""python/monitor.py: as a process against real servers, and its arithmetic."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import threading
import time

import pytest

import monitor
from helpers import PATIENCE, TESTS
from lib.mariadb import MariaDB
from lib.redis import Redis
from lib.server import wait_for

MONITOR = TESTS.parent / "python" / "monitor.py"


def run(*words):
    return subprocess.run([sys.executable, MONITOR, *words], text=True, capture_output=True, timeout=60,
                          env={**os.environ, "LC_ALL": "C.UTF-8"})


@pytest.fixture
def busy(server, user):
    """A server on which two people talk all the time."""
    alice, bob = user("alice"), user("bob")
    ended = threading.Event()

    def talk():
        while not ended.is_set():
            alice.send("@" + bob.name, "hi")

    talking = threading.Thread(target=talk)
    talking.start()
    yield server
    ended.set()
    talking.join()


def test_one_look_as_json(busy):
    look = run("--json", "--every", "0.5", f"127.0.0.1:{busy.port}")
    assert look.returncode == 0, look.stderr
    said = json.loads(look.stdout)
    assert len(said["nodes"]) == 1 and said["nodes"][0]["ready"] is True
    node = said["nodes"][0]
    assert node["connections"] >= 2 and node["online"] >= 2
    assert node["in_per_s"] > 0 and node["out_per_s"] > 0 and node["batch"] >= 1
    assert 0 < node["commit_p50_s"] <= node["commit_p99_s"]
    assert node["store_up"] == 1 and node["store_breaks"] == 0
    assert [node[key] for key in node if key.startswith("bus_")] == [None] * 5, "there is no Redis to be well or ill"
    assert said["total"]["in_per_s"] == node["in_per_s"] and said["total"]["bus_up"] is None


def test_redis_and_the_database_of_a_cluster(confabd, tmp_path):
    database, redis = MariaDB().start(), Redis(tmp_path / "redis").start()
    try:
        url = database.database()[1]
        nodes = [confabd(name, config={"store": url, "bus": redis.url, "node": name}) for name in ("n1", "n2")]
        where = [f"127.0.0.1:{node.port}" for node in nodes]

        def look():
            return json.loads(run("--json", "--every", "0.7", *where).stdout)

        def wait(condition, what):
            return wait_for(lambda: [said for said in [look()] if condition(said)], 40, what, step=0.1)[0]

        said = wait(lambda said: said["total"]["bus_up"] == 1 and said["total"]["bus_peers"] == 1, "both to hear each other")
        assert said["total"]["store_up"] == 1
        said = wait(lambda said: all(node["bus_publishes_per_s"] for node in said["nodes"]), "beacons")
        assert said["total"]["bus_publishes_per_s"] == sum(node["bus_publishes_per_s"] for node in said["nodes"])
        assert 0 < wait(lambda said: said["total"]["bus_lag_p99_s"], "beacons that come back")["total"]["bus_lag_p99_s"] < 20
        redis.stop()
        said = wait(lambda said: all(node["bus_up"] == 0 and not node["ready"] for node in said["nodes"]), "Redis to be missed")
        assert said["total"]["bus_up"] == 0
        assert said["total"]["store_up"] == 1
        wait(lambda said: all(node["bus_breaks"] > 0 for node in said["nodes"]), "what was tried in vain")
        database.kill9()
        wait(lambda said: all(node["store_up"] == 0 and node["store_breaks"] > 0 for node in said["nodes"]), "the database to be missed")
        heading, *lines = run("--once", "--every", "0.1", *where).stdout.splitlines()
        assert len(lines) == 3 and all(line.count("DOWN") == 2 for line in lines), lines
        database.start()
        redis.start()
        wait(lambda said: said["total"]["store_up"] == 1 and said["total"]["bus_up"] == 1, "both to come back")
    finally:
        redis.stop()
        database.finish()


def test_a_node_that_is_not_there_is_said_so(server):
    look = run("--once", "--every", "0.1", f"127.0.0.1:{server.port}", "127.0.0.1:1")
    assert look.returncode == 1
    heading, first, second, total = look.stdout.splitlines()
    assert heading.split()[0] == "node" and total.split()[0] == "total"
    assert first.endswith("ready") and "can't be reached" in second and "refused" in second


def test_a_node_that_does_not_serve(confabd):
    server = confabd("ill")
    look = run("--once", "--every", "0.1", f"http://127.0.0.1:{server.port}/")
    assert look.returncode == 0 and look.stdout.rstrip().endswith("ready")
    server.stop()
    assert run("--once", "--every", "0.1", f"127.0.0.1:{server.port}").returncode == 1


def test_wrong_words():
    assert run("--every", "0", "x").returncode == 2
    done = run("127.0.0.1:1")
    assert done.returncode == 2 and "needs a terminal" in done.stderr


def test_on_a_terminal(busy):
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe(sys.executable, [sys.executable, str(MONITOR), "--every", "0.2", f"127.0.0.1:{busy.port}",
                                    "127.0.0.1:1"],
                   {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", "LINES": "40", "COLUMNS": "160"})
    seen = ""

    def wait(pattern):
        nonlocal seen
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, seen):
            ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{pattern!r} did not appear; there was {seen!r}"
            seen += os.read(fd, 65536).decode(errors="replace")

    wait("1 of 2 ready")
    wait("commit p99|ack p99")
    wait("█")   # the highest of a sparkline
    os.write(fd, b"q")
    try:
        while os.read(fd, 65536):
            pass
    except OSError:
        pass
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    assert os.waitstatus_to_exitcode(status) == 0


def test_quantiles_are_of_what_came_between():
    old = monitor.parse('h_bucket{le="1"} 5\nh_bucket{le="2"} 5\nh_bucket{le="+Inf"} 5\n')
    new = monitor.parse('h_bucket{le="1"} 6\nh_bucket{le="2"} 15\nh_bucket{le="+Inf"} 15\n')
    assert monitor.quantile(old, new, "h", 0.05) == 1
    assert monitor.quantile(old, new, "h", 0.5) == 2
    assert monitor.quantile(new, new, "h", 0.5) is None
    assert monitor.total(monitor.parse('a{b="x"} 1\na{b="y"} 2\n'), "a") == 3
