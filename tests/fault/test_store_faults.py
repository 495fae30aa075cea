"""Faults of the store: before COMMIT, at COMMIT, and a disk that does not answer.  Never a false ack."""

import contextlib
import sqlite3
import subprocess
import time

import pytest
from inject import fill, injected, injections, small_disk

from lib.client import Client, RpcError, on_loop
from lib.fixtures import PASSWORD
from lib.load import Load, Sender
from lib.raw import Plain
from lib.server import wait_for

TRANSPORTS = ("tcp", "ws")


class Town:
    """A server with two users, one talking to the other, and the truth about what was said."""

    def __init__(self, server):
        self.server = server
        self.tokens = {}
        for name in ("alice", "bob"):
            client = Client(server.port, "tcp")
            self.tokens[name] = client.call("register", user=name, password=PASSWORD)["token"]
            client.close()
        self.client = self.enter("alice")
        self.cid = self.client.send("@bob", "first", cmid="c-first")["cid"]
        self.sent = {"c-first": "first"}
        self.answered = {"c-first": 1}

    def enter(self, name, transport="tcp", **more):
        client = Client(self.server.port, transport)
        client.login_as(client.call("resume", token=self.tokens[name], **more))
        return client

    def again(self):
        """After a restart."""
        if self.client.ended is None:
            self.client.close()
        self.client = self.enter("alice")

    def try_send(self, cmid):
        """Sends; gives the error's name, or None when it was answered with a seq."""
        body = self.sent.setdefault(cmid, f"body of {cmid}")
        try:
            result = self.client.call("send", to=self.cid, body=body, cmid=cmid)
        except RpcError as error:
            return error.name
        assert self.answered.setdefault(cmid, result["seq"]) == result["seq"], "another place than before"
        return None

    def settle(self, names=None):
        """Everything without an answer again, until it has one."""
        for cmid in names or [c for c in self.sent if c not in self.answered]:
            wait_for(lambda: self.try_send(cmid) is None, 20, f"an answer to {cmid}", step=0.1)

    def judge(self):
        """Through the protocol and by SQL: what was answered is at its place, everything once, seqs dense."""
        entries, after = [], 0
        while True:
            page = self.client.call("history", cid=self.cid, after=after, limit=200)
            entries += page["messages"]
            if not page["more"]:
                break
            after = entries[-1]["seq"]
        assert [m["seq"] for m in entries] == list(range(1, page["head"] + 1)), "dense"
        places = {m["cmid"]: m["seq"] for m in entries}
        assert len(places) == len(entries), "nothing twice"
        for cmid, seq in self.answered.items():
            assert places.get(cmid) == seq, f"a false answer: {cmid} was told {seq}, and is at {places.get(cmid)}"
        assert set(places) <= set(self.sent)
        for entry in entries:
            assert entry["body"] == self.sent[entry["cmid"]]
        assert self.server.sql("SELECT cmid, seq FROM msg ORDER BY seq") == sorted(places.items(), key=lambda kv: kv[1])
        assert self.server.sql("PRAGMA integrity_check") == [("ok",)]
        return places


def not_ready(server):
    return server.http("/readyz")[0] == 503


# --- Before COMMIT ---

def broken_writes(town, count=12):
    """Sends while nothing can be written; what they were answered."""
    return [town.try_send(f"c-broken-{len(town.sent)}") for _ in range(count)]


def check_refusing(town, server):
    """While the store can't write: reads work, writes are unavailable, health tells."""
    assert town.client.call("history", cid=town.cid)["head"] >= 1
    town.client.call("ping")
    with_error = Client(server.port, "tcp")
    frame = with_error.frame(with_error.post("register", user="carol", password=PASSWORD))
    assert frame["error"]["data"]["name"] in ("unavailable", "unknown_outcome") and frame["error"]["data"]["retry"] is True
    with_error.close()
    wait_for(lambda: not_ready(server), 10, "readyz to say no")
    assert server.http("/healthz")[0] == 200


def test_disk_full(confabd):
    """On a small tmpfs: unavailable while it is full, as before when there is room again."""
    server = confabd(started=False)
    with small_disk(server.data, "12m"):
        server.start()
        town = Town(server)
        for i in range(20):
            assert town.try_send(f"c-fine-{i}") is None
        for round_ in range(3):
            ballast = fill(server.data)
            names = broken_writes(town, 20)
            refused = [n for n in names if n]
            assert set(refused) == {"unavailable"}, names
            assert names[-1] == "unavailable" and len(refused) >= 5
            check_refusing(town, server)
            # What was refused as unavailable is not there.
            stored = {row[0] for row in server.sql("SELECT cmid FROM msg")}
            assert not [c for c in town.sent if c not in town.answered and c in stored]
            if round_ == 1:
                server.kill9()
                ballast.unlink()
                server.start()
                town.again()
            else:
                ballast.unlink()
            town.settle()
            wait_for(lambda: not not_ready(server), 10, "readyz to say yes")
            town.judge()
        town.client.close()
        server.stop()


