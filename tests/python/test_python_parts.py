# SPDX-License-Identifier: MIT
"""The Python client's parts, each by itself; and the package: types, grammar, installation."""

import ast
import asyncio
import contextlib
import os
import re
import shutil
import stat
import subprocess
import sys
import time
import uuid

import pytest
from lib.contract import ERRORS, RETRY
from lib.fixtures import new_name

import confab
import confab.blocking
from confab import model
from confab.connection import encode
from confab.keeper import Keeper
from confab.stream import Stream
from confab.vault import KEPT_SECONDS, Row
from confab.wire import FRAME_MAX, WebSocket, open_wire, ws_frame
from helpers import TESTS, client, play, take

PYTHON = TESTS.parent / "python"
SOURCES = [*sorted((PYTHON / "confab").glob("*.py")), *sorted((PYTHON / "examples").glob("*.py")),
           PYTHON / "client.py", PYTHON / "monitor.py", PYTHON / "make_blocking.py"]


# --- Small things ---

def test_the_table_of_errors():
    assert {name: kind.code for name, kind in confab.ERRORS.items()} == ERRORS
    for name, kind in confab.ERRORS.items():
        assert kind.__name__ == "".join(word.title() for word in name.split("_"))
        assert getattr(confab, kind.__name__) is kind
    error = confab.errors.from_wire({"code": 1020, "message": "slowly", "data": {
        "name": "rate_limited", "retry": True, "retry_after_ms": 1500}})
    assert type(error) is confab.RateLimited and error.retry and error.retry_after == 1.5 and str(error) == "slowly"
    assert "rate_limited" in RETRY
    strange = confab.errors.from_wire({"code": 7, "message": "?", "data": {"name": "of_tomorrow", "max": 3}})
    assert type(strange) is confab.ServerError and not strange.retry and strange.max == 3


@pytest.mark.parametrize("text, shown", [
    ("host", "confab://host:7000"), ("127.0.0.1:80", "confab://127.0.0.1:80"), ("[::1]:7000", "confab://[::1]:7000"),
    ("confabs://host", "confabs://host:7000"), ("tls://host:1", "confabs://host:1"), ("tcp://h:1/", "confab://h:1"),
    ("ws://host", "ws://host:80/ws"), ("wss://chat.example.org/x/ws", "wss://chat.example.org:443/x/ws")])
def test_addresses(text, shown):
    assert str(confab.parse_address(text)) == shown


@pytest.mark.parametrize("text", ["", "http://host", "host:port", "host:99999", "a b", "user@host", "host/path",
                                  "ws://host/ws?token=1", "ws://host/\r\nX: y", "://"])
def test_what_is_no_address(text):
    with pytest.raises(ValueError):
        confab.parse_address(text)


def test_cmids_rise():
    made = [confab.new_cmid() for _ in range(10_000)]
    assert made == sorted(set(made))
    one = uuid.UUID(made[0])
    assert one.version == 7 and one.variant == uuid.RFC_4122
    assert abs((one.int >> 80) / 1000 - time.time()) < 60


def test_dataclasses_from_json():
    message = model.build(confab.Message, {"cid": 1, "seq": 2, "from": "a", "to": "@b", "ts": 3, "kind": "text",
                                           "body": "x", "cmid": None, "of": "tomorrow"})
    assert (message.sender, message.to, message.cmid) == ("a", "@b", None)
    for broken in ({}, [], {"cid": "1"}, {"cid": 1, "seq": 2, "from": 3, "to": "@b", "ts": 3, "kind": "text"},
                   {"cid": True, "seq": 2, "from": "a", "to": "@b", "ts": 3, "kind": "text"}):
        with pytest.raises(confab.ProtocolError):
            model.build(confab.Message, broken)


def test_what_cannot_be_written():
    deep = {}
    for _ in range(32):
        deep = {"x": deep}
    for params in ({"body": "\ud800"}, {"data": {"x": float("nan")}}, {"data": {"x": object()}}, deep):
        with pytest.raises(confab.InvalidParams):
            encode({"params": params})


# --- WebSocket ---

class Written:
    """A writer that keeps what is written."""

    def __init__(self):
        self.bytes, self.closed, self.transport = b"", False, self

    def write(self, data):
        self.bytes += data

    def close(self):
        self.closed = True

    is_closing = abort = lambda self: False


