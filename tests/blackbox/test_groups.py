"""PROTOCOL §5, groups: how they begin and end, who comes and goes, what each of them sees."""

from lib.fixtures import PASSWORD, new_name
from lib.groups import added, make, quiet, removed, role_of


# --- Creating ---

def test_create_alone(people):
    olga, = people("olga")
    answer = olga.call("group.create", title="Nur ich ü")
    assert answer["seq"] == 1 and answer["failed"] == {}
    view = olga.expect("conversation")
    assert {k: view[k] for k in ("cid", "kind", "title", "role", "min_seq", "next", "head", "change")} == {
        "cid": answer["cid"], "kind": "group", "title": "Nur ich ü", "role": "owner", "min_seq": 1, "next": 1, "head": 1,
        "change": "added"}
    assert "handle" not in view and "peer" not in view
    entry = olga.message()
    assert (entry["seq"], entry["kind"], entry["from"], entry["to"]) == (1, "create", olga.name, answer["cid"])
    assert entry["data"] == {"users": [olga.name], "title": "Nur ich ü"}


def test_create_with_members(people, again):
    olga, mia, max_ = people("olga", "mia", "max")
    twin = again(mia)
    handle = new_name("ops")
    answer = olga.call("group.create", title="Ops", handle=handle.upper(), open=True,
                       members=[mia.name, max_.name.upper(), mia.name])
    assert answer["failed"] == {}
    for client in (olga, mia, twin, max_):
        view = added(client, answer["cid"])
        assert view["handle"] == handle and view["role"] == ("owner" if client is olga else "member")
        assert (view["next"], view["read"], view["unread"]) == (1, 0, 1)
    olga.send("#" + handle, "hello")
    for client in (olga, mia, twin, max_):
        got = client.message(seq=2)
        assert (got["to"], got["body"], got["cid"]) == ("#" + handle, "hello", answer["cid"])


def test_create_with_members_who_can_not_be_added(people):
    olga, mia, max_ = people("olga", "mia", "max")
    max_.call("profile.set", accept="contacts")
    nobody = new_name("nobody")
    answer = olga.call("group.create", title="Ops", members=[nobody, mia.name, max_.name, olga.name, nobody, olga.name,
                                                                max_.name.upper()])
    assert answer["failed"] == {nobody: "not_found", max_.name: "forbidden", olga.name: "already"}
    added(mia, answer["cid"])
    assert olga.message()["data"]["users"] == [olga.name, mia.name]
    quiet(max_)


def test_create_refused(people):
    olga, mia = people("olga", "mia")
    handle = new_name("ops")
    olga.call("group.create", title="Ops", handle=handle)
    mia.fails("name_taken", "group.create", title="Ops", handle=handle)
    for reserved in ("all", "here", "everyone", "server", "deleted"):
        assert mia.fails("name_taken", "group.create", title="Ops", handle=reserved)["param"] == "handle"
    for params, bad in (({}, "title"), ({"title": ""}, "title"), ({"title": "x" * 129}, "title"), ({"title": "a\nb"}, "title"),
                        ({"title": "t", "handle": "x"}, "handle"), ({"title": "t", "handle": ""}, "handle"),
                        ({"title": "t", "members": "bob"}, "members"), ({"title": "t", "open": "yes"}, "open"),
                        ({"title": "t", "history": 1}, "history")):
        assert mia.fails("invalid_params", "group.create", params)["param"] == bad
    assert mia.fails("too_large", "group.create", title="t", members=[f"u{i:03}" for i in range(101)])["max"] == 100
    quiet(mia)


def test_create_up_to_the_limit(confabd, user):
    server = confabd(config={"limit_groups": 2, "limit_members": 3})
    olga, mia, max_, eve = (user(n, server=server) for n in ("olga", "mia", "max", "eve"))
    cid = make(olga, mia)
    assert olga.call("group.create", title="2", members=[mia.name, max_.name, eve.name])["failed"] == {eve.name: "limit"}
    assert olga.fails("limit", "group.create", title="3")["max"] == 2
    assert olga.call("group.invite", cid=cid, users=[max_.name])["failed"] == {}
    assert olga.call("group.invite", cid=cid, users=[eve.name])["failed"] == {eve.name: "limit"}
    olga.call("group.set", cid=cid, open=True)
    assert eve.fails("limit", "group.join", cid=cid)["max"] == 3
    olga.call("group.dismiss", cid=cid)
    assert olga.call("group.create", title="3")["seq"] == 1