def test_read_only_files(confabd):
    """The files turn immutable under the running server."""
    server = confabd()
    town = Town(server)
    for i in range(5):
        assert town.try_send(f"c-fine-{i}") is None
    files = [str(server.db), str(server.db) + "-wal"]
    subprocess.run(["chattr", "+i", *files], check=True)
    try:
        names = broken_writes(town)
        assert set(names) <= {"unavailable"}, names
        check_refusing(town, server)
    finally:
        subprocess.run(["chattr", "-i", *files], check=True)
    stored = {row[0] for row in server.sql("SELECT cmid FROM msg")}
    assert not [c for c in town.sent if c not in town.answered and c in stored]
    town.settle()
    town.judge()
    town.client.close()


@pytest.mark.parametrize("error", ["EROFS", "EIO", "ENOSPC", "EDQUOT"])
def test_writes_that_fail(confabd, error):
    """The log's writes fail with every error a disk can have."""
    server = confabd()
    town = Town(server)
    with injected(server, "pwrite64,write,pwritev", f"error={error}:when=1+", path=str(server.db) + "-wal") as log:
        names = broken_writes(town, 8)
        assert all(names), "no answer while nothing can be written"
        assert set(names) <= {"unavailable", "unknown_outcome"}, names
        assert "unavailable" in names
        assert injections(log) > 0
        check_refusing(town, server)
    town.settle()
    town.judge()
    town.client.close()


def test_writes_that_fail_under_load(confabd):
    """Batches of many, on both transports: each one is answered, and settles."""
    server = confabd()
    town = Town(server)
    senders = [Sender(server.port, TRANSPORTS[i % 2], town.tokens["alice"], town.cid, window=16, prefix=f"l{i}") for i in range(6)]
    load = Load(senders).start()
    load.wait_answered(200)
    with injected(server, "pwrite64", "error=ENOSPC:when=30+211", path=str(server.db) + "-wal") as log:
        wait_for(lambda: injections(log) >= 5, 30, "some faults")
        load.wait_answered(load.answered + 20)
    load.stop(timeout=30)
    names = {e["data"]["name"] for s in senders for _, e in s.errors}
    assert names <= {"unavailable", "unknown_outcome"} and names
    settle_load(server, town, senders)


def settle_load(server, town, senders):
    for sender in senders:
        left = [cmid for cmid in sender.sent if cmid not in sender.answered]
        for _ in range(50):
            if not left:
                break
            on_loop(sender.resend(server.port, left), timeout=60)
            left = [cmid for cmid in sender.sent if cmid not in sender.answered]
        assert not left
        town.sent.update(sender.sent)
        for cmid, (cid, seq, _) in sender.answered.items():
            assert cid == town.cid
            town.answered[cmid] = seq
    town.settle()
    places = town.judge()
    assert len(places) == len(town.sent)
    town.client.close()


# --- At COMMIT ---

SYNC = "fsync,fdatasync,sync_file_range"


def test_no_answer_while_the_disk_can_not_be_reached(confabd):
    """Every fsync fails: nothing can be durable, so nothing is acknowledged; afterwards all of it settles."""
    server = confabd()
    town = Town(server)
    with injected(server, SYNC, "error=EIO:when=1+") as log:
        names = broken_writes(town, 10)
        assert injections(log) > 0
        assert all(names), f"a false answer: {names}"
        assert set(names) <= {"unknown_outcome", "unavailable"} and names[0] == "unknown_outcome", names
        assert server.http("/healthz")[0] == 200
        assert town.client.call("history", cid=town.cid)["messages"]
    town.settle()
    town.judge()
    assert server.metrics().total("confab_store_unknown_total") > 0
    town.client.close()


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_one_commit_that_fails(confabd, nth):
    """A single failing fsync: unknown_outcome or the truth, and a retry settles it."""
    server = confabd()
    town = Town(server)
    with injected(server, SYNC, f"error=EIO:when={nth}", path=str(server.db) + "-wal") as log:
        for i in range(6):
            name = town.try_send(f"c-{i}")
            assert name in (None, "unknown_outcome", "unavailable")
            if name:
                wait_for(lambda: town.try_send(f"c-{i}") is None, 20, "the retry to settle it", step=0.05)
        assert injections(log) >= 1
    town.settle()
    places = town.judge()
    assert len(places) == 7
    town.client.close()


