# SPDX-License-Identifier: MIT
"""Nodes on one store and one Redis: they hear each other, and of each other's coming and going."""

import pytest

from lib import mariadb
from lib.fixtures import PASSWORD, new_name
from lib.redis import Redis
from lib.server import wait_for


@pytest.fixture
def redis(tmp_path):
    one = Redis(tmp_path / "redis").start()
    yield one
    one.stop()


@pytest.fixture
def nodes(confabd, redis):
    _, url = mariadb.shared().database()

    def start(name):
        server = confabd(name, config={"store": url, "bus": redis.url, "node": name})
        wait_for(lambda: server.http("/readyz")[0] == 200, 30, f"{name} to be ready")
        return server

    return start


def wait_peers(server, count):
    wait_for(lambda: server.metrics().total("confab_bus_peers") == count, 30, f"{count} peers")


def person(connect, server, name):
    client = connect(server, "tcp")
    client.login_as(client.call("register", user=new_name(name), password=PASSWORD, sync=True))
    return client


@pytest.mark.tsan
def test_messages_cross(nodes, connect):
    one, two = nodes("n1"), nodes("n2")
    wait_peers(one, 1)
    wait_peers(two, 1)
    alice, bob = person(connect, one, "alice"), person(connect, two, "bob")
    for i in range(20):
        alice.send("@" + bob.name, f"to the other node {i}")
        assert bob.message()["body"] == f"to the other node {i}"
    assert two.metrics().total("confab_bus_rings_heard_total", **{"from": "others"}) > 0
    assert two.metrics().total("confab_bus_rejected_total") == 0


def test_a_node_goes_with_a_good_bye_or_without(nodes):
    one, two, three = nodes("n1"), nodes("n2"), nodes("n3")
    wait_peers(one, 2)
    two.stop()
    wait_peers(one, 1)
    assert "why=good-bye" in one.log()
    three.kill9()
    wait_peers(one, 0)
    one.wait_log("node_down peer=n3 why=silent")
    two.start()
    wait_peers(one, 1)
