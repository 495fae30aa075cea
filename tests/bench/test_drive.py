# SPDX-License-Identifier: MIT
"""The generator of bench/compare: right over every carrier, and not to be deceived by any server."""
import os
import pathlib
import socket
import threading

import pytest

import bars
import peers
from lab import Crowd, Failed, Lab

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CONFABD_RELEASE", TOP / "build/release/bin/confabd")).resolve().parent.parent


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setattr("lab.SERVER_CORE", "0-1")
    monkeypatch.setattr("lab.GENERATOR_CORE", "0-1")
    lab = Lab(BUILD, str(tmp_path), True)
    yield lab
    lab.stop_all()


@pytest.mark.parametrize("carrier", ["tcp", "ws", "tls"])
def test_fanout_over_each_carrier(lab, carrier):
    cert, key = lab.certificate()
    data, tokens = lab.store("fan", 10, [range(1, 11)])
    server = lab.confabd(data, tls_cert=cert, tls_key=key)
    run = lab.generate(server, "confab", "fanout", tokens=tokens, members=10, burst=4, rounds=10, carrier=carrier)
    assert run["units"] == 400 and run["verified"] == 4 * 10 * (10 + 2) and run["server_cpu_s"] > 0
    assert 250 < run["bytes_per_delivery"] < 600


def test_a_crowd_stays_and_runs_again(lab):
    data, tokens = lab.store("fan", 5, [range(1, 6)])
    crowd = lab.crowd(lab.confabd(data), "confab", tokens=tokens, members=5, burst=2)
    assert [crowd.run(3)["verified"] for _ in range(2)] == [2 * 5 * 4, 2 * 5 * 8]


@pytest.mark.parametrize("frame", [200, 360])
def test_the_floors_of_fanout(lab, frame):
    load = {"members": 5, "burst": 4, "rounds": 5, "frame": frame}
    plain = lab.generate(lab.floor("fan"), "floor", "fanout", **load)
    secret = lab.generate(lab.floor("fan_tls", *lab.certificate()), "floor", "fanout", carrier="tls", **load)
    assert plain["bytes_per_delivery"] == secret["bytes_per_delivery"] == frame


def test_messages_spread_over_conversations(lab, monkeypatch):
    monkeypatch.setattr(bars, "PAIRS", 6)
    monkeypatch.setattr(bars, "SPREAD", 4)
    data, tokens = bars.spread_store(lab, "spread", 100)
    server = lab.confabd(data)
    for _ in range(2):
        run = lab.generate(server, "confab", "direct", tokens=tokens, pairs=6, spread=4, window=3, messages=300)
        assert run["verified"] == 2 * (300 + 300 // 10 + 6)


def test_floor_d_and_latencies(lab):
    floor = lab.floor("direct", lab.path("floor.db"))
    run = lab.generate(floor, "floor", "direct", pairs=3, window=4, messages=200, rate=2000)
    assert 0 < run["p50_us"] <= run["p90_us"] <= run["p99_us"] <= run["p999_us"]


def test_coming_back(lab):
    groups = [range(1, 11)] * 3
    data, tokens = lab.store("resume", 10, groups)
    load = {"users": 10, "window": 4, "resumes": 40}
    ours = lab.generate(lab.confabd(data), "confab", "resume", tokens=tokens, **load)
    data, _ = lab.store("other", 10, groups)
    floor = lab.generate(lab.floor("resume", os.path.join(data, "confab.db")), "floor", "resume", **load)
    assert ours["verified"] >= 44 and floor["verified"] >= 44


def test_who_only_writes(lab):
    data, tokens = lab.store("ingest", 3, [range(1, 4)])
    run = lab.generate(lab.confabd(data), "confab", "ingest", tokens=tokens, senders=3, window=8, messages=200)
    assert run["units"] == 200 and run["verified"] == 220


def test_idle_connections_open_in_steps(lab):
    data, tokens = lab.store("idle", 6)
    server = lab.confabd(data)
    people = Crowd(lab, server, "idle", "confab", tokens=tokens)
    assert [people.tell(f"open {count}") for count in (2, 6)] == ["ok", "ok"]
    assert server.metric("confab_connections") == 6 + 1, "and the one that asks"


class FalseServer(threading.Thread):
    """Of one member who is the author too: gives him back what he says, but for one fault at the tenth message."""

    def __init__(self, style, fault):
        super().__init__(daemon=True)
        self.style, self.fault, self.count = style, fault, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.pid = self.listener.getsockname()[1], os.getpid()
        self.start()

    def run(self):
        with self.listener, self.listener.accept()[0] as s, s.makefile("rb") as lines:
            for line in lines:
                if line.startswith(b"PING"):
                    s.sendall(b"PONG\r\n")
                elif line.startswith(b"PUB"):
                    s.sendall(b"".join(b"MSG c 1 200\r\n" + text for text in self.spoilt(lines.readline())))

    def spoilt(self, text):
        self.count += 1
        if self.count != 10:
            return [text]
        return {"none": [text], "lost": [], "twice": [text, text], "altered": [text[:100] + b"y" + text[101:]],
                "cut": [text[:150] + b"\r\n"], "swapped": [text.replace(b"00000000010", b"00000000011")]}[self.fault]


@pytest.mark.parametrize("fault", ["none", "lost", "twice", "altered", "cut", "swapped"])
def test_a_fault_of_a_server_is_found(lab, fault):
    server = FalseServer("nats", fault)
    if fault == "none":
        assert lab.generate(server, "nats", "fanout", group="c", members=1, burst=4, rounds=10)["verified"] == 48
        return
    with pytest.raises(Failed):
        lab.generate(server, "nats", "fanout", group="c", members=1, burst=4, rounds=10)


@pytest.mark.parametrize("peer", peers.ALL, ids=lambda peer: peer.name)
def test_a_peer_is_bound_to_loopback_and_keeps_to_its_home(peer, tmp_path):
    args = peer.config(str(tmp_path), 12345)
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "127.0.0.1" in written and "12345" in written and "0.0.0.0" not in written
    assert any(str(tmp_path) in word for word in [*args, *peer.env.values()])
