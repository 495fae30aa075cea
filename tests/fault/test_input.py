"""Input that no client of ours would send: too long, malformed, too slow, cut off."""

import json
import random
import socket
import struct
import time

import pytest

from lib.client import Client
from lib.fixtures import PASSWORD, new_name
from lib.raw import PING, RAWS, Plain, Raw, RawWs, ws_frame
from lib.server import wait_for


def closed_at(connection, timeout=60):
    """Reads to the end; gives the seconds it took and the frames."""
    start = time.monotonic()
    connection.socket.settimeout(timeout)
    frames = connection.at_end()
    return time.monotonic() - start, frames


def reasons(frames):
    return [f["params"]["reason"] for f in frames if f.get("method") == "goaway"]


# --- Deadlines ---

@pytest.mark.parametrize("kind", ["tcp", "ws"])
@pytest.mark.parametrize("habit", ["silent", "pings", "drips"])
def test_who_does_not_log_in_is_closed(confabd, kind, habit):
    """Silent, or busy with everything but logging in, or a byte at a time."""
    server = confabd(config={"login_ms": 1200})
    start = time.monotonic()
    connection = RAWS[kind](server.port)
    connection.socket.settimeout(0.1)
    ended = False
    while not ended and time.monotonic() - start < 15:
        try:
            if habit == "pings":
                connection.post("ping")
            elif habit == "drips":
                connection.write(b" " if kind == "tcp" else b"")
            ended = not connection.read_some()
        except TimeoutError:
            pass
        except (ConnectionResetError, BrokenPipeError):
            ended = True
    assert ended and 1.0 <= time.monotonic() - start < 25


def test_slow_heads_of_http_and_tls_are_closed(confabd):
    server = confabd(config={"login_ms": 1000})
    start = time.monotonic()
    slow = [Raw(server.port, first=first) for first in (b"GET /healthz HTTP/1.1\r\nX: ", b"GE", b"\x16\x03", b"{", b"PROX", b"")]
    for connection in slow:
        assert connection.at_end() == []
        connection.close()
    assert time.monotonic() - start < 25


@pytest.mark.parametrize("kind", ["tcp", "ws"])
def test_who_logs_in_in_time_stays(confabd, kind):
    server = confabd(config={"login_ms": 1000})
    with RAWS[kind](server.port) as connection:
        connection.call("register", user="alice", password=PASSWORD)
        time.sleep(1.8)     # beyond the deadline that does not hold any more
        connection.call("ping")


@pytest.mark.parametrize("kind", ["tcp", "ws"])
def test_who_says_nothing_is_closed_as_idle(confabd, kind):
    server = confabd(config={"idle_ms": 3000})
    quiet, busy, pinging = RAWS[kind](server.port), RAWS[kind](server.port), RawWs(server.port)
    for connection in (quiet, busy, pinging):
        connection.call("register", user=new_name(), password=PASSWORD)
    assert busy.call("hello")["limits"]["idle_ms"] == 3000
    start = time.monotonic()
    while time.monotonic() - start < 7:
        busy.call("ping")
        pinging.write(ws_frame(PING, b"here"))
        pinging.next_frame()
        time.sleep(0.2)     # the pace of a client that says it is there
    _, frames = closed_at(quiet)
    assert reasons(frames) == ["idle"]
    assert "reconnect_ms" not in frames[-1]["params"] or frames[-1]["params"]["reconnect_ms"] >= 0
    busy.call("ping")
    pinging.call("ping")
    for connection in (quiet, busy, pinging):
        connection.close()


def test_listening_alone_does_not_keep_a_connection(confabd):
    """What the server sends is no sign of the client's life."""
    server = confabd(config={"idle_ms": 3000})
    alice, bob = Client(server.port, "tcp"), Raw(server.port)
    alice.login_as(alice.call("register", user="alice", password=PASSWORD))
    bob.call("register", user="bob", password=PASSWORD, sync=True)
    start = time.monotonic()
    while time.monotonic() - start < 7:
        alice.send("@bob", "are you there?")
        time.sleep(0.1)     # a steady stream
    _, frames = closed_at(bob)
    assert reasons(frames) == ["idle"]
    alice.close(), bob.close()


