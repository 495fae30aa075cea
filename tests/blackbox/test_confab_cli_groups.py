"""confab and groups: what scripts say and get, and what a person types and sees."""

import json

import pytest

from lib.confab import CONNECT, REFUSED, USAGE, Terminal, alice, cut, machine, person  # noqa: F401
from lib.fixtures import new_name


@pytest.fixture
def ops(alice, person):
    """Alice's group with bob, open; its handle with the #, and its number."""
    alice.bob = person()
    alice.handle = "#" + new_name("ops")
    alice.cid = int(alice.run("group", "create", "Operations", alice.handle, "@" + alice.bob.name, "--open").out)
    return alice


def rows(got):
    return [line.split("\t") for line in got.out.splitlines()]


def values(got):
    return dict(rows(got))


# --- Scripts ---


def test_create(alice, person):
    bob, handle = person(), new_name("team")
    got = alice.run("group", "create", "The", "team", "#" + handle, "@" + bob.name, "--open", "--history")
    cid = int(got.out)
    assert not got.err
    assert bob.expect("conversation", cid=cid)["title"] == "The team"
    info = values(alice.run("group", "info", "#" + handle))
    assert (info["cid"], info["title"], info["handle"]) == (str(cid), "The team", handle)
    assert (info["open"], info["history"], info["members"], info["owners"], info["role"]) == \
        ("yes", "yes", "2", alice.user, "owner")
    answer = json.loads(alice.run("group", "create", "--json", "Only me").out)
    assert answer["seq"] == 1 and answer["cid"] != cid
    assert values(alice.run("group", "info", str(answer["cid"])))["open"] == "no"


def test_who_could_not_be_added_is_told(alice, person):
    bob = person()
    got = alice.run("group", "create", "Some", "@" + bob.name, "@no-such-one", code=REFUSED)
    assert got.out.strip().isdigit(), "the group is there"
    assert "@no-such-one: there is no user of that name" in got.err and bob.name not in got.err
    got = alice.run("group", "invite", got.out.strip(), "@" + bob.name, code=REFUSED)
    assert f"@{bob.name}: is a member already" in got.err


def test_handles_are_unique(ops):
    assert "taken" in ops.run("group", "create", "Another", ops.handle, code=REFUSED).err


def test_join_leave_list(ops, person, machine, server):
    home = machine(server)
    name = home.register(new_name("carol"))
    listed = rows(home.run("groups", ops.handle))
    assert [row[:4] for row in listed] == [[str(ops.cid), ops.handle[1:], "2", "Operations"]]
    assert [json.loads(line)["cid"] for line in home.run("groups", ops.handle[1:], "--json").out.splitlines()] == [ops.cid]
    home.run("group", "join", ops.handle)
    assert name in [row[0] for row in rows(home.run("group", "members", ops.handle))]
    assert f"* {ops.handle}: you joined" in home.run("history", ops.handle).out
    assert f"* {ops.handle}: {name} joined" in ops.run("history", ops.handle).out
    home.run("group", "leave", ops.handle)
    assert f"* {ops.handle}: {name} left" in ops.run("history", ops.handle).out
    home.run("group", "members", "#no-such-group", code=REFUSED)


def test_members(ops):
    got = {row[0]: row[1:] for row in rows(ops.run("group", "members", ops.handle))}
    assert got[ops.user][0] == "owner" and got[ops.bob.name][:2] == ["member", "yes"]
    assert [row[0] for row in rows(ops.run("group", "members", ops.handle, "owner"))] == [ops.user]
    assert len(rows(ops.run("group", "members", ops.handle, "-n", "1"))) == 1
    users = [json.loads(line)["user"] for line in ops.run("group", "members", str(ops.cid), "--json").out.splitlines()]
    assert users == sorted([ops.user, ops.bob.name])