@pytest.mark.parametrize("when", ["1+", "1", "2+2"])
def test_commit_fails_and_then_kill_9(confabd, when):
    """The outcome was unknown, the process is killed: the retry settles it after the restart."""
    server = confabd()
    town = Town(server)
    with injected(server, SYNC, f"error=EIO:when={when}", path=str(server.db) + "-wal"):
        for i in range(8):
            town.try_send(f"c-{i}")
        server.kill9()
    server.start()
    town.again()
    town.judge()
    town.settle()
    places = town.judge()
    assert len(places) == 9
    town.client.close()


def test_commits_fail_under_load_and_then_kill_9(confabd):
    server = confabd()
    town = Town(server)
    senders = [Sender(server.port, TRANSPORTS[i % 2], town.tokens["alice"], town.cid, window=16, prefix=f"l{i}") for i in range(6)]
    load = Load(senders).start()
    load.wait_answered(200)
    with injected(server, SYNC, "error=EIO:when=3+4", path=str(server.db) + "-wal") as log:
        wait_for(lambda: injections(log) >= 5, 30, "some faults")
        server.kill9()
    load.wait()
    names = {e["data"]["name"] for s in senders for _, e in s.errors}
    assert names <= {"unavailable", "unknown_outcome"}
    server.start()
    town.again()
    for sender in senders:
        town.sent.update(sender.sent)
        town.answered.update({cmid: seq for cmid, (_, seq, _) in sender.answered.items()})
    town.judge()
    settle_load(server, town, senders)


def test_register_with_an_unknown_outcome(confabd):
    """After it a login or another register tells what became of it; never half a user."""
    server = confabd()
    town = Town(server)
    client = Client(server.port, "tcp")
    with injected(server, SYNC, "error=EIO:when=1+", path=str(server.db) + "-wal"):
        frame = client.frame(client.post("register", user="carol", password=PASSWORD))
        assert frame["error"]["data"]["name"] in ("unknown_outcome", "unavailable")
    other = Client(server.port, "tcp")

    def settled():
        frame = other.frame(other.post("register", user="carol", password=PASSWORD))
        return "result" in frame or frame["error"]["data"]["name"] == "name_taken"

    wait_for(settled, 20, "an outcome", step=0.1)
    third = Client(server.port, "ws")
    assert third.call("login", user="carol", password=PASSWORD)["user"] == "carol"
    for one in (client, other, third, town.client):
        one.close()


# --- A slow disk, and one that does not answer ---

@pytest.mark.slow
def test_statements_per_message_on_a_slow_disk(confabd):
    """20 ms a sync: what queues meanwhile is one batch of 16 and more, with at most 2 statements a message."""
    server = confabd()
    town = Town(server)
    senders = [Sender(server.port, TRANSPORTS[i % 2], town.tokens["alice"], "@bob", window=16, prefix=f"l{i:02}") for i in range(16)]
    with injected(server, "fdatasync,fsync", "delay_enter=20000", path=str(server.db) + "-wal"):
        load = Load(senders).start()
        load.wait_answered(1000)
        before = server.metrics()
        load.wait_answered(load.answered + 4000)
        after = server.metrics()
        load.stop()

    def grew(name):
        return after.total(name) - before.total(name)

    rows = grew("confab_store_batch_operations_total") / grew("confab_store_batches_total")
    statements = grew("confab_store_statements_total") / grew("confab_store_appends_total")
    print(f"{rows:.1f} rows a batch, {statements:.2f} statements a message")
    assert rows >= 16 and statements <= 2
    settle_load(server, town, senders)


@pytest.mark.slow
def test_the_log_file_is_begun_anew_under_load(confabd):
    """40 MB of messages without a pause: checkpoints keep the write-ahead log small."""
    server = confabd()
    town = Town(server)
    wal = server.db.with_name(server.db.name + "-wal")
    senders = [Sender(server.port, TRANSPORTS[i % 2], town.tokens["alice"], "@bob", window=32, prefix=f"l{i}", limit=4000,
                      body="x" * 1500) for i in range(6)]
    load = Load(senders).start()
    largest = 0
    while not load.task.done():
        largest = max(largest, wal.stat().st_size)
        time.sleep(0.02)
    load.wait()
    assert load.answered == 24_000
    print(f"{largest / 1e6:.1f} MB of log at most, {server.db.stat().st_size / 1e6:.1f} MB of database")
    assert largest < 64_000_000
    assert server.metrics().total("confab_store_checkpoints_total") >= 1
    settle_load(server, town, senders)