# --- Half-open, cut off ---

def vanish(connection):
    """The socket goes without a word: neither FIN nor RST."""
    connection.setsockopt(socket.IPPROTO_TCP, 19, 1)    # TCP_REPAIR
    connection.close()


def test_half_open_connections_are_noticed(confabd):
    server = confabd(config={"idle_ms": 2000, "login_ms": 2000})
    alice = Client(server.port, "tcp")
    alice.login_as(alice.call("register", user="alice", password=PASSWORD, sync=True))
    gone = Raw(server.port)
    gone.call("register", user="gone", password=PASSWORD, sync=True)
    wait_for(lambda: alice.call("presence.get", users=["gone"])["users"][0]["state"] == "online", 10, "gone online")
    port = gone.local_port
    vanish(gone.socket)
    for i in range(5):
        alice.send("@gone", f"into the void {i}")
    wait_for(lambda: port not in server.shards(), 15, "the end of the half-open connection", step=0.1)
    wait_for(lambda: alice.call("presence.get", users=["gone"])["users"][0]["state"] == "offline", 15, "gone offline", step=0.1)
    alice.close()


@pytest.mark.parametrize("kind", ["tcp", "ws"])
def test_resets_at_any_point(server, kind):
    """Connections cut within frames, requests and answers leave nothing behind."""
    rng = random.Random(5)
    before = server.metrics().total("confab_connections")
    alice = Client(server.port, "tcp")
    alice.login_as(alice.call("register", user=new_name("alice"), password=PASSWORD))
    for _ in range(60):
        connection = RAWS[kind](server.port)
        script = [("resume", {"token": alice.token, "sync": True}), ("ping", {}), ("session.list", {}),
                  ("user.find", {"query": "user"}), ("who", {"scope": "all"})]
        data = b"".join(connection.pack(f'{{"id":{i},"method":"{m}","params":{json.dumps(p)}}}')
                        for i, (m, p) in enumerate(script))
        connection.write(data[:rng.randrange(len(data))])
        if rng.random() < 0.5:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    wait_for(lambda: server.metrics().total("confab_connections") <= before + 1, 15, "the connections to be gone")
    alice.call("ping")
    alice.close()


@pytest.mark.parametrize("kind", ["tcp", "ws"])
def test_a_cut_off_request_is_not_carried_out(server, kind):
    alice, bob = RAWS[kind](server.port), Client(server.port, "tcp")
    alice.call("register", user=new_name("alice"), password=PASSWORD)
    bob.login_as(bob.call("register", user=new_name("bob"), password=PASSWORD))
    whole = alice.pack(f'{{"id":5,"method":"send","params":{{"to":"@{bob.name}","body":"cut off"}}}}')
    alice.write(whole[:-3])
    alice.socket.shutdown(socket.SHUT_WR)
    alice.at_end() if kind == "tcp" else None
    alice.close()
    assert bob.call("sync")["total"] == 0
    bob.close()


def test_printf_pipe_nc(server):
    """As a person would do it: everything in one go, then end of input; the answers come, then the end."""
    name = new_name("nc")
    lines = "\n".join([f'{{"id":1,"method":"register","params":{{"user":"{name}","password":"{PASSWORD}"}}}}',
                       f'{{"id":2,"method":"send","params":{{"to":"@{name}x","body":"x"}}}}', '{"id":3,"method":"who","params":{"scope":"all"}}',
                       '{"id":4,"method":"ping"}']) + "\n"
    with Raw(server.port, first=lines.encode()) as connection:
        connection.socket.shutdown(socket.SHUT_WR)
        frames = connection.at_end()
    assert sorted(f["id"] for f in frames) == [1, 2, 3, 4]
    assert frames[0]["id"] == 1 and frames[0]["result"]["user"] == name


# --- Malformed ---