def server_frame(opcode, payload, final=True):
    size = len(payload)
    head = bytes([opcode | 0x80 * final])
    if size < 126:
        return head + bytes([size]) + payload
    if size < 65536:
        return head + b"\x7e" + size.to_bytes(2, "big") + payload
    return head + b"\x7f" + size.to_bytes(8, "big") + payload


def received(data):
    async def story():
        reader, writer = asyncio.StreamReader(limit=FRAME_MAX), Written()
        reader.feed_data(data)
        reader.feed_eof()
        socket, got = WebSocket(reader, writer), []
        while True:
            frame = await socket.recv()
            if frame is None:
                return got, writer
            got.append(frame)
    return play(story())


def unmasked(frame):
    size = frame[1] & 0x7F
    at = {126: 4, 127: 10}.get(size, 2)
    mask, payload = frame[at:at + 4], frame[at + 4:]
    return frame[0], bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def test_websocket_frames_in_pieces():
    big = b"x" * 70_000
    got, writer = received(server_frame(1, b"a") + server_frame(1, b"b", False) + server_frame(9, b"ping") +
                           server_frame(0, b"", False) + server_frame(0, b"c") + server_frame(10, b"?") +
                           server_frame(1, big) + server_frame(1, b"y" * 300) + server_frame(8, b"\x03\xe9why") +
                           server_frame(1, b"too late"))
    assert got == [b"a", b"bc", big, b"y" * 300]
    assert writer.closed
    assert unmasked(writer.bytes[:10]) == (0x8A, b"ping")
    assert unmasked(writer.bytes[10:]) == (0x88, b"\x03\xe9")


@pytest.mark.parametrize("data", [
    server_frame(0, b"x"), server_frame(1, b"x", False) + server_frame(1, b"y"), server_frame(2, b"x"),
    server_frame(3, b"x"), server_frame(9, b"x", False), server_frame(9, b"x" * 126), b"\xc1\x01x", b"\x81\x81abcdx",
    server_frame(1, b"x" * (FRAME_MAX + 1)), server_frame(1, b"x" * FRAME_MAX, False) + server_frame(0, b"y")])
def test_malformed_websocket_frames(data):
    with pytest.raises(confab.ProtocolError):
        received(data)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_frames_are_masked(size):
    payload = os.urandom(size)
    frame = ws_frame(1, payload)
    assert frame[1] & 0x80 and unmasked(frame) == (0x81, payload)


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: no\r\n\r\n",
    b"nonsense\r\n\r\n", b"x" * (FRAME_MAX + 10), b"HTTP/1.1 503 Later\r\n\r\n", b""])