def test_another_program_holds_the_lock(confabd):
    """A person with sqlite3 in a transaction: nothing is lost, nothing waits longer than 10 s."""
    server = confabd()
    town = Town(server)
    with contextlib.closing(sqlite3.connect(server.db, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        start = time.monotonic()
        name = town.try_send("c-locked")
        assert time.monotonic() - start < 10
        assert name in ("unavailable", "busy"), name
        assert town.client.call("history", cid=town.cid)["head"] == 1
        other.execute("ROLLBACK")
    town.settle()
    town.judge()
    town.client.close()


def test_another_epoch_under_the_running_server(confabd):
    """A connection lives in one epoch: when the store begins another life, all of them go."""
    server = confabd()
    town = Town(server)
    listeners = [town.enter("bob", t, sync=True) for t in TRANSPORTS]
    epoch = town.client.epoch
    with contextlib.closing(sqlite3.connect(server.db, timeout=20)) as other:
        with other:
            other.execute("UPDATE meta SET epoch = 'anotherlifeofthestore'")
    for client in (*listeners, town.client):
        assert client.gone_away("epoch", timeout=15)["reconnect_ms"] > 0
        client.close()
    town.again()
    assert town.client.epoch == "anotherlifeofthestore"
    assert town.client.call("sync", epoch=epoch, cursors={str(town.cid): 1})["reset"] is True
    assert town.try_send("c-next") is None
    town.judge()
    town.client.close()


def test_why_it_is_not_ready_is_for_monitors(confabd):
    server = confabd(listen=["127.0.0.1:0", "127.0.0.1:0,proxy"], config={"monitors": "198.51.100.7"}, started=False)
    with small_disk(server.data, "12m"):
        server.start()
        town = Town(server)
        fill(server.data)
        broken_writes(town, 20)
        wait_for(lambda: not_ready(server), 10, "readyz to say no")
        bodies = {}
        for source in ("203.0.113.7", "198.51.100.7"):
            with Plain(server.port_of(1), first=f"PROXY TCP4 {source} 192.0.2.1 5000 7000\r\n".encode()) as one:
                one.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert one.read_head()[0] == 503
                while one.read_some():
                    pass
                bodies[source] = one.buffer.decode()
        reason = server.http("/readyz")[2]
        assert bodies["198.51.100.7"] == reason and len(bodies["203.0.113.7"]) < len(reason)
        (server.data / "ballast").unlink()
        town.settle()
        town.client.close()
        server.stop()


# --- One that does not answer ---

@pytest.mark.slow
def test_a_disk_that_hangs(confabd):
    """Every request is answered within 10 s, if only with an error; reading goes on; /readyz says so; a retry settles."""
    server = confabd()
    town = Town(server)
    reader = town.enter("bob", "ws")
    with injected(server, SYNC, "delay_enter=13000000:when=1", path=str(server.db) + "-wal"):
        start = time.monotonic()
        cmids = [f"c-{i}" for i in range(20)]
        town.sent.update({c: f"body of {c}" for c in cmids})
        ids = town.client.post_all([("send", {"to": town.cid, "body": town.sent[c], "cmid": c}) for c in cmids])
        while time.monotonic() - start < 3:
            assert reader.call("history", cid=town.cid)["head"] >= 1
            reader.call("ping")
        wait_for(lambda: "the store has not answered" in server.http("/readyz")[2], what="/readyz to say that it hangs")
        for number, cmid in zip(ids, cmids):
            frame = town.client.frame(number, timeout=15)
            if "error" in frame:
                assert frame["error"]["data"]["name"] in ("unavailable", "unknown_outcome", "busy")
            else:
                town.answered[cmid] = frame["result"]["seq"]
        assert time.monotonic() - start < 10.5
        assert server.http("/healthz")[0] == 200
        wait_for(lambda: town.try_send("c-after") is None, 30, "the disk to answer again", step=0.2)
        wait_for(lambda: server.http("/readyz")[0] == 200, what="/readyz to say yes")
    town.settle()
    town.judge()
    reader.close()
    town.client.close()


# --- Crashes of the file ---

def test_a_torn_log_is_cut_at_its_last_whole_commit(confabd):
    """Garbage at the log's end, as a crash of the machine can leave it: what was committed before is there."""
    server = confabd()
    town = Town(server)
    for i in range(30):
        assert town.try_send(f"c-{i}") is None
    server.kill9()
    wal = server.db.with_name(server.db.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        with open(wal, "ab") as file:
            file.write(bytes(range(256)) * 20)
    server.start()
    town.again()
    assert len(town.judge()) == 31
    assert town.try_send("c-next") is None
    town.judge()
    town.client.close()
