"""sync: cursors, backlog, gap, reset, gone, preview, and the stream that follows."""

import random

import pytest

from lib.fixtures import PASSWORD
from lib.load import Load, Sender

NO_CID = 9007199254740990
DAY = 86_400_000


def talk(alice, bob, count, first=1):
    """So many entries from alice to bob; gives the cid."""
    ids = alice.post_all([("send", {"to": "@" + bob.name, "body": f"b{i}"}) for i in range(first, first + count)])
    return [alice.answer(i) for i in ids][-1]["cid"]


def only(result, cid):
    (view,) = [c for c in result["conversations"] if c["cid"] == cid]
    return view


# --- The call ---

def test_nothing_to_tell(user):
    alice = user("alice", sync=False)
    result = alice.call("sync")
    assert result == {"epoch": alice.epoch, "reset": False, "total": 0, "gone": [], "conversations": []}


def test_sync_works_once(user, again):
    alice = user("alice")
    alice.fails("already", "sync")
    second = again(alice, sync=False)
    second.call("sync")
    second.fails("already", "sync")
    second.call("ping")


def test_sync_at_once_with_another(user):
    alice = user("alice", sync=False)
    ids = alice.post_all([("sync", {}), ("sync", {}), ("sync", {"backlog": 5})])
    frames = [alice.frame(i) for i in ids]
    assert ["result" in f for f in frames] == [True, False, False]
    assert {f["error"]["data"]["name"] for f in frames[1:]} == {"already"}


def test_sync_within_login(user, dial):
    alice, bob = user("alice"), user("bob")
    cid = talk(alice, bob, 3)
    for params in (True, {}, {"backlog": 0}, {"epoch": alice.epoch, "cursors": {str(cid): 3}}):
        client = dial()
        result = client.call("login", user=bob.name, password=PASSWORD, sync=params)
        assert result["total"] == 1 and only(result, cid)["head"] == 3
        client.fails("already", "sync")
    client = dial()
    assert "total" not in client.call("login", user=bob.name, password=PASSWORD, sync=False)
    client.call("sync")


def test_params(user, again):
    alice = user("alice", sync=False)
    for params, param in [({"backlog": -1}, "backlog"), ({"backlog": "5"}, "backlog"), ({"backlog": 1.5}, "backlog"),
                          ({"cursors": {"1": 1}}, "epoch"), ({"epoch": 7}, "epoch"),
                          ({"epoch": "x", "cursors": []}, "cursors"), ({"epoch": "x", "cursors": {"a": 1}}, "cursors"),
                          ({"epoch": "x", "cursors": {"1": "1"}}, "cursors"), ({"epoch": "x", "cursors": {"1": -1}}, "cursors"),
                          ({"epoch": "x", "cursors": {"-1": 1}}, "cursors"), ({"epoch": "x", "cursors": {"1": 1.5}}, "cursors"),
                          ({"epoch": "x", "cursors": {"": 1}}, "cursors"), ({"preview": "yes"}, "preview")]:
        got = alice.fails("invalid_params", "sync", params)["param"]
        assert got == param or (param == "epoch" and got in ("epoch", "cursors")), (params, got)
    assert alice.call("sync", backlog=100000)["total"] == 0


# --- Where the stream begins ---

def test_offline_delivery_after_days(confabd, user, dial):
    """What was sent while he was away is there when he comes back, with the time it had."""
    server = confabd()
    alice, bob = user("alice", server=server), user("bob", server=server)
    cid = talk(alice, bob, 2)
    bob.until_head(cid, 2)
    bob.close()
    talk(alice, bob, 20, first=3)
    server.stop()
    for table in ("msg", "token", "user"):
        columns = {row[1] for row in server.sql(f"PRAGMA table_info({table})")}
        for column in columns & {"ts", "created", "seen"}:
            server.sql(f"UPDATE {table} SET {column} = {column} - ?", 6 * DAY)
    server.start()
    back = dial(server)
    result = back.call("resume", token=bob.token, sync={"epoch": bob.epoch, "cursors": {str(cid): 2}})
    now = back.call("ping")["ts"]
    view = only(result, cid)
    assert (view["next"], view["head"]) == (3, 22) and abs(now - 6 * DAY - view["ts"]) < 600_000
    got = back.messages(20)
    assert [m["body"] for m in got] == [f"b{i}" for i in range(3, 23)]
    assert all(abs(now - 6 * DAY - m["ts"]) < 600_000 for m in got)
    new = back.send("@" + alice.name, "I am back")
    assert new["seq"] == 23 and abs(new["ts"] - now) < 60_000


