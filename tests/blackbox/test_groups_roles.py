"""PROTOCOL §5, groups: who may do what, and what groups show of themselves."""

import time

import pytest

from lib.client import PATIENCE
from lib.fixtures import new_name
from lib.groups import make, removed, role_of


@pytest.fixture
def staff(people):
    """(owner, admin, member, another member, stranger) and the cid of their group."""
    olga, adam, mia, max_, eve = clients = people("olga", "adam", "mia", "max", "eve")
    cid = make(olga, adam, mia, max_)
    olga.call("group.role", cid=cid, user=adam.name, role="admin")
    for client in clients[:4]:
        assert client.message(seq=2)["data"] == {"user": adam.name, "role": "admin"}
    return *clients, cid


# --- Roles ---

def test_roles(staff, again):
    olga, adam, mia, max_, eve, cid = staff
    assert [role_of(c, cid) for c in (olga, adam, mia)] == ["owner", "admin", "member"]
    (view,) = [v for v in again(adam, sync=False).call("sync")["conversations"] if v["cid"] == cid]
    assert view["role"] == "admin"
    assert olga.call("group.role", cid=cid, user=adam.name, role="admin") == {}
    assert olga.call("group.role", cid=cid, user=mia.name.upper(), role="owner") == {"seq": 3}
    assert mia.call("group.role", cid=cid, user=olga.name, role="member") == {"seq": 4}
    assert [role_of(c, cid) for c in (olga, mia)] == ["member", "owner"]
    assert mia.fails("forbidden", "group.role", cid=cid, user=mia.name, role="admin")
    for client in (olga, adam, max_):
        client.fails("forbidden", "group.role", cid=cid, user=max_.name, role="admin")
    mia.fails("not_found", "group.role", cid=cid, user=eve.name, role="admin")
    mia.fails("not_found", "group.role", cid=cid, user=new_name("nobody"), role="admin")
    eve.fails("not_found", "group.role", cid=cid, user=eve.name, role="owner")
    for role in ("none", "banned", "OWNER", 1):
        assert mia.fails("invalid_params", "group.role", cid=cid, user=max_.name, role=role)["param"] == "role"


def test_two_owners_demote_each_other_at_once(people):
    """One of them remains."""
    olga, adam = people("olga", "adam")
    for _ in range(10):
        cid = make(olga, adam)
        olga.call("group.role", cid=cid, user=adam.name, role="owner")
        asked = [(olga, olga.post("group.role", cid=cid, user=adam.name, role="member")),
                 (adam, adam.post("group.role", cid=cid, user=olga.name, role="member"))]
        frames = [client.frame(number) for client, number in asked]
        assert sorted("error" in frame for frame in frames) == [False, True]
        assert sorted([role_of(olga, cid), role_of(adam, cid)]) == ["member", "owner"]


def test_a_role_is_lost_with_the_membership(staff):
    olga, adam, mia, _, _, cid = staff
    adam.call("group.leave", cid=cid)
    olga.call("group.invite", cid=cid, users=[adam.name])
    assert role_of(adam, cid) == "member"
    adam.fails("forbidden", "group.remove", cid=cid, user=mia.name)


# --- Mute, posting rules ---

def test_mute(staff, again):
    olga, adam, mia, max_, eve, cid = staff
    assert adam.call("group.mute", cid=cid, user=mia.name, seconds=3600) == {"seq": 3}
    entry = mia.message(seq=3)
    assert (entry["kind"], entry["from"]) == ("mute", adam.name)
    assert entry["data"]["user"] == mia.name and entry["data"]["until"] - entry["ts"] == pytest.approx(3_600_000, abs=5000)
    mia.fails("forbidden", "send", to=cid, body="x")
    mia.fails("forbidden", "signal", to=cid, kind="typing")
    max_.send(cid, "she reads")
    assert mia.message(seq=4)["body"] == "she reads"
    (view,) = [v for v in again(mia, sync=False).call("sync")["conversations"] if v["cid"] == cid]
    assert view["muted_until"] == entry["data"]["until"]
    assert adam.call("group.mute", cid=cid, user=mia.name, seconds=0) == {"seq": 5}
    assert mia.message(seq=5)["data"] == {"user": mia.name, "until": 0}
    mia.send(cid, "again")
    assert adam.call("group.mute", cid=cid, user=mia.name, seconds=0) == {}
    adam.fails("forbidden", "group.mute", cid=cid, user=olga.name, seconds=60)
    mia.fails("forbidden", "group.mute", cid=cid, user=max_.name, seconds=60)
    olga.fails("not_found", "group.mute", cid=cid, user=eve.name, seconds=60)
    eve.fails("not_found", "group.mute", cid=cid, user=mia.name, seconds=60)
    for seconds in (-1, 1.5, "60"):
        olga.fails("invalid_params", "group.mute", cid=cid, user=mia.name, seconds=seconds)
    assert "seq" in olga.call("group.mute", cid=cid, user=mia.name, seconds=2 ** 53 - 1), "for ever"