def test_what_admins_do(ops, person):
    bob, carol = ops.bob, person("carol")
    ops.run("group", "invite", ops.handle, "@" + carol.name)
    ops.run("group", "role", ops.handle, "@" + bob.name, "admin")
    ops.run("group", "mute", ops.handle, carol.name, "10m")
    carol.fails("forbidden", "send", to=ops.cid, body="x")
    ops.run("group", "unmute", ops.handle, "@" + carol.name)
    carol.send(ops.cid, "I may")
    ops.run("group", "topic", ops.handle, "what", "we", "do")
    ops.run("group", "set", ops.handle, "title", "Ops", "and", "more")
    ops.run("group", "set", ops.handle, "post", "admins")
    ops.run("group", "set", ops.handle, "open", "no")
    ops.run("group", "topic", ops.handle, "-")
    ops.run("group", "kick", ops.handle, "@" + carol.name)
    ops.run("group", "ban", ops.handle, "@" + carol.name)
    assert [row[0] for row in rows(ops.run("group", "members", ops.handle, "banned"))] == [carol.name]
    ops.run("group", "unban", ops.handle, "@" + carol.name)
    told = [line.split("* ", 1)[1] for line in ops.run("history", ops.handle, "-n", "100").out.splitlines() if "* " in line]
    assert told[0] == f'{ops.handle}: you made the group "Operations" with {bob.name}'
    sentences = [line.split(": ", 1)[1] for line in told]
    for sentence in (f"you brought in {carol.name}", f"you made {bob.name} an admin", f"you let {carol.name} write again",
                     'you set the topic to "what we do"', 'you set the title to "Ops and more"', "you closed the group",
                     "you took the topic away", f"you removed {carol.name}", f"you banned {carol.name}"):
        assert sentence in sentences
    assert any(s.startswith(f"you muted {carol.name} until ") for s in sentences)
    assert "you let only admins write" in sentences


def test_dismiss(ops):
    ops.run("group", "dismiss", ops.handle)
    ops.bob.expect("conversation", cid=ops.cid, change="removed")
    assert rows(ops.run("groups", ops.handle)) == []


def test_what_is_not_allowed(ops, server, machine):
    home = machine(server)
    home.register(new_name("eve"))
    for words in (["kick", ops.handle, ops.bob.name], ["topic", ops.handle, "x"], ["dismiss", ops.handle],
                  ["role", ops.handle, ops.bob.name, "member"]):
        got = home.run("group", *words, code=REFUSED)
        assert got.err.startswith(f"confab: {ops.handle}: "), got.err
    assert "hand" in ops.run("group", "leave", ops.handle, code=REFUSED).err, "the last owner is told what to do"


@pytest.mark.parametrize("words", [
    [], ["nonsense"], ["create"], ["create", "#handle-only"], ["create", "Title", "two", "#a1", "#b2"], ["join"],
    ["join", "@bob"], ["join", "#ops", "more"], ["kick", "#ops"], ["kick", "@bob"], ["role", "#ops", "@bob", "king"],
    ["mute", "#ops", "@bob"], ["mute", "#ops", "@bob", "10"], ["mute", "#ops", "@bob", "soon"], ["topic", "#ops"],
    ["set", "#ops", "colour", "red"], ["set", "#ops", "open", "maybe"], ["set", "#ops", "title"], ["members"],
    ["members", "#ops", "kings"], ["info"], ["dismiss"]])
def test_wrong_usage(alice, words):
    alice.run("group", *words, code=USAGE)


def test_an_answer_that_got_lost(cut, person):
    """What might be done twice is not tried again; what only asks is."""
    bob, home = person(), cut()
    handle = "#" + new_name("ops")
    got = home.run("group", "create", "Once", handle, "@" + bob.name, code=CONNECT)
    assert "may be done or not" in got.err
    assert values(home.run("group", "info", handle))["members"] == "2"
    again = cut()
    assert json.loads(again.run("find", bob.name, "--json").out)["user"] == bob.name
    assert again.cutter.connections == 2


# --- A person ---


