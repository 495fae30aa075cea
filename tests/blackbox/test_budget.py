"""Where toys come from: what a design that scales must show, in figures."""

import asyncio
import json
import time

import pytest

from lib.client import Client, TcpWire, on_loop
from lib.fixtures import PASSWORD
from lib.load import Load, Sender
from lib.raw import RAWS, Raw, read_all
from lib.rows import add_group, store
from lib.server import dumps, wait_for
from test_slow import Reader

MIB = 1 << 20


def registered(server, count, prefix="user"):
    """So many users, made a few at a time; gives what register answered."""
    async def one(number, wires):
        wire = TcpWire()
        async with wires:
            await wire.open("127.0.0.1", server.port)
            await wire.send(dumps({"id": 1, "method": "register", "params": {"user": f"{prefix}{number}", "password": PASSWORD}}))
            frame = json.loads(await wire.recv())
            await wire.close()
        return frame["result"]

    async def all_of_them():
        wires = asyncio.Semaphore(16)
        return await asyncio.gather(*(one(n, wires) for n in range(count)))

    return on_loop(all_of_them(), timeout=120)


@pytest.mark.slow
def test_group_commit(confabd):
    """64 senders with 16 in flight each: at least 8 rows a batch, at most 2 statements a message."""
    server = confabd()
    people = registered(server, 64)
    load = Load([Sender(server.port, ("tcp", "ws")[i % 2], me["token"], f"@user{i ^ 1}", window=16, prefix=f"s{i:02}")
                 for i, me in enumerate(people)]).start()
    load.wait_answered(2000)
    before = server.metrics()
    load.wait_answered(load.answered + 10_000, timeout=120)
    after = server.metrics()
    load.stop(timeout=60)

    def grew(name):
        return after.total(name) - before.total(name)

    appends, batches = grew("confab_store_appends_total"), grew("confab_store_batches_total")
    assert appends >= 9000
    rows = grew("confab_store_batch_operations_total") / batches
    statements = grew("confab_store_statements_total") / appends
    print(f"{rows:.1f} rows a batch, {statements:.2f} statements a message")
    assert rows >= 8, f"{rows:.1f} rows a batch"
    assert rows < 16 or statements <= 2, f"{statements:.2f} statements a message at {rows:.1f} rows a batch"
    assert statements <= 4
    assert not any(s.errors for s in load.senders)


@pytest.mark.slow
def test_200_stopped_readers(confabd):
    """10,000 messages to 200 who do not read: under 64 MiB, none closed before 30 s, all get all."""
    server = confabd(release=True, config={"limit_connections": 300, "idle_ms": 600_000})
    people = registered(server, 201)
    server.stop()
    with store(server) as db:
        cid = add_group(db, "Everyone", {p["user"]: {} for p in people}, handle="everyone-here")
    server.start()
    readers = [Reader(("tcp", "ws")[i % 2], server, p["token"], receive_buffer=4096) for i, p in enumerate(people[1:])]
    ports = {r.raw.local_port for r in readers}
    before = server.rss()
    start = time.monotonic()
    load = Load([Sender(server.port, "tcp", people[0]["token"], cid, window=64, prefix=f"a{i}", limit=2500, body="x" * 180)
                 for i in range(4)]).start()
    peak = before
    while not load.task.done():
        peak = max(peak, server.rss())
        assert time.monotonic() - start < 28, "the load takes too long for this test to say something"
        time.sleep(0.1)
    load.wait()
    assert load.answered == 10_000
    time.sleep(max(0, start + 22 - time.monotonic()))    # they stand still for a while
    peak = max(peak, server.rss())
    print(f"{(peak - before) / MIB:.1f} MiB for 200 stopped readers")
    assert ports <= set(server.shards()), "none is closed before 30 s"
    assert peak - before < 64 * MIB, f"{(peak - before) / MIB:.1f} MiB"
    head = 10_001
    read_all([r.raw for r in readers], lambda data: b'"seq":10001' in data)
    peak = max(peak, server.rss())
    for reader in readers:
        due = 1
        while due <= head:
            params = json.loads(reader.raw.next_text())["params"]
            if "seq" in params:
                assert params["seq"] == due
                due += 1
            elif "to" in params:
                assert params["from"] == due <= params["to"]
                due = params["to"] + 1
        reader.contract.stream.next[cid] = due
    print(f"{(peak - before) / MIB:.1f} MiB while they were fed")
    assert peak - before < 64 * MIB
    live = Client(server.port, "tcp")
    live.call("resume", token=people[0]["token"])
    seq = live.send(cid, "live")["seq"]
    for reader in readers:
        reader.read_to(cid, seq)
        reader.raw.close()
    live.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tcp", "ws"])