def test_mute_ends_by_itself(staff):
    olga, _, mia, _, _, cid = staff
    olga.call("group.mute", cid=cid, user=mia.name, seconds=1)
    mia.fails("forbidden", "send", to=cid, body="x")
    deadline = time.monotonic() + PATIENCE
    while "error" in mia.frame(mia.post("send", to=cid, body="now?")):
        assert time.monotonic() < deadline


def test_only_admins_post(staff):
    olga, adam, mia, _, _, cid = staff
    assert adam.call("group.set", cid=cid, post="admins") == {"seq": 3}
    assert mia.message(seq=3)["data"] == {"post": "admins"}
    mia.fails("forbidden", "send", to=cid, body="x")
    assert [c.send(cid, "x")["seq"] for c in (olga, adam)] == [4, 5]
    mia.call("mark", cid=cid, read=5)
    adam.call("group.set", cid=cid, post="all")
    assert mia.send(cid, "x")["seq"] == 7


def test_rights_are_lost_at_once_by_sends_in_flight(staff):
    """Each of his sends is before the mute, or refused."""
    olga, _, mia, _, _, cid = staff
    mia.send(cid, "his home knows him")
    for _ in range(5):
        asked = mia.post_all([("send", {"to": cid, "body": "x"}) for _ in range(20)])
        muted = olga.call("group.mute", cid=cid, user=mia.name, seconds=600)["seq"]
        for number in asked:
            frame = mia.frame(number)
            assert frame["result"]["seq"] < muted if "result" in frame else \
                frame["error"]["data"]["name"] == "forbidden"
        mia.fails("forbidden", "send", to=cid, body="x")
        olga.call("group.mute", cid=cid, user=mia.name, seconds=0)


# --- Settings ---

def test_set(staff):
    olga, adam, mia, _, eve, cid = staff
    assert adam.call("group.set", cid=cid, title="Ops ü", topic="x" * 512, invite="all") == {"seq": 3}
    entry = mia.message(seq=3)
    assert (entry["kind"], entry["from"]) == ("set", adam.name)
    assert entry["data"] == {"title": "Ops ü", "topic": "x" * 512, "invite": "all"}
    assert adam.call("group.set", cid=cid, title="Ops ü", invite="all") == {}, "nothing changed"
    assert adam.call("group.set", cid=cid) == {}
    assert adam.call("group.set", cid=cid, title="Ops ü", topic="") == {"seq": 4}
    assert mia.message(seq=4)["data"] == {"topic": ""}
    info = mia.call("group.info", cid=cid)
    assert (info["title"], info["topic"], info["invite"], info["post"], info["open"]) == ("Ops ü", "", "all", "all", False)
    mia.fails("forbidden", "group.set", cid=cid, title="Mine")
    for param in ({"handle": new_name("ops")}, {"open": True}):
        adam.fails("forbidden", "group.set", cid=cid, **param)
    eve.fails("not_found", "group.set", cid=cid, title="Mine")
    for params, bad in (({"title": ""}, "title"), ({"title": "x" * 129}, "title"), ({"topic": "x" * 513}, "topic"),
                        ({"handle": "#ops"}, "handle"), ({"post": "some"}, "post"), ({"open": 1}, "open")):
        assert olga.fails("invalid_params", "group.set", cid=cid, **params)["param"] == bad
    assert olga.fails("name_taken", "group.set", cid=cid, handle="here")["param"] == "handle"