# --- Coming ---

def test_join_an_open_group(people, again):
    olga, mia = people("olga", "mia")
    twin = again(mia)
    handle = new_name("open")
    cid = make(olga, handle=handle, open=True)
    for i in range(3):
        olga.send(cid, f"before {i}")
    answer = mia.call("group.join", cid="#" + handle.upper())
    assert answer == {"cid": cid, "seq": 5}
    for client in (mia, twin):
        view = client.expect("conversation", cid=cid)
        assert (view["change"], view["min_seq"], view["next"], view["read"], view["unread"], view["role"]) == (
            "added", 5, 5, 4, 1, "member")
        entry = client.message()
        assert (entry["seq"], entry["kind"], entry["from"], entry["data"]) == (5, "join", mia.name, {"users": [mia.name]})
    olga.send(cid, "after")
    assert [client.message()["seq"] for client in (mia, twin)] == [6, 6]
    assert [m["seq"] for m in olga.messages(5)] == [2, 3, 4, 5, 6]
    page = mia.call("history", cid=cid, after=0)
    assert [m["seq"] for m in page["messages"]] == [5, 6] and page["min_seq"] == 5
    mia.fails("already", "group.join", cid=cid)


def test_join_refused(people):
    olga, eve = people("olga", "eve")
    closed, handle = make(olga), new_name("closed")
    make(olga, handle=handle)
    for cid in (closed, "#" + handle, 2 ** 53 - 1, "#" + new_name("nothing")):
        eve.fails("not_found", "group.join", cid=cid)
    eve.fails(("not_found", "invalid_params"), "group.join", cid="@" + olga.name)
    eve.send("@" + olga.name, "direct")
    direct = olga.message(kind="text")["cid"]
    for client in (eve, olga):
        client.fails(("not_found", "forbidden", "already", "invalid_params"), "group.join", cid=direct)


def test_invite(people):
    olga, mia, max_, kim = people("olga", "mia", "max", "kim")
    cid = make(olga, mia)
    nobody = new_name("nobody")
    answer = olga.call("group.invite", cid=cid, users=[max_.name, mia.name, nobody, kim.name, olga.name])
    assert answer == {"seq": 2, "added": [max_.name, kim.name],
                      "failed": {mia.name: "already", nobody: "not_found", olga.name: "already"}}
    for client in (max_, kim):
        assert added(client, cid)["min_seq"] == 2
    for client in (olga, mia):
        entry = client.message(seq=2)
        assert (entry["kind"], entry["from"], entry["data"]) == ("join", olga.name, {"users": [max_.name, kim.name]})
    assert olga.call("group.invite", cid=cid, users=[mia.name]) == {"added": [], "failed": {mia.name: "already"}}
    assert olga.call("group.invite", cid=cid, users=[]) == {"added": [], "failed": {}}
    quiet(olga, mia, max_, kim)


def test_invitation_by_members_if_the_group_says_so(people):
    olga, mia, max_, kim, eve = people("olga", "mia", "max", "kim", "eve")
    cid = make(olga, mia)
    mia.fails("forbidden", "group.invite", cid=cid, users=[max_.name])
    olga.call("group.set", cid=cid, invite="all")
    assert mia.call("group.invite", cid=cid, users=[max_.name])["added"] == [max_.name]
    added(max_, cid)
    olga.call("group.set", cid=cid, invite="admins")
    max_.fails("forbidden", "group.invite", cid=cid, users=[kim.name])
    eve.fails("not_found", "group.invite", cid=cid, users=[kim.name])
    olga.call("group.set", cid=cid, open=True)
    eve.fails("not_member", "group.invite", cid=cid, users=[kim.name])
    quiet(kim, eve)


def test_invitation_of_who_is_away(people, again, dial):
    olga, mia = people("olga", "mia")
    cid = make(olga)
    mia.close()
    olga.send(cid, "before")
    olga.call("group.invite", cid=cid, users=[mia.name])
    olga.send(cid, "after")
    back = again(mia)
    result = again(mia, sync=False).call("sync")
    (view,) = [v for v in result["conversations"] if v["cid"] == cid]
    assert (view["next"], view["head"], view["min_seq"], view["unread"]) == (3, 4, 3, 2)
    assert [m["seq"] for m in back.messages(2)] == [3, 4]