def test_what_is_no_websocket(answer):
    async def answering(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(OSError):
            writer.write(answer)
            await writer.drain()
        writer.close()

    async def story():
        server = await asyncio.start_server(answering, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises((confab.ProtocolError, ConnectionError)):
            await open_wire(confab.parse_address(f"ws://127.0.0.1:{port}"))
        server.close()

    play(story())


# --- The stream ---

def entry(cid, seq):
    return {"cid": cid, "seq": seq, "from": "a", "to": cid, "ts": seq, "kind": "text", "body": str(seq)}


def conversation(cid, next, head, **more):
    return {"cid": cid, "kind": "group", "title": "t", "role": "member", "min_seq": 1, "next": next, "head": head,
            "ts": 0, "read": 0, "delivered": 0, "unread": 0, **more}


def synced(*conversations, reset=False, gone=(), epoch="e1"):
    return {"epoch": epoch, "reset": reset, "total": len(conversations), "gone": list(gone),
            "conversations": list(conversations)}


def streamed(cursors, work, epoch="e1"):
    """Runs work(stream) on a stream with these cursors: (the events, the cursors kept)."""
    async def story():
        vault = confab.MemoryVault()
        vault.apply(confab.Batch(meta={"epoch": epoch}, cursors=dict(cursors)))
        keeper = Keeper(vault)
        snapshot = await keeper.open()
        stream = Stream(keeper, snapshot.meta["epoch"], snapshot.cursors, lambda cid, seq: None)
        work(stream)
        events = []
        while not stream.empty:
            events.append(stream.take())
            stream.done(events[-1])
        await keeper.close()
        return [e for e in events if not isinstance(e, confab.Synced)], vault.open()
    return play(story())


def seqs(events):
    return [e.seq for e in events if isinstance(e, confab.Message)]


def test_entries_that_were_had_are_dropped():
    def work(stream):
        stream.synced(synced(conversation(1, 4, 6), conversation(2, 1, 0)))
        for seq in (2, 3, 4, 5, 5, 4, 6):
            stream.notification("message", entry(1, seq))
        assert stream.duplicates == 4
        assert stream.sync_params(50, 65536) == {"backlog": 50, "epoch": "e1", "cursors": {"1": 6, "2": 0}}

    events, kept = streamed({1: 3}, work)
    assert seqs(events) == [4, 5, 6] and kept.cursors == {1: 6, 2: 0}


def test_gaps_move_the_cursor():
    def work(stream):
        stream.synced(synced(conversation(1, 2, 9)))
        stream.notification("gap", {"cid": 1, "from": 2, "to": 7})
        stream.notification("message", entry(1, 8))

    events, kept = streamed({1: 1}, work)
    assert events[0] == confab.Gap(1, 2, 7) and seqs(events) == [8] and kept.cursors == {1: 8}


def test_what_is_gone_for_good_is_told():
    def work(stream):
        stream.synced(synced(conversation(1, 12, 20, min_seq=8)))

    events, kept = streamed({1: 3}, work)
    assert events == [confab.Gap(1, 4, 7, gone=True), confab.Gap(1, 8, 11)] and kept.cursors == {1: 11}


def test_reset_forgets_all():
    def work(stream):
        stream.synced(synced(conversation(1, 1, 2), reset=True, epoch="e2"))
        stream.notification("message", entry(1, 1))

    events, kept = streamed({1: 30, 2: 5}, work)
    assert events[0] == confab.Reset("e2") and seqs(events) == [1]
    assert kept.cursors == {1: 1} and kept.meta["epoch"] == "e2"


def test_gone_and_removed():
    def work(stream):
        stream.synced(synced(conversation(1, 5, 5, role="none"), conversation(2, 1, 1, role="none"),
                             conversation(3, 1, 1), gone=[9]))
        for cid in (1, 2, 3):
            stream.notification("message", entry(cid, 5 if cid == 1 else 1))
        stream.notification("conversation", {"cid": 3, "change": "removed"})
        stream.notification("conversation", {"change": "added", **conversation(3, 7, 7, min_seq=7)})
        stream.notification("message", entry(3, 7))
        assert set(stream.conversations) == {3}

    events, kept = streamed({1: 4, 9: 9}, work)
    removed = [e.cid for e in events if isinstance(e, confab.ConversationChanged) and e.change == "removed"]
    assert removed == [1, 2, 3] and not [e for e in events if isinstance(e, confab.Gap)]
    assert kept.cursors == {3: 7}


def test_what_another_device_has_read_already_is_due_all_the_same():
    def work(stream):
        stream.synced(synced())
        stream.notification("conversation", {"change": "added", **conversation(1, 3, 2, kind="direct", peer="b", read=2)})
        stream.notification("message", entry(1, 3))

    events, kept = streamed({}, work)
    assert confab.Gap(1, 1, 2) in events and seqs(events) == [3] and kept.cursors == {1: 3}


def test_a_hole_costs_the_connection_once():
    def work(stream):
        stream.synced(synced(conversation(1, 1, 9)))
        stream.notification("message", entry(1, 1))
        with pytest.raises(confab.ProtocolError):
            stream.notification("message", entry(1, 4))
        stream.notification("message", entry(1, 4))

    events, kept = streamed({}, work)
    assert seqs(events) == [1, 4] and confab.Gap(1, 2, 3) in events


def test_changes_of_a_conversation_are_known():
    def change(seq, kind, **data):
        return {**entry(1, seq), "kind": kind, "body": "", "data": data}

    def work(stream):
        stream.user = "me"
        stream.synced(synced(conversation(1, 1, 2, title="now", handle="now")))
        stream.notification("message", change(1, "set", title="long ago", handle=""))
        assert (stream.conversations[1].title, stream.conversations[1].handle) == ("now", "now")
        stream.notification("message", entry(1, 2))
        for seq, kind, data in ((3, "set", {"title": "new", "handle": "ops"}), (4, "role", {"user": "me", "role": "admin"}),
                                (5, "role", {"user": "you", "role": "owner"}), (6, "mute", {"user": "me", "until": 99}),
                                (7, "set", {"topic": "t"})):
            stream.notification("message", change(seq, kind, **data))
        now = stream.conversations[1]
        assert (now.title, now.handle, now.role, now.muted_until, now.head) == ("new", "ops", "admin", 99, 7)
        stream.notification("message", change(8, "mute", user="me", until=0))
        stream.notification("message", change(9, "set", handle=""))
        assert (stream.conversations[1].muted_until, stream.conversations[1].handle) == (None, None)

    streamed({}, work)


def changed(seq, kind, re, body="", data=None, **more):
    return confab.Message(1, seq, "a", 1, seq, kind, body, data, None, re, **more)


@pytest.mark.parametrize("order", [(1, 2, 3, 4, 5), (5, 4, 3, 2, 1), (3, 1, 5, 2, 4), (4, 2, 1, 3, 5)])
def test_a_timeline_reads_as_it_is_now(order):
    entries = {1: changed(1, "text", None, "one", {"n": 1}), 2: changed(2, "text", None, "two"),
               3: changed(3, "edit", 1, "one again", {"n": 2}), 4: changed(4, "edit", 1, "one at last"),
               5: changed(5, "delete", 2)}
    line = confab.Timeline(entries[seq] for seq in order)
    assert [one.seq for one in line] == [1, 2, 3, 4, 5] and len(line) == 5
    (left,) = line.messages()
    assert (left.body, left.data, left.edited, line.get(2).deleted, line.get(2).body) == ("one at last", {"n": 2}, 4, 5, "")
    assert line.add(changed(6, "edit", 1, "more")).body == "more"
    assert line.add(changed(7, "delete", 1)).deleted == 7
    assert [line.get(seq).deleted for seq in (3, 4, 6)] == [7, 7, 7] and line.get(3).body == ""
    assert line.add(changed(8, "edit", 99, "of what?")) is None and line.add(changed(9, "join", None)) is None


def test_a_timeline_takes_the_newest_state_of_what_comes_twice():
    line = confab.Timeline([changed(1, "text", None, "new", edited=3), changed(1, "text", None, "old"),
                            changed(3, "edit", 1, "new"), changed(2, "edit", 1, "between")], most=3)
    assert line.get(1).body == "new"
    line.add(changed(1, "text", None, "", deleted=4))
    assert line.get(1).deleted == 4 and line.messages() == []
    line.add(changed(4, "delete", 1))
    assert [one.seq for one in line] == [2, 3, 4] and line.get(1) is None


def test_cursors_that_do_not_fit_are_left_out():
    def work(stream):
        params = stream.sync_params(50, 65536)
        assert len(encode(params)) < 65536 - 1000 and len(params["cursors"]) > 2000

    streamed({cid: 1_000_000 for cid in range(10_000, 20_000)}, work)


# --- The vault ---

def test_the_state_file(tmp_path):
    path = tmp_path / "state.db"
    assert confab.peek(path) == {} and not confab.in_use(path)
    vault = confab.SqliteVault(path)
    vault.open()
    old = time.time() - KEPT_SECONDS - 60
    vault.apply(confab.Batch(meta={"token": "t", "user": "u"}, cursors={1: 2, 3: 4}, add=[
        Row(n, f"c{n}", "send", "{}", old if n < 3 else time.time()) for n in range(1, 8)]))
    for one in tmp_path.iterdir():
        assert stat.S_IMODE(one.stat().st_mode) == 0o600, one
    assert confab.peek(path)["token"] == "t" and confab.in_use(path)
    with pytest.raises(confab.StateError, match="in use"):
        confab.SqliteVault(path).open()
    vault.apply(confab.Batch(answered=[1, 2, 3, 5], drop=[4], cursors={3: None}, meta={"token": None}))
    assert [row.number for row in vault.answered()] == [3, 5]
    vault.close()
    snapshot = vault.open()
    assert snapshot.meta == {"user": "u"} and snapshot.cursors == {1: 2} and snapshot.number == 7
    assert [row.number for row in snapshot.outbox] == [6, 7]
    vault.close()
    path.write_bytes(b"not a database, " * 100)
    with pytest.raises(confab.StateError):
        confab.SqliteVault(path).open()
    with pytest.raises(confab.StateError):
        confab.SqliteVault(tmp_path / "no/such/place.db").open()


def test_a_disk_that_fails_is_told_to_who_says_something(server, tmp_path):
    class Failing(confab.MemoryVault):
        fails = False

        def apply(self, batch):
            if self.fails and batch.add:
                raise confab.StateError("the disk is full")
            super().apply(batch)

    async def story():
        vault = Failing()
        async with client(server) as bob, client(server, state=vault) as alice:
            vault.fails = True
            with pytest.raises(confab.StateError, match="full"):
                await alice.send(f"@{bob.user}", "lost")
            assert alice.unsent == 0
            vault.fails = False
            await alice.send(f"@{bob.user}", "kept")
            assert [m.body for m in await take(bob.messages(), 1)] == ["kept"]

    play(story())


# --- Methods ---

def test_methods(server):
    async def story():
        async with client(server, display="Alice A.") as alice, client(server) as bob:
            assert (await alice.hello()).protocol == 1 and abs(await alice.ping() / 1000 - time.time()) < 3600
            to = f"@{bob.user}"
            sent = await alice.send(to, "x", kind="x-test", data={"n": [1, {"ü": None}]})
            got = (await take(bob.messages(), 1))[0]
            assert (got.kind, got.data, got.cmid) == ("x-test", {"n": [1, {"ü": None}]}, sent.cmid)
            assert (await bob.reply(got, "y")).seq == 2
            assert (await alice.history(to)).messages[1].re == 1
            assert (await bob.mark(f"@{alice.user}", read=1)).read == 1
            while alice.find(to).peer_read != 1:
                assert await alice.next_event(10) is not None
            await bob.signal(f"@{alice.user}")
            while not isinstance(event := await alice.next_event(10), confab.Signal):
                assert event is not None
            assert (event.sender, event.kind) == (bob.user, "typing")
            assert (await alice.profile_get([alice.user]))[0].display == "Alice A."
            assert (await bob.user_find(alice.user))[0].user == alice.user
            assert (await alice.who("contacts")).users == []
            assert (await alice.presence_get([bob.user]))[0].state == "online"
            assert [s.current for s in await alice.session_list()] == [True]
            again = await alice.send(to, "x", cmid="same")
            assert (await alice.send(to, "x", cmid="same")) == confab.Sent(again.cid, again.seq, again.ts, "same", True)
            with pytest.raises(confab.Conflict):
                await alice.send(to, "z", cmid="same")
            with pytest.raises(confab.TooLarge):
                await alice.send(to, "x" * 20_000)
            with pytest.raises(confab.TooLarge) as caught:
                await alice.send(to, "x" * 70_000)
            assert caught.value.max == 65536
            with pytest.raises(confab.InvalidParams):
                await alice.send(to, "\ud800")
            with pytest.raises(confab.InvalidParams) as refused:
                await alice.send(to, "a\0b")
            assert refused.value.param == "body"
            with pytest.raises(confab.UnknownMethod):
                await alice.call("no.such")

    play(story())


@pytest.mark.parametrize("base", ["Methods", "Client"])
def test_methods_of_the_protocol_are_there(base):
    named = {"hello", "register", "login", "ping", "logout", "session.list", "session.revoke", "password.change",
             "profile.set", "profile.get", "user.find", "account.delete", "send", "edit", "delete", "history", "mark",
             "receipts", "signal", "group.create", "group.join", "group.leave", "group.invite", "group.remove",
             "group.unban", "group.role", "group.mute", "group.set", "group.info", "group.members", "group.list",
             "group.dismiss", "contact.add", "contact.accept", "contact.reject", "contact.remove", "contact.block",
             "contact.unblock", "contact.list", "presence.set", "presence.get", "presence.watch", "who"}
    kind = confab.Client if base == "Client" else confab.blocking.Client
    assert not [name for name in named if not hasattr(kind, name.replace(".", "_"))]


def test_callbacks(server):
    async def story():
        heard, states = [], []
        async with client(server) as alice:
            bob = client(server)

            @bob.on(confab.Message)
            async def hear(message):
                await bob.reply(message, "yes") if message.sender == alice.user else None
                heard.append(message.body)

            bob.on(confab.StateChanged, lambda event: states.append(event.state))
            async with bob:
                running = asyncio.ensure_future(bob.run())
                await alice.send(f"@{bob.user}", "hello?")
                assert [m.body for m in await take(alice.messages(own=False), 1)] == ["yes"]
                while len(heard) < 2:
                    await asyncio.sleep(0.01)
            await asyncio.wait_for(running, 10)
            assert heard == ["hello?", "yes"] and states[-1] == "ready"

    play(story())


def test_the_blocking_client(server, tmp_path):
    where, name = f"127.0.0.1:{server.port}", new_name()
    with confab.blocking.Client(where, name, "correct horse battery", register=True) as alice:
        path = tmp_path / "bob.db"
        with confab.blocking.Client(where, new_name(), "correct horse battery", register=True, state=path) as bob:
            bob_name = bob.user
            outgoing = [alice.post(f"@{bob_name}", str(i)) for i in range(50)]
            assert [alice.outcome(one, 20).seq for one in outgoing] == list(range(1, 51))
            for message in bob.messages():
                if message.body == "24":
                    break
        with confab.blocking.Client(where, state=path) as bob:
            heard = []
            bob.on(confab.Message, lambda message: heard.append(message.seq))
            assert [m.body for m in bob.messages(timeout=1)] == [str(i) for i in range(25, 50)]
            assert heard == list(range(26, 51)) and bob.state == "ready"
            assert bob.next_event(0.05) is None
            with pytest.raises(confab.NotFound):
                bob.send("@no-such-body", "x")
            assert bob.find(f"@{name}").peer == name
    with pytest.raises(confab.Closed):
        alice.who()
    with pytest.raises(confab.BadCredentials):
        with confab.blocking.Client(where, name, "the wrong horse"):
            pass


# --- The package ---

@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.name)
def test_python_3_9_understands_it(path):
    text = path.read_text()
    ast.parse(text, feature_version=(3, 9))
    assert "# SPDX-License-Identifier: MIT" in text.splitlines()[:2]
    assert max(map(len, text.splitlines())) <= 120


def test_only_the_standard_library():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else \
                [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in names:
                assert name.split(".")[0] in sys.stdlib_module_names | {"confab"}, f"{path.name} imports {name}"


def test_the_blocking_methods_are_up_to_date():
    assert subprocess.run([sys.executable, PYTHON / "make_blocking.py", "--check"]).returncode == 0


USE = """
import confab
import confab.blocking

async def main() -> None:
    async with confab.Client("host", "alice", "secret", state="x.db") as client:
        sent: confab.Sent = await client.send("@bob", "x", data={"n": 1})
        async for message in client.messages():
            body: str = message.body
        group: confab.GroupInfo = await client.group_info("#ops")

def others() -> int:
    with confab.blocking.Client("host") as client:
        return [message.seq for message in client.messages(timeout=1)][0] + confab.ERRORS["busy"].code
"""


def test_types(tmp_path, monkeypatch):
    (tmp_path / "use.py").write_text(USE)
    monkeypatch.setenv("MYPYPATH", str(PYTHON))
    for what in (["--strict", tmp_path / "use.py", PYTHON / "confab"],
                 ["--config-file", "/dev/null", "--strict", PYTHON / "monitor.py"],
                 ["--config-file", "/dev/null", "--check-untyped-defs", PYTHON / "client.py"]):
        done = subprocess.run(["mypy", "--python-version", "3.9", "--cache-dir", tmp_path, *what],
                              capture_output=True, text=True, cwd=PYTHON)
        assert done.returncode == 0, done.stdout + done.stderr


def test_it_can_be_installed(tmp_path):
    shutil.copytree(PYTHON, tmp_path / "python", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
    subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    done = subprocess.run([python, "-m", "pip", "install", "--no-build-isolation", "--no-index", "--no-deps",
                           "--disable-pip-version-check", "--quiet", tmp_path / "python"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run([python, "-I", "-c", "import confab, confab.blocking, pathlib; print(confab.__version__, "
                           "(pathlib.Path(confab.__file__).parent / 'py.typed').exists())"],
                          capture_output=True, text=True, cwd=tmp_path)
    assert re.fullmatch(r"\d+\.\d+\.\d+ True\n", done.stdout), done.stdout + done.stderr