def test_a_thousand_pipelined_history_unread(confabd, kind):
    """60 MB of answers, nobody reads: under 4 MiB more, and all of them come when he does."""
    server = confabd(release=True, config={"idle_ms": 600_000})
    talker = Raw(server.port)
    talker.call("register", user="alice", password=PASSWORD)
    with Raw(server.port) as other:
        other.call("register", user="bob", password=PASSWORD)
    for _ in range(200):
        talker.post("send", to="@bob", body="x" * 300)
    cid = [talker.answer()["result"]["cid"] for _ in range(200)][0]
    reader = RAWS[kind](server.port, receive_buffer=4096)
    reader.call("login", user="bob", password=PASSWORD)
    reader.call("history", cid=cid, limit=200)
    before = server.rss()
    reader.socket.settimeout(2)
    sent = 0
    try:
        for sent in range(1, 1001):
            reader.post("history", cid=cid, limit=200)
    except TimeoutError:
        pytest.fail(f"only {sent} requests of 60 bytes could be written: the kernel alone holds more")
    deadline = time.monotonic() + 3
    peak = before
    while time.monotonic() < deadline:
        peak = max(peak, server.rss())
        time.sleep(0.05)
    print(f"{(peak - before) / MIB:.2f} MiB for 1,000 unread answers")
    assert peak - before < 4 * MIB, f"{(peak - before) / MIB:.1f} MiB"
    reader.socket.settimeout(30)
    answered = set()
    for _ in range(1000):
        frame = reader.answer()
        assert len(frame["result"]["messages"]) == 200
        answered.add(frame["id"])
    assert len(answered) == 1000
    reader.close()
    talker.close()


@pytest.mark.parametrize("kind", ["tcp", "ws"])
def test_more_than_one_reactor_works(server, kind):
    clients = [Client(server.port, kind) for _ in range(9)]
    for client in clients:
        client.call("ping")
    shards = server.shards()
    used = [shards[c.local_port] for c in clients]
    assert len(set(used)) == 3, "nine connections are dealt to three reactors"
    for client in clients:
        client.close()


@pytest.mark.slow
def test_idle_connections_own_no_buffer(confabd):
    """1,000 logged-in connections that were busy once, over TCP and WebSocket: little more than their structs."""
    server = confabd(release=True, config={"limit_connections": 2000, "idle_ms": 600_000})
    alice = registered(server, 1)[0]

    def crowd(count, kind):
        found = []
        for _ in range(count):
            one = RAWS[kind](server.port)
            one.call("resume", token=alice["token"], sync=True)
            one.write(one.pack('{"id":"big","method":"ping","x":"' + "y" * 60_000 + '"}'))
            assert one.answer("big")["result"]
            found.append(one)
        return found

    warm = crowd(100, "tcp") + crowd(100, "ws")
    before = server.rss()
    more = crowd(400, "tcp") + crowd(400, "ws")
    print(f"{(server.rss() - before) / 800:.0f} bytes for an idle connection")
    wait_for(lambda: (server.rss() - before) / 800 < 4096, 10, "less than 4 KiB for an idle connection")
    for one in warm + more:
        one.close()