def test_a_group_by_typing(alice, person):
    bob, carol, handle = person(), person("carol"), "#" + new_name("ops")
    terminal = Terminal(alice, NO_COLOR="1")
    terminal.until("/help")
    terminal.type(f"/group create Our group {handle} @{bob.name}\n")
    terminal.until(f'\\* {handle}: you made the group "Our group" with {bob.name}')
    terminal.until(f"{handle}> ")
    terminal.type("hello all\n")
    cid = bob.message(body="hello all")["cid"]
    terminal.type(f"/invite @{carol.name} @no-such-one\n")
    terminal.until_all(f"\\* {handle}: you brought in {carol.name}", "@no-such-one: there is no user of that name")
    carol.message(kind="join")
    carol.send(cid, "thanks")
    terminal.until(f"\\[4\\] {carol.name} -> {handle}: thanks")
    terminal.type("/members\n")
    terminal.until(f"-- @{bob.name}  member, online")
    terminal.type(f"/role @{bob.name} admin\n/topic what it is about\n")
    terminal.until(f"you made {bob.name} an admin")
    terminal.until('you set the topic to "what it is about"')
    bob.call("group.remove", cid=cid, user=carol.name)
    terminal.until(f"{bob.name} removed {carol.name}")
    terminal.type("/info\n")
    terminal.until(f"-- Our group  {handle}  \\(number {cid}\\): what it is about")
    terminal.until("-- 2 members, \\d online; owned by .*you are: owner")
    terminal.type(f"/set handle {handle[1:]}-new\n")
    terminal.until(f"set the handle to {handle}-new")
    terminal.until(f"{handle}-new> ")
    terminal.type("still here\n")
    bob.message(body="still here")
    terminal.type(f"/ban {bob.name}\n")
    terminal.until(f"you banned {bob.name}")
    terminal.type(f"/kick {bob.name}\n")
    terminal.until("-- /kick: ")
    terminal.type("/dismiss\n")
    terminal.until("usage: /dismiss #GROUP")
    terminal.type(f"/dismiss {handle}-new\n")
    terminal.until("you are no member of")
    terminal.type("/quit\n")
    terminal.end()


def test_coming_and_going(ops, machine, server):
    home = machine(server)
    name = home.register(new_name("carol"))
    terminal = Terminal(home, NO_COLOR="1")
    terminal.until("/help")
    terminal.type("/leave\n")
    terminal.until("choose a conversation first")
    terminal.type(f"/groups {ops.handle}\n")
    terminal.until(f"-- {ops.cid}  {ops.handle}  Operations  \\(2 members\\)")
    terminal.type(f"/join {ops.handle}\n")
    terminal.until(f"{ops.handle}> ")
    ops.bob.message(kind="join")
    terminal.type("here I am\n")
    ops.bob.message(body="here I am")
    terminal.type("/leave\n")
    terminal.until(f"you are no member of {ops.handle} any more")
    ops.bob.message(kind="leave")
    terminal.type("nobody hears this\n")
    terminal.until("choose whom to write to first")
    ops.run("group", "invite", ops.handle, "@" + name)
    terminal.until(f"you are in the group Operations; to write there: /to {ops.handle}")
    terminal.type("/quit\n")
    terminal.end()


def test_what_is_typed_is_completed(ops):
    terminal = Terminal(ops, ops.handle, NO_COLOR="1")
    terminal.until("/help")
    terminal.type("/memb\t\n")
    terminal.until(f"-- @{ops.bob.name}  member")
    terminal.type(f"/mu\t{ops.bob.name[:-1]}\t5m\n")
    terminal.until(f"you muted {ops.bob.name} until")
    terminal.type(f"/role @{ops.bob.name} adm\t\n")
    terminal.until(f"you made {ops.bob.name} an admin")
    terminal.type(f"/to {ops.handle[:4]}\t\n")
    terminal.type("a\tb\n")
    assert ops.bob.message(kind="text")["body"] in ("ab", "a b")
    terminal.type("/quit\n")
    terminal.end()


def test_a_long_list_goes_on(alice, person):
    bob, title = person(), new_name("Long list")
    for number in range(105):
        bob.call("group.create", title=f"{title} {number:03}", open=True)
    assert len(rows(alice.run("groups", title))) == 105
    assert len(rows(alice.run("groups", title, "-n", "101"))) == 101
    terminal = Terminal(alice, NO_COLOR="1")
    terminal.until("/help")
    terminal.type("/more\n")
    terminal.until("choose whose history first")
    terminal.type(f"/groups {title}\n")
    terminal.until(f"{title} 099.*\r\n-- /more goes on")
    terminal.type("/more\n")
    terminal.until(f"{title} 104")
    terminal.type("/more\n")
    terminal.until("this was all")
    terminal.type("/quit\n")
    terminal.end()


def test_a_group_from_a_pipe(alice, person):
    bob, handle = person(), "#" + new_name("ops")
    alice.run(stdin=f"/group create Piped {handle} @{bob.name}\nfirst\n/topic about\nsecond\n")
    got = [bob.message() for _ in range(4)]
    assert [(m["kind"], m.get("body")) for m in got] == [("create", None), ("text", "first"), ("set", None), ("text", "second")]
    assert got[0]["to"] == handle