def test_a_handle_moves(people, again):
    """From its entry on messages say the new one; a name that somebody else has now is where it leads."""
    olga, mia = people("olga", "mia")
    first, second = new_name("one"), new_name("two")
    cid = make(olga, mia, handle=first)
    assert mia.send("#" + first, "x")["cid"] == cid
    assert olga.call("group.set", cid="#" + first, handle=second.upper()) == {"seq": 3}
    assert [m["to"] for m in mia.messages(2)] == ["#" + first, "#" + second]
    assert mia.send("#" + second, "x")["cid"] == cid
    assert mia.message(seq=4)["to"] == olga.message(seq=4)["to"] == "#" + second
    mia.fails("not_found", "send", to="#" + first, body="x")
    assert {m["to"] for m in mia.call("history", cid=cid)["messages"]} == {"#" + second}
    client = again(mia, sync=False)
    client.call("sync", epoch=client.epoch, cursors={str(cid): 0})
    assert {m["to"] for m in client.messages(4)} == {"#" + second}
    other = make(mia, olga, handle=first)
    for client in (olga, mia):
        assert client.send("#" + first, "x")["cid"] == other
        assert client.call("history", cid="#" + first)["cid"] == other
    assert olga.fails("name_taken", "group.set", cid=cid, handle=first)["param"] == "handle"
    olga.call("group.set", cid=cid, handle="")
    assert olga.message(cid=cid, kind="set", seq=5)["to"] == cid
    olga.fails("not_found", "group.info", cid="#" + second)
    assert olga.call("group.info", cid=cid)["handle"] == ""


def test_open_and_closed(staff):
    olga, _, mia, _, eve, cid = staff
    eve.fails("not_found", "group.info", cid=cid)
    eve.fails("not_found", "history", cid=cid)
    olga.call("group.set", cid=cid, open=True)
    info = eve.call("group.info", cid=cid)
    assert info["members"] == 4 and "role" not in info
    eve.fails("not_member", "history", cid=cid)
    eve.fails("not_member", "send", to=cid, body="x")
    olga.call("group.set", cid=cid, open=False)
    eve.fails("not_found", "group.join", cid=cid)
    assert mia.call("group.info", cid=cid)["open"] is False


# --- What groups show ---

def test_info(staff, again):
    olga, adam, mia, max_, eve, cid = staff
    info = mia.call("group.info", cid=cid)
    assert info["created"] > 0
    assert info == {"cid": cid, "title": "Operations", "topic": "", "handle": "", "open": False, "history": False,
                    "post": "all", "invite": "admins", "members": 4, "online": 4, "created": info["created"],
                    "owners": [olga.name], "role": "member"}
    again(mia)
    max_.close()
    olga.call("group.role", cid=cid, user=adam.name, role="owner")
    deadline = time.monotonic() + PATIENCE
    while (info := adam.call("group.info", cid=cid))["online"] != 3:
        assert time.monotonic() < deadline
    assert info["owners"] == sorted([olga.name, adam.name]) and info["role"] == "owner" and info["members"] == 4
    eve.send("@" + mia.name, "direct")
    direct = mia.message(kind="text")["cid"]
    mia.fails(("not_found", "invalid_params"), "group.info", cid=direct)
    mia.fails(("not_found", "invalid_params"), "group.info", cid="@" + eve.name)


def test_members(staff):
    olga, adam, mia, max_, eve, cid = staff
    max_.call("profile.set", display="Max ü")
    names = sorted(c.name for c in (olga, adam, mia, max_))
    page = mia.call("group.members", cid=cid)
    assert [m["user"] for m in page["members"]] == names and page["more"] is False
    by = {m["user"]: m for m in page["members"]}
    assert by[max_.name] == {"user": max_.name, "display": "Max ü", "role": "member", "online": True}
    assert (by[olga.name]["role"], by[adam.name]["role"]) == ("owner", "admin")
    got, after = [], {}
    while True:
        page = mia.call("group.members", cid=cid, limit=1, **after)
        got += [m["user"] for m in page["members"]]
        after = {"after": got[-1]}
        if not page["more"]:
            break
    assert got == names
    assert [m["user"] for m in mia.call("group.members", cid=cid, role="member")["members"]] == sorted([mia.name, max_.name])
    eve.fails("not_found", "group.members", cid=cid)
    assert mia.call("group.members", cid=cid, limit=10 ** 6)["more"] is False
    for params, bad in (({"limit": 0}, "limit"), ({"role": "x"}, "role"), ({"after": 1}, "after")):
        assert mia.fails("invalid_params", "group.members", cid=cid, **params)["param"] == bad


