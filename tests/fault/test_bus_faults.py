# SPDX-License-Identifier: MIT
"""Redis that comes late, dies, is wedged or refuses: the server goes on, and says so in /readyz and the metrics."""

import pytest

from lib.fixtures import PASSWORD, new_name
from lib.redis import Redis
from lib.server import run_tool, wait_for


@pytest.fixture
def redis(tmp_path):
    one = Redis(tmp_path / "redis")
    yield one
    one.stop()


def node(confabd, redis, name="n1", **options):
    return confabd(name, config={"bus": options.pop("bus", redis.url), "node": name, **options})


def readiness(server):
    status, _, text = server.http("/readyz")
    return status, text


def wait_ready(server):
    wait_for(lambda: readiness(server)[0] == 200, 30, "the bus to be well")


def wait_unready(server, why):
    wait_for(lambda: readiness(server)[0] == 503 and why in readiness(server)[1], 30, why)


def two_talk(server, connect):
    alice, bob = (connect(server, "tcp") for _ in range(2))
    for client, name in ((alice, new_name("alice")), (bob, new_name("bob"))):
        client.login_as(client.call("register", user=name, password=PASSWORD, sync=True))
    alice.send("@" + bob.name, "whatever Redis does")
    assert bob.message()["body"] == "whatever Redis does"


@pytest.mark.tsan
def test_ready_when_its_own_beacon_comes_back(confabd, redis):
    server = node(confabd, redis.start())
    wait_ready(server)
    metrics = server.metrics()
    assert metrics.total("confab_bus_connected") == 1
    assert metrics.total("confab_bus_looped") == 1
    assert metrics.total("confab_bus_publishes_total") > 0
    assert metrics.total("confab_bus_loop_seconds_count") > 0


@pytest.mark.tsan
def test_strangers_in_one_redis_are_no_cluster(confabd, redis):
    """Each has a store of its own, and so a key and an epoch of its own."""
    one, two = node(confabd, redis.start(), "n1"), node(confabd, redis, "n2")
    wait_ready(one)
    wait_ready(two)
    wait_for(lambda: one.metrics().total("confab_bus_rejected_total", reason="epoch") > 0, 20, "strangers")
    assert one.metrics().total("confab_bus_peers") == 0


def test_redis_may_be_absent_at_the_start(confabd, redis, connect):
    server = node(confabd, redis)
    wait_unready(server, "Redis can't be reached")
    two_talk(server, connect)
    assert server.metrics().total("confab_bus_connected") == 0
    redis.start()
    wait_ready(server)


def test_redis_dies_and_returns(confabd, redis, connect):
    server = node(confabd, redis.start())
    wait_ready(server)
    redis.stop()
    wait_unready(server, "Redis")
    two_talk(server, connect)
    assert server.metrics().total("confab_bus_disconnects_total") > 0
    redis.start()
    wait_ready(server)
    assert server.metrics().total("confab_bus_lost_total") > 0


def test_a_wedged_redis(confabd, redis, connect):
    server = node(confabd, redis.start())
    wait_ready(server)
    redis.wedge()
    wait_unready(server, "does not come back")
    two_talk(server, connect)
    wait_unready(server, "does not answer")
    redis.unwedge()
    wait_ready(server)


def test_a_wrong_password_is_not_shown(confabd, redis):
    redis.options += ["--requirepass", "right"]
    server = node(confabd, redis, bus=f"redis://:wr0ng@127.0.0.1:{redis.port}")
    wait_unready(server, "can't be reached")
    redis.start()
    wait_unready(server, "refuses the user or password")
    assert "wr0ng" not in readiness(server)[1] + server.log()


def test_an_address_that_is_none(tmp_path):
    code, _, said = run_tool("--check", "--bus", "redis://127.0.0.1:6379/7", "--node", "n1", "--store", "memory:")
    assert code != 0 and "?cluster=NAME" in said


def test_nodes_need_names(tmp_path):
    code, _, said = run_tool("--check", "--bus", "redis://127.0.0.1", "--store", "memory:")
    assert code != 0 and "--node NAME" in said
