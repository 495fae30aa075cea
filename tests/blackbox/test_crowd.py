"""A crowd that logs in at once: a few are read at a time, the others wait in line, and all get in."""

import os
import signal

import pytest

from lib.fixtures import PASSWORD
from lib.raw import RAWS
from lib.server import dumps, wait_for

CROWD = 200   # more than one turn of a reactor admits


@pytest.fixture
def crowd(confabd, connect, transport):
    """(server, raw connections, their token): as many as a crowd, connected, and none has said anything."""
    server = confabd(config={"workers": 1, "limit_connections": 2 * CROWD})
    owner = connect(server, transport)
    owner.login_as(owner.call("register", user="crowd", password=PASSWORD, sync=True))
    raws = [RAWS[transport](server.port, timeout=60) for _ in range(CROWD)]
    yield server, raws, owner.token
    for raw in raws:
        raw.socket.close()


def all_at_once(server, raws, data):
    """Whatever it does meanwhile, the server finds all of it when it looks again."""
    wait_for(lambda: server.metrics().total("confab_connections") >= len(raws), what="all connections accepted")
    os.kill(server.pid, signal.SIGSTOP)
    try:
        for raw in raws:
            raw.write(raw.pack(data))
    finally:
        os.kill(server.pid, signal.SIGCONT)


def resume(token):
    return dumps({"id": 1, "method": "resume", "params": {"token": token, "sync": True}})


def test_all_of_a_crowd_get_in(crowd):
    server, raws, token = crowd
    all_at_once(server, raws, resume(token))
    for raw in raws:
        assert raw.answer(1)["result"]["user"] == "crowd"
    metrics = server.metrics()
    assert metrics.total("confab_logins_waited_total") > 0
    assert metrics.total("confab_logins_waiting") == 0


def test_who_is_silent_or_gone_takes_nobodys_place(crowd):
    """Half a request, and connections that end while they wait, among those who log in."""
    server, raws, token = crowd
    halves, going, coming = raws[::4], raws[1::4], raws[2::4] + raws[3::4]
    wait_for(lambda: server.metrics().total("confab_connections") >= len(raws), what="all connections accepted")
    os.kill(server.pid, signal.SIGSTOP)
    try:
        for raw in halves:
            raw.socket.sendall(raw.pack(resume(token))[:12])
        for raw in going + coming:
            raw.write(raw.pack(resume(token)))
        for raw in going:
            raw.socket.close()
    finally:
        os.kill(server.pid, signal.SIGCONT)
    for raw in coming:
        assert raw.answer(1)["result"]["user"] == "crowd"
    assert server.http("/readyz")[0] == 200
    wait_for(lambda: server.metrics().total("confab_logins_waiting") == 0, what="nobody waits any more")
    for raw in halves:
        raw.socket.sendall(raw.pack(resume(token))[12:])
    for raw in halves:
        assert raw.answer(1)["result"]["user"] == "crowd"


def test_what_a_crowd_asks_before_its_login_is_answered_in_order(crowd):
    server, raws, token = crowd
    all_at_once(server, raws, dumps({"id": 1, "method": "ping", "params": {}}))
    for raw in raws:
        raw.write(raw.pack(resume(token)) + raw.pack(dumps({"id": 2, "method": "ping", "params": {}})))
    for raw in raws:
        assert "ts" in raw.answer(1)["result"]
        assert raw.answer()["result"]["user"] == "crowd"
        assert "ts" in raw.answer(2)["result"]