def test_without_a_cursor_it_begins_behind_what_was_read(user, again):
    alice, bob = user("alice"), user("bob")
    cid = talk(alice, bob, 10)
    view = only(again(bob, sync=False).call("sync"), cid)
    assert (view["next"], view["unread"], view["read"]) == (1, 10, 0)
    bob.call("mark", cid=cid, read=7)
    bob.server.settle(cid)
    client = again(bob, sync=False)
    view = only(client.call("sync"), cid)
    assert (view["next"], view["unread"]) == (8, 3)
    assert [m["seq"] for m in client.messages(3)] == [8, 9, 10]
    client = again(bob, sync=False)
    view = only(client.call("sync", epoch=bob.epoch), cid)
    assert view["next"] == 8


@pytest.mark.parametrize("cursor", [0, 1, 4, 9, 10])
def test_with_a_cursor_it_begins_behind_that(user, again, cursor):
    alice, bob = user("alice"), user("bob")
    cid = talk(alice, bob, 10)
    bob.call("mark", cid=cid, read=5)
    client = again(bob, sync={"epoch": bob.epoch, "cursors": {str(cid): cursor}})
    live = alice.send(cid, "live")["seq"]
    assert [m["seq"] for m in client.messages(live - cursor)] == list(range(cursor + 1, live + 1))
    assert not client.seen("gap")


def test_order_and_totals(user, again):
    alice = user("alice")
    others = [user(f"peer{i}") for i in range(5)]
    cids = [talk(alice, o, 1) for o in others]
    talk(alice, others[2], 1)
    result = again(alice, sync=False).call("sync")
    stamps = [c["ts"] for c in result["conversations"]]
    assert stamps == sorted(stamps, reverse=True), "newest activity first"
    assert sorted(c["cid"] for c in result["conversations"]) == sorted(cids)
    assert result["total"] == 5 and result["gone"] == []
    view = only(result, cids[2])
    assert view["peer"] == others[2].name and view["head"] == 2 and view["ts"] == stamps[0]
    assert alice.call("history", cid=cids[2])["messages"][-1]["ts"] == view["ts"]


# --- backlog and gap ---

@pytest.mark.parametrize("backlog,waiting,skipped", [(None, 50, 0), (None, 51, 1), (None, 120, 70), (0, 5, 5), (1, 5, 4), (5, 5, 0),
                                                     (500, 520, 20), (9000, 520, 20)])
def test_backlog(user, again, backlog, waiting, skipped):
    alice, bob = user("alice"), user("bob")
    cid = talk(alice, bob, waiting)
    client = again(bob, sync={} if backlog is None else {"backlog": backlog})
    live = alice.send(cid, "live")["seq"]
    got = client.messages(waiting - skipped + 1)
    assert [m["seq"] for m in got] == list(range(skipped + 1, live + 1))
    gaps = client.taken("gap")
    assert gaps == ([{"cid": cid, "from": 1, "to": skipped}] if skipped else [])
    if skipped:
        page = client.call("history", cid=cid, before=skipped + 1, limit=200)
        assert page["messages"][-1]["seq"] == skipped


def test_backlog_counts_from_the_cursor(user, again):
    alice, bob = user("alice"), user("bob")
    cid = talk(alice, bob, 100)
    client = again(bob, sync={"epoch": bob.epoch, "cursors": {str(cid): 80}, "backlog": 10})
    assert client.expect("gap") == {"cid": cid, "from": 81, "to": 90}
    assert [m["seq"] for m in client.messages(10)] == list(range(91, 101))


# --- reset and gone ---

def test_another_epoch_resets(user, again):
    alice, bob = user("alice"), user("bob")
    cid = talk(alice, bob, 10)
    bob.call("mark", cid=cid, read=4)
    bob.server.settle(cid)
    client = again(bob, sync=False)
    result = client.call("sync", epoch="another epoch", cursors={str(cid): 9})
    assert result["reset"] is True and result["epoch"] == alice.epoch
    assert only(result, cid)["next"] == 5, "cursors are ignored"
    client = again(bob, sync=False)
    assert client.call("sync", epoch="another epoch")["reset"] is True


def test_a_cursor_above_head_resets(user, again):
    alice, bob, carol = user("alice"), user("bob"), user("carol")
    cid, other = talk(alice, bob, 10), talk(carol, bob, 5)
    client = again(bob, sync=False)
    result = client.call("sync", epoch=bob.epoch, cursors={str(cid): 11, str(other): 3})
    assert result["reset"] is True
    assert only(result, cid)["next"] == 1 and only(result, other)["next"] == 1, "all of them are ignored"
    client = again(bob, sync=False)
    assert client.call("sync", epoch=bob.epoch, cursors={str(cid): 10, str(other): 5})["reset"] is False


def test_gone_are_those_he_cannot_see(user, again):
    alice, bob, eve = user("alice"), user("bob"), user("eve")
    cid, theirs = talk(alice, bob, 2), talk(alice, eve, 2)
    client = again(bob, sync=False)
    result = client.call("sync", epoch=bob.epoch, cursors={str(cid): 2, str(theirs): 1, str(NO_CID): 5})
    assert sorted(result["gone"]) == sorted([theirs, NO_CID]) and result["reset"] is False
    assert [c["cid"] for c in result["conversations"]] == [cid] and result["total"] == 1