def test_list(people):
    olga, eve = people("olga", "eve")
    word = new_name("word")
    cids = [make(olga, title=f"{word.title()} {i}", open=True) for i in range(3)]
    cids.append(make(olga, title="Other", handle=word + "-h", open=True))
    make(olga, title=f"{word} closed")
    dismissed = make(olga, title=f"{word} gone", open=True)
    olga.call("group.dismiss", cid=dismissed)
    eve.call("group.join", cid=cids[0])
    page = eve.call("group.list", query=word.upper())
    assert [g["cid"] for g in page["groups"]] == cids and page["more"] is False
    assert page["groups"][0] == {"cid": cids[0], "title": f"{word.title()} 0", "topic": "", "handle": "", "members": 2}
    assert page["groups"][3]["handle"] == word + "-h"
    page = eve.call("group.list", query=word, limit=2)
    assert [g["cid"] for g in page["groups"]] == cids[:2] and page["more"] is True
    page = eve.call("group.list", query=word, limit=2, after=cids[1])
    assert [g["cid"] for g in page["groups"]] == cids[2:] and page["more"] is False
    assert cids[0] in [g["cid"] for g in eve.call("group.list", after=cids[0] - 1, limit=1)["groups"]]
    assert eve.call("group.list", query=new_name("nothing")) == {"groups": [], "more": False}
    olga.call("group.set", cid=cids[0], open=False, title="Hidden")
    assert cids[0] not in [g["cid"] for g in eve.call("group.list", query=word)["groups"]]
    for params, bad in (({"limit": 0}, "limit"), ({"query": ""}, "query"), ({"after": -1}, "after")):
        assert eve.fails("invalid_params", "group.list", params)["param"] == bad


def test_a_long_list_stops_early(confabd, user):
    """Titles and topics of the largest size: more than a frame holds."""
    server = confabd(config={"limit_groups": 300})
    olga = user("olga", server=server, sync=False)
    for i in range(150):
        cid = olga.call("group.create", title="€" * 128, open=True)["cid"]
        olga.call("group.set", cid=cid, topic="€" * 512)
    got, after = [], 0
    while True:
        page = olga.call("group.list", limit=1000, after=after)
        got += [g["cid"] for g in page["groups"]]
        after = got[-1]
        if not page["more"]:
            break
    assert len(got) == len(set(got)) == 150 and got == sorted(got)


def test_who_and_signals_follow_the_membership(staff):
    olga, adam, mia, max_, eve, cid = staff
    assert mia.call("who", scope=cid)["online"] == 4
    olga.call("group.remove", cid=cid, user=mia.name)
    removed(mia, cid, "remove")
    olga.call("signal", to=cid, kind="typing")
    adam.expect("signal", cid=cid)
    mia.call("ping")
    assert not mia.seen("signal")
    assert adam.call("who", scope=cid)["online"] == 3
    eve.fails("not_found", "who", scope=cid)


def test_removed_again_and_again_by_two_admins(people):
    """Invited and removed from two sides, while others write: a device sees whole memberships.  Of one that was over,
    and followed by the next, before the device asked it sees nothing: who joins again sees from his new joining."""
    olga, adam, mia = people("olga", "adam", "mia")
    cid = make(olga, adam)
    olga.call("group.role", cid=cid, user=adam.name, role="admin")
    asked = []
    for _ in range(20):
        asked += [(olga, n) for n in olga.post_all([("group.invite", {"cid": cid, "users": [mia.name]}),
                                                    ("send", {"to": cid, "body": "x"})])]
        asked += [(adam, n) for n in adam.post_all([("group.remove", {"cid": cid, "user": mia.name}),
                                                    ("send", {"to": cid, "body": "y"})])]
    frames = [client.frame(number) for client, number in asked]
    names = {f["error"]["data"]["name"] for f in frames if "error" in f}
    assert names <= {"not_found"}, names
    final = olga.call("group.invite", cid=cid, users=[mia.name])
    head = olga.send(cid, "end")["seq"]
    mia.until_head(cid, head)
    page, entries = None, []
    while page is None or page["more"]:
        page = olga.call("history", cid=cid, after=entries[-1]["seq"] if entries else 0, limit=200)
        entries += page["messages"]
    memberships, inside = [], False
    for entry in entries:
        if entry["kind"] == "join":
            memberships.append([])
            inside = True
        if inside:
            memberships[-1].append(entry["seq"])
        if entry["kind"] == "remove":
            inside = False
    got, seen = [m["seq"] for m in mia.taken("message")], []
    for one in memberships:
        if got[:len(one)] == one:
            got, seen = got[len(one):], one
    assert got == [] and seen == memberships[-1], (memberships, final)