def test_random_bytes(server):
    rng = random.Random(6)
    for i in range(60):
        kind = (Raw, Raw, RawWs, Plain)[i % 4]
        with kind(server.port) as connection:
            junk = rng.randbytes(rng.randrange(1, 6000))
            start = {Raw: (b"", b'{"id":1,"method":"ping"}\n', b"{", b"GET ", b"\x16\x03\x01"), RawWs: (b"", b"\x81", b"\x89\x80"),
                     Plain: (b"GET /ws HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 5000\r\n\r\n")}[kind]
            try:
                connection.write(rng.choice(start) + junk)
                connection.socket.shutdown(socket.SHUT_WR)
                while connection.read_some():
                    pass
            except OSError:
                pass
    assert server.http("/healthz")[0] == 200


def test_mutated_requests(server):
    """Requests with a few bytes changed: every line is answered with an error or a result, or the end comes."""
    rng = random.Random(7)
    name = new_name("mut")
    with Raw(server.port) as connection:
        token = connection.call("register", user=name, password=PASSWORD)["token"]
    lines = [f'{{"jsonrpc":"2.0","id":1,"method":"send","params":{{"to":"@{name}","body":"x","cmid":"c","data":{{"a":[1,2]}}}}}}',
             '{"id":2,"method":"history","params":{"cid":1,"limit":5,"before":10}}', '{"id":"3","method":"sync","params":{"backlog":5}}',
             '{"id":4,"method":"mark","params":{"cid":1,"read":5}}', '{"id":5,"method":"who","params":{"scope":"all","limit":5}}',
             '{"id":6,"method":"user.find","params":{"query":"mu","limit":5}}', '{"id":7,"method":"session.list"}']
    for _ in range(120):
        with Raw(server.port, timeout=10) as connection:
            connection.call("resume", token=token)
            for _ in range(8):
                line = bytearray(rng.choice(lines).encode())
                for _ in range(rng.randrange(1, 4)):
                    at = rng.randrange(len(line))
                    what = rng.randrange(3)
                    if what == 0:
                        line[at] = rng.randrange(256)
                    elif what == 1:
                        del line[at]
                    else:
                        line[at:at] = bytes([rng.choice(b'{}[]",:\\0e.-nt \xc3\xff')])
                connection.write(bytes(line).replace(b"\n", b" ") + b"\n")
            connection.write(b'{"id":"last","method":"ping"}\n')
            while True:
                frame = connection.next()
                if frame is None or frame.get("id") == "last":
                    break
                assert "error" not in frame or frame["error"]["data"]["name"] != "internal", frame
    assert server.http("/healthz")[0] == 200


@pytest.mark.parametrize("bad", [b"\xff", b"\xc0\xaf", b"\xe2\x82", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xf4\x90\x80\x80"])
def test_what_is_not_utf_8_is_a_parse_error_over_tcp(server, bad):
    with Raw(server.port) as connection:
        for line in (b'{"id":1,"method":"ping","x":"' + bad + b'"}\n', b'{"id":1,"' + bad + b'":1}\n', b"{" + bad + b"}\n"):
            connection.write(line)
            frame = connection.next()
            assert frame["id"] is None and frame["error"]["data"]["name"] == "parse_error"
        connection.call("ping")


@pytest.mark.parametrize("size", [5_000, 100_000, 3_000_000])
def test_a_line_without_end(server, size):
    """It is refused when it is too long, not when it ends."""
    before = server.rss()
    with Raw(server.port) as connection:
        try:
            connection.write(b'{"id":1,"x":"' + b"y" * size)
        except OSError:
            pass
        try:
            frames = connection.at_end()
        except ConnectionError:
            frames = []
        assert [f["error"]["data"]["name"] for f in frames if "error" in f] in (["too_large"], [])
    assert server.rss() - before < 32 << 20


def test_many_at_once_that_send_halves(server):
    """250 connections with half a frame each: all of them stand, others are served."""
    held = [Raw(server.port, first=b'{"id":1,"method":"register","params":{"user":"' + b"x" * 2000) for _ in range(250)]
    alice = Client(server.port, "ws")
    alice.login_as(alice.call("register", user=new_name(), password=PASSWORD))
    for one in held:
        one.write(b'"}}\n')
    for one in held:
        assert one.next()["error"]["data"]["name"] == "invalid_params"
        one.close()
    alice.close()