def test_invitation_of_who_syncs_at_the_moment(people, again):
    """However the two meet, he gets the stream from his joining on."""
    olga, mia = people("olga", "mia")
    for round_ in range(12):
        cid = olga.call("group.create", title=f"{round_}")["cid"]
        fresh = again(mia, sync=False)
        asked = fresh.post("sync", backlog=500)
        olga.call("group.invite", cid=cid, users=[mia.name])
        olga.send(cid, "after")
        fresh.answer(asked)
        fresh.until_head(cid, 3)
        assert [m["seq"] for m in fresh.taken("message") if m["cid"] == cid] == [2, 3]
        fresh.close()


# --- Going ---

def test_leave(people, again):
    olga, mia = people("olga", "mia")
    twin = again(mia)
    cid = make(olga, mia)
    olga.send(cid, "x")
    assert mia.call("group.leave", cid=cid) == {"seq": 3}
    for client in (mia, twin):
        assert removed(client, cid, "leave") == 3
    entry = olga.message(kind="leave")
    assert (entry["from"], entry["seq"]) == (mia.name, 3) and "data" not in entry and "re" not in entry
    olga.send(cid, "without her")
    quiet(mia, twin)
    for method, params in (("send", {"to": cid, "body": "x"}), ("mark", {"cid": cid, "read": 1}), ("group.leave", {"cid": cid}),
                           ("group.members", {"cid": cid}), ("who", {"scope": cid}), ("group.invite", {"cid": cid, "users": []})):
        mia.fails("not_member", method, params)
    page = mia.call("history", cid=cid)
    assert [m["seq"] for m in page["messages"]] == [1, 2, 3] and page["head"] == 3
    client = again(mia, sync=False)
    (view,) = client.call("sync", epoch=client.epoch, cursors={str(cid): 1})["conversations"]
    assert (view["role"], view["head"], view["next"]) == ("none", 3, 2)
    assert [m["seq"] for m in client.messages(2)] == [2, 3]
    quiet(client)
    olga.fails("not_found", "group.leave", cid=2 ** 53 - 1)


def test_come_back(people, again):
    """Left and invited again: seen from the new joining on, live and by a cursor from before."""
    olga, mia = people("olga", "mia")
    cid = make(olga, mia)
    mia.call("group.leave", cid=cid)
    assert removed(mia, cid, "leave") == 2
    olga.send(cid, "unseen")
    assert olga.call("group.invite", cid=cid, users=[mia.name])["seq"] == 4
    assert added(mia, cid)["min_seq"] == 4
    olga.send(cid, "seen")
    assert mia.message()["seq"] == 5
    client = again(mia, sync=False)
    (view,) = [v for v in client.call("sync", epoch=client.epoch, cursors={str(cid): 1})["conversations"] if v["cid"] == cid]
    assert (view["role"], view["min_seq"], view["next"], view["head"]) == ("member", 4, 4, 5)
    assert [m["seq"] for m in client.messages(2)] == [4, 5]
    assert [m["seq"] for m in mia.call("history", cid=cid, after=0)["messages"]] == [4, 5]


def test_in_and_out_many_times(people, again):
    olga, mia = people("olga", "mia")
    twin = again(mia)
    cid = make(olga, open=True)
    for _ in range(15):
        joined = mia.call("group.join", cid=cid)["seq"]
        olga.send(cid, "x")
        left = mia.call("group.leave", cid=cid)["seq"]
        assert left == joined + 2
        olga.send(cid, "not for her")
        for client in (mia, twin):
            assert client.expect("conversation", change="added")["next"] == joined
            assert [m["seq"] for m in client.messages(3)] == [joined, joined + 1, left]
            client.expect("conversation", change="removed", cid=cid)
    quiet(mia, twin)


def test_the_last_owner_hands_over_first(people):
    olga, mia = people("olga", "mia")
    cid = make(olga, mia)
    olga.fails("forbidden", "group.leave", cid=cid)
    olga.call("group.role", cid=cid, user=mia.name, role="owner")
    olga.call("group.leave", cid=cid)
    removed(olga, cid, "leave")
    assert role_of(mia, cid) == "owner"
    mia.send(cid, "mine")


def test_the_last_member_dismisses_by_leaving(people):
    olga, eve = people("olga", "eve")
    handle = new_name("solo")
    cid = make(olga, handle=handle, open=True)
    assert olga.call("group.leave", cid=cid) == {"seq": 2}
    assert removed(olga, cid, "dismiss") == 2
    eve.fails("not_found", "group.join", cid="#" + handle)
    eve.fails("not_found", "group.join", cid=cid)
    assert eve.call("group.create", title="again", handle=handle)["seq"] == 1


