"""Groups as far as send, sync, history, mark, signal and who know them; their rows are made beforehand."""

import time

import pytest

from lib.fixtures import PASSWORD
from lib.rows import ADMIN, MEMBER, OWNER, add_group, store

NAMES = ("olga", "adam", "mia", "late", "gone", "mute", "eve")


@pytest.fixture
def town(confabd, dial):
    """A group #ops with 10 entries, an open one #all-hands where only admins post; Clients by name."""
    server = confabd()
    tokens = {}
    for name in NAMES:
        client = dial(server)
        tokens[name] = client.call("register", user=name, password=PASSWORD, display=name.title())
        client.close()
    server.stop()
    with store(server) as db:
        server.ops = add_group(db, "Operations", {
            "olga": {"role": OWNER}, "adam": {"role": ADMIN}, "mia": {"role": MEMBER}, "late": {"join": 6},
            "gone": {"leave": 8}, "mute": {"muted": int(time.time() * 1000) + 3_600_000}}, entries=9, handle="ops")
        server.hands = add_group(db, "All hands", {"olga": {"role": OWNER}, "adam": {"role": ADMIN}, "mia": {"role": MEMBER}},
                                 entries=4, handle="all-hands", open_=True, post=1)
    server.start()
    server.tokens = tokens

    def enter(name, sync=True):
        client = dial(server)
        client.login_as(client.call("resume", token=tokens[name]["token"], **({"sync": sync} if sync else {})))
        return client

    server.enter = enter
    return server


def views(client):
    return {c["cid"]: c for c in client.call("sync")["conversations"]}


def test_as_sync_lists_them(town):
    olga, late, mute = (views(town.enter(n, sync=False)) for n in ("olga", "late", "mute"))
    view = olga[town.ops]
    assert (view["kind"], view["title"], view["handle"], view["role"]) == ("group", "Operations", "ops", "owner")
    assert (view["min_seq"], view["next"], view["head"], view["unread"]) == (1, 1, 10, 10)
    assert olga[town.hands]["head"] == 5 and len(olga) == 2
    view = late[town.ops]
    assert (view["role"], view["min_seq"], view["next"], view["head"], view["unread"]) == ("member", 6, 6, 10, 5)
    assert len(late) == 1
    assert mute[town.ops]["muted_until"] > time.time() * 1000
    assert "muted_until" not in olga[town.ops] or olga[town.ops]["muted_until"] == 0


def test_messages_go_to_every_member(town):
    clients = {name: town.enter(name) for name in ("olga", "adam", "mia", "late", "gone", "mute", "eve")}
    sent = clients["mia"].send("#ops", "hello", cmid="c1")
    assert (sent["cid"], sent["seq"]) == (town.ops, 11)
    assert clients["mia"].send("#OPS", "hello", cmid="c1") == {**sent, "dup": True}
    assert clients["mia"].send(town.ops, "hello", cmid="c1") == {**sent, "dup": True}
    for name in ("olga", "adam", "mia", "late", "mute"):
        got = clients[name].message(seq=11)
        assert (got["from"], got["to"], got["body"]) == ("mia", "#ops", "hello")
    for name in ("gone", "eve"):
        clients[name].call("ping")
        assert not clients[name].seen("message")
    texts = {[t for t in clients[n].frames if '"seq":11' in t and '"method":"message"' in t][0] for n in ("olga", "adam", "late")}
    assert len(texts) == 1, "encoded once for all"


def test_rights_to_send(town):
    town.enter("mute").fails("forbidden", "send", to="#ops", body="x")
    town.enter("eve").fails("not_found", "send", to="#ops", body="x")
    town.enter("eve").fails("not_found", "send", to=town.ops, body="x")
    town.enter("gone").fails("not_member", "send", to="#ops", body="x")
    town.enter("eve").fails("not_member", "send", to="#all-hands", body="x")
    town.enter("mia").fails("forbidden", "send", to="#all-hands", body="x")
    assert town.enter("adam").send("#all-hands", "x")["seq"] == 6
    assert town.enter("olga").send("#all-hands", "x")["seq"] == 7


def test_history_shows_what_one_may_see(town):
    def seqs(name, **params):
        page = town.enter(name).call("history", {"cid": "#ops", **params})
        return [m["seq"] for m in page["messages"]], page["min_seq"], page["head"]

    assert seqs("mia") == (list(range(1, 11)), 1, 10)
    assert seqs("late") == (list(range(6, 11)), 6, 10)
    assert seqs("late", after=0) == (list(range(6, 11)), 6, 10)
    assert seqs("late", before=6) == ([], 6, 10)
    assert seqs("gone") == (list(range(1, 9)), 1, 8)
    assert seqs("gone", after=7) == ([8], 1, 8)
    town.enter("eve").fails("not_found", "history", cid="#ops")
    town.enter("eve").fails("not_found", "history", cid=town.ops)
    town.enter("eve").fails("not_member", "history", cid="#all-hands")


def test_he_who_left_is_told_when_he_asks(town, dial):
    client = town.enter("gone", sync=False)
    result = client.call("sync", epoch=client.epoch, cursors={str(town.ops): 4})
    (view,) = result["conversations"]
    assert (view["role"], view["head"], view["next"]) == ("none", 8, 5)
    assert [m["seq"] for m in client.messages(4)] == [5, 6, 7, 8]
    town.enter("mia").send("#ops", "not for him")
    assert town.enter("gone", sync=False).call("sync")["conversations"] == [], "not named, not listed"
    other = town.enter("eve", sync=False)
    assert other.call("sync", epoch=other.epoch, cursors={str(town.ops): 4})["gone"] == [town.ops]
    client.call("ping")
    assert not client.seen("message")


def test_a_cursor_below_ones_joining(town):
    client = town.enter("late", sync=False)
    result = client.call("sync", epoch=client.epoch, cursors={str(town.ops): 2})
    assert result["conversations"][0]["next"] == 6 and not result["reset"]
    assert client.message()["seq"] == 6


def test_marks_of_a_group_go_to_ones_own_connections_only(town):
    mia, twin, olga = town.enter("mia"), town.enter("mia"), town.enter("olga")
    assert mia.call("mark", cid="#ops", read=4) == {"read": 4, "delivered": 4}
    assert twin.expect("mark") == {"cid": town.ops, "user": "mia", "read": 4, "delivered": 4}
    mia.send("#ops", "x")
    olga.message(seq=11)
    assert not olga.seen("mark")


def test_signals_in_a_group(town):
    mia, olga, late, eve = (town.enter(n) for n in ("mia", "olga", "late", "eve"))
    mia.call("signal", to="#ops", kind="typing")
    for client in (olga, late):
        assert client.expect("signal") == {"cid": town.ops, "from": "mia", "kind": "typing"}
    eve.fails("not_found", "signal", to="#ops", kind="typing")
    town.enter("mute").fails("forbidden", "signal", to="#ops", kind="typing")


def test_who_of_a_group(town):
    mia, olga, eve = (town.enter(n) for n in ("mia", "olga", "eve"))
    got = mia.call("who", scope=town.ops)
    assert [u["user"] for u in got["users"]] == ["mia", "olga"] and got["online"] == 2
    eve.fails("not_found", "who", scope=town.ops)
    assert olga.call("presence.get", users=["mia", "late"])["users"][1]["state"] == "offline"
