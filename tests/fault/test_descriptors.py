"""Running out of descriptors refuses new connections and hurts no old one."""

import socket
import time

import pytest

from lib.client import Client
from lib.fixtures import PASSWORD
from lib.load import Load, Sender
from lib.server import wait_for


def probe(port):
    """A connection that got an answer, or None."""
    one = socket.create_connection(("127.0.0.1", port), timeout=10)
    try:
        one.sendall(b'{"id":1,"method":"ping"}\n')
        if b'"result"' in one.recv(65536):
            return one
    except OSError:
        pass
    one.close()
    return None


def fill(server, most):
    """Opens connections until one is refused; gives those that were not."""
    held = []
    for _ in range(most):
        one = probe(server.port)
        if one is None:
            return held
        held.append(one)
    raise AssertionError(f"{most} connections, and none was refused")


@pytest.mark.parametrize("spare", [0, None], ids=["as-configured", "down-to-the-last"])
def test_descriptors_run_out(confabd, spare):
    """With and without the server's own idea of how many connections it can have."""
    config = {} if spare == 0 else {"max_connections": 100_000}
    server = confabd(wrap=["prlimit", "--nofile=140:140"], config=config)
    alice, bob = Client(server.port, "tcp"), Client(server.port, "ws")
    for client, name in ((alice, "alice"), (bob, "bob")):
        client.login_as(client.call("register", user=name, password=PASSWORD, sync=True))
    alice.send("@bob", "before")
    for _ in range(2):
        held = fill(server, 160)
        assert len(held) >= 20
        start = time.monotonic()
        for i in range(20):
            seq = alice.send("@bob", f"while full {i}")["seq"]
            assert bob.message(seq=seq)
        assert time.monotonic() - start < 30
        assert alice.call("history", cid="@bob")["messages"]
        assert probe(server.port) is None
        for one in held:
            one.close()
        wait_for(lambda: (one := probe(server.port)) and (one.close() or True), 15, "a place for a new one")
    metrics = server.metrics()
    assert metrics.total("confab_connections_refused_total") >= 2
    cpu = server.cpu()
    alice.call("ping")
    assert server.cpu() - cpu < 1
    alice.close(), bob.close()


def test_a_full_house_costs_no_spinning(confabd):
    """With connections waiting that can't be accepted the server sleeps."""
    server = confabd(wrap=["prlimit", "--nofile=120:120"], config={"max_connections": 100_000})
    held = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(140)]
    cpu, start = server.cpu(), time.monotonic()
    time.sleep(1.5)     # what is measured is this time
    spent = (server.cpu() - cpu) / (time.monotonic() - start)
    assert spent < 0.5, f"{spent:.2f} cores with nothing to do"
    for one in held:
        one.close()
    wait_for(lambda: (one := probe(server.port)) and (one.close() or True), 15, "a place")


def test_more_connections_than_allowed(confabd):
    server = confabd(config={"max_connections": 10})
    alice = Client(server.port, "tcp")
    alice.login_as(alice.call("register", user="alice", password=PASSWORD))
    held = fill(server, 12)
    assert len(held) == 9
    alice.call("ping")
    assert probe(server.port) is None
    held.pop().close()
    wait_for(lambda: (one := probe(server.port)) and (held.append(one) or True), 10, "a place")
    for one in held:
        one.close()
    alice.close()


def test_load_while_the_door_is_stormed(confabd):
    """Connections that come and go by hundreds do not stop those who are in."""
    server = confabd(wrap=["prlimit", "--nofile=150:150"])
    people = []
    for i in range(4):
        client = Client(server.port, "tcp")
        people.append(client.login_as(client.call("register", user=f"user{i}", password=PASSWORD)))
        client.close()
    load = Load([Sender(server.port, ("tcp", "ws")[i % 2], me["token"], f"@user{i ^ 1}", window=8, prefix=f"s{i}")
                 for i, me in enumerate(people)]).start()
    for _ in range(5):
        storm = []
        for _ in range(150):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", server.port))
            storm.append(one)
        load.wait_answered(load.answered + 100)
        for one in storm:
            one.close()
    load.stop()
    assert not any(s.errors for s in load.senders)