def test_remove(people, again):
    olga, adam, mia, max_ = people("olga", "adam", "mia", "max")
    twin = again(mia)
    cid = make(olga, adam, mia, max_)
    olga.call("group.role", cid=cid, user=adam.name, role="admin")
    assert adam.call("group.remove", cid=cid, user=mia.name.upper()) == {"seq": 3}
    for client in (mia, twin):
        assert removed(client, cid, "remove") == 3
    entry = max_.message(kind="remove")
    assert (entry["from"], entry["data"]) == (adam.name, {"user": mia.name, "ban": False})
    olga.send(cid, "without her")
    quiet(mia, twin)
    mia.fails("not_member", "send", to=cid, body="x")
    max_.fails("forbidden", "group.remove", cid=cid, user=adam.name)
    adam.fails("forbidden", "group.remove", cid=cid, user=olga.name)
    adam.fails(("forbidden", "invalid_params"), "group.remove", cid=cid, user=adam.name)
    olga.fails("not_found", "group.remove", cid=cid, user=mia.name)
    olga.fails("not_found", "group.remove", cid=cid, user=new_name("nobody"))
    assert adam.call("group.invite", cid=cid, users=[mia.name])["added"] == [mia.name]
    added(mia, cid)


def test_ban(people):
    olga, mia, eve = people("olga", "mia", "eve")
    cid = make(olga, mia, open=True)
    assert olga.call("group.remove", cid=cid, user=mia.name, ban=True) == {"seq": 2}
    assert removed(mia, cid, "remove") == 2
    assert olga.message(kind="remove")["data"] == {"user": mia.name, "ban": True}
    mia.fails("forbidden", "group.join", cid=cid)
    assert olga.call("group.invite", cid=cid, users=[mia.name])["failed"] == {mia.name: "forbidden"}
    # Also who never was in.
    assert olga.call("group.remove", cid=cid, user=eve.name, ban=True) == {"seq": 3}
    eve.fails("forbidden", "group.join", cid=cid)
    olga.fails("already", "group.remove", cid=cid, user=eve.name, ban=True)
    page = olga.call("group.members", cid=cid, role="banned")
    assert [m["user"] for m in page["members"]] == sorted([mia.name, eve.name])
    assert all(m["role"] == "banned" for m in page["members"])
    assert olga.call("group.unban", cid=cid, user=mia.name) == {}
    assert [m["user"] for m in olga.call("group.members", cid=cid, role="banned")["members"]] == [eve.name]
    assert mia.call("group.join", cid=cid)["seq"] == 4
    added(mia, cid)
    mia.fails("forbidden", "group.members", cid=cid, role="banned")
    mia.fails("forbidden", "group.unban", cid=cid, user=eve.name)
    olga.fails("not_found", "group.unban", cid=cid, user=new_name("nobody"))
    quiet(eve)


def test_dismiss(people, again):
    olga, mia, max_ = people("olga", "mia", "max")
    handle = new_name("short")
    cid = make(olga, mia, max_, handle=handle, open=True)
    max_.close()
    mia.fails("forbidden", "group.dismiss", cid=cid)
    assert olga.call("group.dismiss", cid="#" + handle) == {"seq": 2}
    for client in (olga, mia):
        assert removed(client, cid, "dismiss") == 2
    for client in (olga, mia):
        client.fails(("not_member", "not_found"), "send", to=cid, body="x")
        assert [m["seq"] for m in client.call("history", cid=cid)["messages"]] == [1, 2]
        client.fails(("not_member", "not_found"), "group.dismiss", cid=cid)
        assert cid not in [g["cid"] for g in client.call("group.list", query=handle)["groups"]]
    back = again(max_, sync=False)
    (view,) = back.call("sync", epoch=back.epoch, cursors={str(cid): 1})["conversations"]
    assert (view["role"], view["head"], view["next"]) == ("none", 2, 2)
    assert back.message()["kind"] == "dismiss"
    other = mia.call("group.create", title="another", handle=handle)["cid"]
    assert mia.send("#" + handle, "x")["cid"] == other
    quiet(olga)


# --- History ---