def test_two_thousand_cursors(user, again):
    """They fit into a frame after login; more than 4 KiB do not fit before."""
    alice, bob = user("alice"), user("bob")
    cid = talk(alice, bob, 3)
    client = again(bob, sync=False)
    cursors = {str(cid): 1, **{str(10 ** 12 + i): i for i in range(1999)}}
    result = client.call("sync", epoch=bob.epoch, cursors=cursors)
    assert len(result["gone"]) == 1999 and only(result, cid)["next"] == 2


# --- preview ---

def test_preview(user, again):
    alice, bob, carol = user("alice"), user("bob"), user("carol")
    one, two = talk(alice, bob, 3), talk(carol, bob, 1)
    alice.send(one, "é" * 300, data={"a": 1}, kind="x-long", cmid="c")
    client = again(bob, sync=False)
    result = client.call("sync", preview=True, backlog=0)
    last = only(result, one)["last"]
    assert (last["seq"], last["from"], last["kind"]) == (4, alice.name, "x-long") and "data" not in last
    assert last["body"] == "é" * 128
    assert only(result, two)["last"]["body"] == "b1"
    alice.send(one, "x" + "é" * 300)
    assert only(again(bob, sync=False).call("sync", preview=True), one)["last"]["body"] == "x" + "é" * 127
    assert "last" not in only(again(bob, sync=False).call("sync"), one)


# --- Live ---

def test_first_messages_after_sync_announce_their_conversation(user):
    alice, bob = user("alice"), user("bob")
    sent = alice.send("@" + bob.name, "x")
    for client in (alice, bob):
        kinds = []
        client.message(seq=1)
        kinds = client.taken("conversation")
        assert [(k["change"], k["cid"], k["next"]) for k in kinds] == [("added", sent["cid"], 1)]
    alice.send("@" + bob.name, "y")
    bob.message(seq=2)
    assert not bob.seen("conversation")


@pytest.mark.slow
def test_sync_racing_with_live_traffic(user, dial, server, transport):
    """Many rounds of coming, reading a little and going while others write: no hole, nothing twice."""
    rng = random.Random(20)
    alice, carol, bob = user("alice"), user("carol"), user("bob")
    cids = [talk(alice, bob, 1), talk(carol, bob, 1)]
    bob.close()
    load = Load([Sender(server.port, transport, alice.token, "@" + bob.name, window=4, prefix="a1"),
                 Sender(server.port, "tcp", alice.token, cids[0], window=4, prefix="a2"),
                 Sender(server.port, transport, carol.token, cids[1], window=8, prefix="c1")]).start()
    cursors = dict.fromkeys(cids, 0)
    seen = {cid: set() for cid in cids}
    rounds = 0
    try:
        for rounds in range(1, 121):
            client = dial()
            start = load.answered
            result = client.call("resume", token=bob.token, sync={
                "epoch": bob.epoch, "backlog": 500, "cursors": {str(c): n for c, n in cursors.items()}})
            assert not result["reset"]
            for cid in cids:
                assert only(result, cid)["next"] == cursors[cid] + 1
            for _ in range(rng.randrange(0, 60)):
                client.message()
            load.wait_answered(start + rng.randrange(0, 30))
            client.abort() if rng.random() < 0.5 else client.close()
            assert not client.violations, client.violations
            for entry in client.taken("message"):
                client.notes.append(("message", entry, ""))
            for cid in cids:
                upto = client.contract.stream.next[cid] - 1
                seen[cid].update(range(cursors[cid] + 1, upto + 1))
                cursors[cid] = upto
    finally:
        load.stop()
    heads = {cid: max(seq for s in load.senders for c, seq, _ in s.answered.values() if c == cid) for cid in cids}
    client = dial()
    client.call("resume", token=bob.token, sync={
        "epoch": bob.epoch, "backlog": 500, "cursors": {str(c): n for c, n in cursors.items()}})
    for cid in cids:
        client.until_head(cid, heads[cid])
        assert heads[cid] > 100, "there was no load"
    assert rounds == 120


@pytest.mark.slow
def test_what_an_answer_told_is_in_every_later_sync(user, server, again, transport):
    """Promise 7 for sync: whoever syncs after an answer gets at least that far, whatever runs beside."""
    alice, bob = user("alice"), user("bob")
    cid = talk(alice, bob, 1)
    load = Load([Sender(server.port, transport, bob.token, cid, window=8, prefix="l")]).start()
    try:
        for i in range(40):
            seq = alice.send(cid, f"m{i}")["seq"]
            client = again(bob, sync={"epoch": bob.epoch, "cursors": {str(cid): max(0, seq - 20)}, "backlog": 500})
            assert client.contract.stream.next[cid] >= seq - 19
            client.message(seq=seq)
            client.close()
    finally:
        load.stop()
