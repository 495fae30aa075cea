"""Readers that stop, and what they cost."""

import time

import pytest

from lib.contract import Contract
from lib.fixtures import PASSWORD
from lib.load import Load, Sender
from lib.raw import RAWS
from lib.server import dumps, wait_for

COUNT = 10_000


class Reader:
    """A raw connection whose stream is judged when it is read at last."""

    def __init__(self, kind, server, token, sync=True, receive_buffer=4096):
        self.raw = RAWS[kind](server.port, receive_buffer=receive_buffer, timeout=60)
        self.contract = Contract()
        self.entries, self.skipped = [], 0
        self.goaway = None
        self.raw.write(self.raw.pack(dumps({"id": 1, "method": "resume", "params": {"token": token, "sync": sync}})))
        self.take(("resume", {"sync": True}))

    def take(self, asked=None):
        text = self.raw.next_text()
        if text is None:
            return None
        frame = self.contract.frame(text.decode(), lambda _: asked)
        if frame.get("method") == "message":
            self.entries.append(frame["params"])
        elif frame.get("method") == "gap":
            self.skipped += frame["params"]["to"] - frame["params"]["from"] + 1
        elif frame.get("method") == "goaway":
            self.goaway = frame["params"]
        return frame

    def read_to(self, cid, head):
        while self.contract.stream.next.get(cid, 0) <= head:
            assert self.take() is not None, f"ended at {self.contract.stream.next.get(cid)} of {head}: {self.goaway}"

    def read_rest(self):
        try:
            while self.take() is not None:
                pass
        except (ConnectionResetError, AssertionError) as error:
            assert isinstance(error, ConnectionResetError) or "ended within a frame" in str(error)


@pytest.mark.slow
def test_slow_readers(confabd, connect):
    """Two stop for twenty seconds while ten thousand messages arrive, two never read again."""
    server = confabd(config={"idle_ms": 600_000})
    alice, bob = connect(server), connect(server, "ws")
    for client, name in ((alice, "alice"), (bob, "bob")):
        client.login_as(client.call("register", user=name, password=PASSWORD, sync=True))
    cid = alice.send("@bob", "first")["cid"]
    pausing = [Reader(kind, server, bob.token) for kind in ("tcp", "ws")]
    lost = [Reader(kind, server, bob.token) for kind in ("tcp", "ws")]
    ports = {r.raw.local_port for r in pausing + lost}
    start = time.monotonic()
    load = Load([Sender(server.port, t, alice.token, cid, window=32, prefix=f"a{i}", limit=COUNT // 4, body="x" * 1000)
                 for i, t in enumerate(("tcp", "ws") * 2)]).start()
    peak = 0
    while not load.task.done():
        peak = max(peak, server.metrics().total("confab_queued_bytes"))
        time.sleep(0.2)
    load.wait()
    assert load.answered == COUNT and not any(s.errors for s in load.senders)
    print(f"at most {peak / 1024:.0f} KiB queued")
    assert peak <= (4 + 6) * 384 * 1024, "the queues are bounded"
    head = COUNT + 1
    bob.until_head(cid, head, timeout=60)

    # A signal to one who is behind is dropped and never in the way; those who read get it.
    alice.call("signal", to=cid, kind="typing")
    bob.expect("signal")
    time.sleep(max(0, start + 20 - time.monotonic()))   # the twenty seconds of the scenario itself
    assert ports <= set(server.shards()), "nobody was closed"
    for reader in pausing:
        reader.read_to(cid, head)
        assert len(reader.entries) + reader.skipped == head
        assert reader.entries[-1]["seq"] == head and reader.entries[0]["seq"] <= 2
        live = alice.send(cid, "and live again")["seq"]
        reader.read_to(cid, live)
        head = live
    if any(reader.skipped for reader in pausing):
        assert server.metrics().total("confab_gaps_total") > 0

    # Who never reads again is closed after 30 s, and gets the rest when he resumes.
    for reader in lost:
        wait_for(lambda: reader.raw.local_port not in server.shards(), 60, "the end of the one that never reads")
    assert time.monotonic() - start >= 29
    closes = {dict(l).get("reason"): v for (n, l), v in server.metrics().items() if "clos" in n}
    assert closes.get("slow", 0) >= 2, closes
    for reader in lost:
        reader.read_rest()
        cursor = reader.contract.stream.next[cid] - 1
        client = connect(server, reader.raw.transport)
        client.call("resume", token=bob.token, sync={"epoch": bob.epoch, "cursors": {str(cid): cursor}})
        client.until_head(cid, head)
        got = [m["seq"] for m in client.taken("message")]
        gaps = client.taken("gap")
        assert sum(g["to"] - g["from"] + 1 for g in gaps) + len(got) == head - cursor
        page = client.call("history", cid=cid, after=cursor, limit=200)
        assert [m["seq"] for m in page["messages"]] == list(range(cursor + 1, cursor + 201))


def test_a_reader_that_lags_a_little_gets_everything(confabd, connect):
    """Behind, but not beyond the backlog: no gap."""
    server = confabd(config={"idle_ms": 600_000})
    alice, bob = connect(server), connect(server, "ws")
    for client, name in ((alice, "alice"), (bob, "bob")):
        client.login_as(client.call("register", user=name, password=PASSWORD))
    cid = alice.send("@bob", "first")["cid"]
    readers = [Reader(kind, server, bob.token, sync={"backlog": 500}) for kind in ("tcp", "ws")]
    for number in alice.post_all([("send", {"to": cid, "body": "x" * 4000}) for _ in range(400)]):
        alice.answer(number)
    for reader in readers:
        reader.read_to(cid, 401)
        assert len(reader.entries) == 401 and not reader.skipped


def test_answers_come_to_a_reader_that_lags(confabd, connect):
    """An answer does not wait for the entries in front of it, and is never dropped."""
    server = confabd(config={"idle_ms": 600_000})
    alice, bob = connect(server), connect(server, "ws")
    for client, name in ((alice, "alice"), (bob, "bob")):
        client.login_as(client.call("register", user=name, password=PASSWORD))
    cid = alice.send("@bob", "first")["cid"]
    reader = Reader("tcp", server, bob.token)
    for number in alice.post_all([("send", {"to": cid, "body": "x" * 8000}) for _ in range(300)]):
        alice.answer(number)
    reader.raw.write(reader.raw.pack('{"id":77,"method":"ping"}'))
    sent = reader.raw.pack(dumps({"id": 78, "method": "send", "params": {"to": cid, "body": "from the slow one"}}))
    reader.raw.write(sent)
    answers = {}
    while len(answers) < 2:
        frame = reader.take()
        if "method" not in frame:
            answers[frame["id"]] = frame
    assert "ts" in answers[77]["result"] and answers[78]["result"]["seq"] == 302
    reader.read_to(cid, 302)