def test_history_from_the_start(people, again):
    olga, mia = people("olga", "mia")
    cid = make(olga, open=True, history=True)
    for i in range(3):
        olga.send(cid, str(i))
    mia.call("group.join", cid=cid)
    view = added(mia, cid)
    assert (view["min_seq"], view["next"], view["read"], view["unread"]) == (1, 5, 4, 1)
    assert [m["seq"] for m in mia.call("history", cid=cid, after=0)["messages"]] == [1, 2, 3, 4, 5]
    client = again(mia, sync=False)
    client.call("sync", epoch=client.epoch, cursors={str(cid): 0})
    assert [m["seq"] for m in client.messages(5)] == [1, 2, 3, 4, 5]
    # A former end of hers is past: reading over it ends nothing.
    mia.call("group.leave", cid=cid)
    assert removed(mia, cid, "leave") == 6
    mia.call("group.join", cid=cid)
    assert added(mia, cid)["next"] == 7
    client = again(mia, sync=False)
    client.call("sync", epoch=client.epoch, cursors={str(cid): 2})
    assert [m["seq"] for m in client.messages(5)] == [3, 4, 5, 6, 7]
    olga.send(cid, "on")
    assert client.message()["seq"] == 8
    quiet(client)


# --- In the middle of it ---

def test_reconnect_in_the_middle(people, again):
    """Away while others come and go, and he himself is removed and comes back."""
    olga, mia, max_ = people("olga", "mia", "max")
    cid = make(olga, mia)
    mia.abort()
    olga.send(cid, "2")
    olga.call("group.invite", cid=cid, users=[max_.name])
    olga.call("group.set", cid=cid, title="Another")
    back = again(mia, sync=False)
    result = back.call("sync", epoch=back.epoch, cursors={str(cid): 1})
    assert result["conversations"][0]["title"] == "Another"
    assert [(m["seq"], m["kind"]) for m in back.messages(3)] == [(2, "text"), (3, "join"), (4, "set")]
    back.abort()
    olga.call("group.remove", cid=cid, user=mia.name)
    olga.send(cid, "unseen")
    back = again(mia, sync=False)
    (view,) = back.call("sync", epoch=back.epoch, cursors={str(cid): 3})["conversations"]
    assert (view["role"], view["head"]) == ("none", 5)
    assert [m["seq"] for m in back.messages(2)] == [4, 5]
    # Back again while connected.
    olga.call("group.invite", cid=cid, users=[mia.name])
    assert added(back, cid)["next"] == 7
    olga.send(cid, "8")
    assert back.message()["seq"] == 8


def test_a_slow_reader_is_removed(people, again):
    """His queue is full of what he has not read: what comes after his removal is not for him."""
    olga, mia = people("olga", "mia")
    cid = make(olga, mia)
    asked = olga.post_all([("send", {"to": cid, "body": "x" * 4000}) for _ in range(300)])
    gone = olga.post("group.remove", cid=cid, user=mia.name)
    after = olga.post_all([("send", {"to": cid, "body": "secret"}) for _ in range(20)])
    for number in (*asked, *after):
        olga.answer(number)
    seq = olga.answer(gone)["seq"]
    mia.until_head(cid, seq)
    mia.expect("conversation", change="removed", cid=cid)
    seqs = [m["seq"] for m in mia.taken("message")]
    assert seqs == list(range(2, seq + 1))
    quiet(mia)


def test_requests_in_flight_of_who_is_removed(people):
    """Each send of his is before the removal, or refused."""
    olga, mia = people("olga", "mia")
    cid = make(olga, mia)
    for _ in range(5):
        asked = mia.post_all([("send", {"to": cid, "body": "x"}) for _ in range(20)])
        gone = olga.call("group.remove", cid=cid, user=mia.name)["seq"]
        for number in asked:
            frame = mia.frame(number)
            if "error" in frame:
                assert frame["error"]["data"]["name"] == "not_member"
            else:
                assert frame["result"]["seq"] < gone
        assert removed(mia, cid, "remove") == gone
        mia.taken("message")
        assert olga.call("group.invite", cid=cid, users=[mia.name])["added"] == [mia.name]
        added(mia, cid)


# --- Without a session ---

def test_all_need_a_session(dial):
    client = dial()
    for method in "create join leave invite remove unban role mute set info members list dismiss".split():
        client.fails("not_logged_in", "group." + method, cid=1, user="bob", users=[], title="t", role="member", seconds=0)
    client.call("register", user=new_name(), password=PASSWORD)
