# SPDX-License-Identifier: MIT
"""Groups, contacts, presence, receipts, edits, deletions, the end of an account: the library against a real server."""

import asyncio
import contextlib

import pytest
from lib.fixtures import PASSWORD, new_name

import confab
import confab.blocking
from helpers import PATIENCE, client, play, take, until


async def event_of(user, kind, wanted=lambda event: True):
    """The next event of a class; what comes before it is passed over."""
    while True:
        event = await user.next_event(PATIENCE)
        assert event is not None, f"no {kind.__name__} came"
        if isinstance(event, kind) and wanted(event):
            return event


def contact_of(name, state):
    return lambda event: (event.user, event.state) == (name, state)


@contextlib.asynccontextmanager
async def clients(server, *names, **options):
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(client(server, new_name(name), **options)) for name in names]


def test_a_group_from_its_beginning_to_its_end(server):
    async def story():
        async with clients(server, "ann", "bob", "carl") as (ann, bob, carl):
            handle = new_name("ops")
            made = await ann.group_create("Operations", handle=handle, open=True, members=[bob.user, "no-such-user"])
            assert made.seq == 1 and made.failed == {"no-such-user": "not_found"}
            cid, to = made.cid, "#" + handle
            added = await event_of(bob, confab.ConversationChanged, lambda e: e.change == "added")
            assert (added.conversation.title, added.conversation.target, added.conversation.role) == ("Operations", to, "member")
            assert (await bob.send(to, "hello")).seq == 2
            joined = await carl.group_join(to)
            assert (joined.cid, joined.seq) == (cid, 3)
            await event_of(carl, confab.ConversationChanged, lambda e: e.cid == cid and e.change == "added")
            with pytest.raises(confab.Already):
                await carl.group_join(cid)
            assert [m.seq for m in (await carl.history(cid)).messages] == [3]
            with pytest.raises(confab.NotFound):
                await carl.send(cid, "x", re=2)
            with pytest.raises(confab.Forbidden):
                await bob.group_set(cid, topic="mine")
            assert (await ann.group_role(cid, bob.user, "admin")).seq == 4
            assert (await ann.group_role(cid, bob.user, "admin")).seq is None
            await until_role(bob, cid, "admin")
            assert (await bob.group_mute(cid, carl.user, 3600)).seq == 5
            with pytest.raises(confab.Forbidden):
                await carl.send(cid, "may I?")
            assert (await bob.group_mute(cid, carl.user, 0)).seq == 6
            assert (await ann.group_set(cid, title="Ops", topic="all of it", post="admins", invite="all")).seq == 7
            with pytest.raises(confab.Forbidden):
                await carl.send(cid, "may I?")
            info = await carl.group_info(to)
            assert (info.cid, info.title, info.topic, info.handle, info.open, info.history, info.post, info.invite) == \
                (cid, "Ops", "all of it", handle, True, False, "admins", "all")
            assert (info.members, info.owners, info.role) == (3, [ann.user], "member")
            members = await carl.group_members(cid, limit=2)
            assert members.more and [m.user for m in members.members] == sorted([ann.user, bob.user])
            rest = await carl.group_members(cid, after=members.members[-1].user)
            assert not rest.more and [(m.user, m.role, m.online) for m in rest.members] == [(carl.user, "member", True)]
            assert [m.user for m in (await ann.group_members(cid, role="admin")).members] == [bob.user]
            found = await carl.group_list(handle)
            assert [(g.cid, g.title, g.handle, g.members) for g in found.groups] == [(cid, "Ops", handle, 3)]
            assert cid in [g.cid for g in (await carl.group_list(after=cid - 1, limit=1)).groups]
            assert [u.user for u in (await ann.who(cid)).users] == sorted([ann.user, bob.user, carl.user])
            assert (await bob.group_remove(cid, carl.user, ban=True)).seq == 8
            await event_of(carl, confab.ConversationChanged, lambda e: (e.cid, e.change) == (cid, "removed"))
            assert carl.find(cid) is None
            with pytest.raises(confab.Forbidden):
                await carl.group_join(cid)
            invited = await ann.group_invite(cid, [carl.user, bob.user])
            assert invited.added == [] and invited.failed == {carl.user: "forbidden", bob.user: "already"}
            assert [m.user for m in (await bob.group_members(cid, role="banned")).members] == [carl.user]
            await bob.group_unban(cid, carl.user)
            invited = await ann.group_invite(cid, [carl.user])
            assert (invited.seq, invited.added, invited.failed) == (9, [carl.user], {})
            again = await event_of(carl, confab.ConversationChanged, lambda e: (e.cid, e.change) == (cid, "added"))
            assert again.conversation.min_seq == 9
            assert (await event_of(carl, confab.Message, lambda m: m.cid == cid)).seq == 9
            with pytest.raises(confab.Forbidden):
                await ann.group_leave(cid)
            assert (await bob.group_leave(cid)).seq == 10
            with pytest.raises(confab.NotMember):
                await bob.send(cid, "x")
            assert (await ann.group_dismiss(cid)).seq == 11
            await event_of(carl, confab.ConversationChanged, lambda e: (e.cid, e.change) == (cid, "removed"))
            kinds = [m.kind for m in (await ann.history(cid, after=0)).messages]
            assert kinds == ["create", "text", "join", "role", "mute", "mute", "set", "remove", "join", "leave", "dismiss"]
            with pytest.raises(confab.NotFound):
                await carl.group_info(to)

    play(story())


async def until_role(user, cid, role):
    while user.find(cid) is None or user.find(cid).role != role:
        assert await user.next_event(PATIENCE) is not None


def test_what_a_conversation_is_like_follows_its_entries(server):
    async def story():
        async with clients(server, "ann", "bob") as (ann, bob):
            cid = (await ann.group_create("Before", members=[bob.user])).cid
            handle = new_name("h")
            await ann.group_set(cid, title="After", handle=handle)
            await ann.group_role(cid, bob.user, "owner")
            await until_role(bob, cid, "owner")
            now = bob.find(cid)
            assert (now.title, now.handle, now.head, now.unread) == ("After", handle, 3, 3)
            assert bob.find("#" + handle) == now
            async with client(server, bob.user, register=False) as other:   # as sync has it
                seen = other.find(cid)
                assert (seen.title, seen.handle, seen.role, seen.head, seen.unread) == ("After", handle, "owner", 3, 3)

    play(story())


def test_groups_that_come_and_go_while_one_is_away(server, tmp_path):
    async def story():
        name, path = new_name("bob"), tmp_path / "bob.db"
        async with client(server) as ann:
            async with client(server, name, state=path):
                pass
            left = (await ann.group_create("left", members=[name])).cid
            async with client(server, name, state=path, register=False) as bob:
                assert (await take(bob.messages(changes=True), 1))[0].kind == "create"
            for i in range(3):
                await ann.send(left, f"missed {i}")
            await ann.group_remove(left, name)
            await ann.send(left, "not for him")
            new = (await ann.group_create("new", members=[name])).cid
            async with client(server, name, state=path, register=False) as bob:
                got, over = [], []
                while len(got) < 5 or not over:
                    event = await bob.next_event(PATIENCE)
                    if isinstance(event, confab.Message):
                        got.append((event.cid, event.kind, event.body))
                    elif isinstance(event, confab.ConversationChanged) and event.change == "removed":
                        over.append(event.cid)
                assert [g for g in got if g[0] == left] == [*((left, "text", f"missed {i}") for i in range(3)), (left, "remove", "")]
                assert [g for g in got if g[0] == new] == [(new, "create", "")] and over == [left]
                assert set(bob.conversations) == {new}
            async with client(server, name, state=path, register=False) as bob:
                assert set(bob.conversations) == {new} and await bob.next_event(0.2) is not None

    play(story())


def test_edits_and_deletions(server, tmp_path):
    async def story():
        name, path = new_name("bob"), tmp_path / "bob.db"
        async with client(server) as ann:
            async with client(server, name, state=path) as bob:
                first = await ann.send(f"@{name}", "first", data={"n": 1})
                cid = first.cid
                await ann.send(cid, "second")
                line = confab.Timeline(await take(bob.messages(changes=True), 2))
                edit = await ann.edit(cid, first.seq, "first again", cmid="e1")
                assert (edit.seq, edit.dup) == (3, False)
                assert await ann.edit(cid, first.seq, "first again", cmid="e1") == confab.Sent(cid, 3, edit.ts, "e1", True)
                with pytest.raises(confab.Conflict):
                    await ann.edit(cid, first.seq, "another", cmid="e1")
                with pytest.raises(confab.Forbidden):
                    await bob.edit(cid, first.seq, "mine")
                with pytest.raises(confab.Forbidden):
                    await bob.delete(cid, 2)
                got = (await take(bob.messages(changes=True), 1))[0]
                assert (got.kind, got.re, got.body) == ("edit", 1, "first again")
                assert line.add(got) == (await bob.history(cid)).messages[0]
            gone = await ann.delete(f"@{name}", 2)
            assert (gone.seq, gone.dup) == (4, False) and (await ann.delete(cid, 2)) == confab.Sent(cid, 4, gone.ts, None, True)
            with pytest.raises(confab.NotFound):
                await ann.edit(cid, 2, "too late")
            async with client(server, name, state=path, register=False) as bob:
                got = (await take(bob.messages(changes=True), 1))[0]
                assert (got.kind, got.re) == ("delete", 2)
                assert line.add(got).deleted == 4
                now = (await bob.history(cid, after=0)).messages
                assert [(m.body, m.edited, m.deleted) for m in now[:2]] == [("first again", 3, None), ("", None, 4)]
                assert [(m.body, m.deleted) for m in line][:2] == [("first again", None), ("", 4)]
                assert [m.body for m in line.messages()] == ["first again"] and now[0].data == {"n": 1}

    play(story())


def test_receipts(server):
    async def story():
        async with clients(server, "ann", "bob", "carl", delivered=False) as (ann, bob, carl):
            cid = (await ann.group_create("r", members=[bob.user, carl.user])).cid
            seq = (await ann.send(cid, "read this")).seq
            await bob.mark(cid, read=seq)
            await carl.mark(cid, delivered=seq)
            got = await ann.receipts(cid, seq)
            assert (got.read, got.delivered, got.members, got.more) == (1, 2, 2, False)
            assert [(u.user, u.read, u.delivered) for u in got.users] == [(bob.user, 2, 2), (carl.user, 0, 2)]
            page = await ann.receipts(cid, seq, limit=1)
            assert page.more and [u.user for u in page.users] == [bob.user]
            assert [u.user for u in (await ann.receipts(cid, seq, after=bob.user)).users] == [carl.user]
            with pytest.raises(confab.NotFound):
                await ann.receipts(cid, 99)

    play(story())


def test_contacts(server):
    async def story():
        async with clients(server, "ann", "bob") as (ann, bob):
            assert await ann.contact_add(bob.user, "it is me") == "requested"
            asked = await event_of(bob, confab.ContactChanged)
            assert (asked.user, asked.state, asked.note) == (ann.user, "incoming", "it is me")
            (one,) = (await bob.contact_list()).contacts
            assert (one.user, one.state, one.note) == (ann.user, "incoming", "it is me")
            await bob.contact_accept(ann.user)
            await event_of(ann, confab.ContactChanged, contact_of(bob.user, "contact"))
            (one,) = (await ann.contact_list()).contacts
            assert (one.user, one.state, one.presence) == (bob.user, "contact", "online")
            assert [u.user for u in (await ann.who("contacts")).users] == [bob.user]
            with pytest.raises(confab.Already):
                await bob.contact_add(ann.user)
            await ann.contact_remove(bob.user)
            await event_of(bob, confab.ContactChanged, contact_of(ann.user, "removed"))
            await bob.contact_add(ann.user)
            await event_of(ann, confab.ContactChanged, contact_of(bob.user, "incoming"))
            await ann.contact_reject(bob.user)
            await event_of(bob, confab.ContactChanged, contact_of(ann.user, "rejected"))
            assert (await bob.contact_list()).contacts == []
            await ann.profile_set(accept="contacts")
            with pytest.raises(confab.Forbidden):
                await bob.send(f"@{ann.user}", "x")
            await ann.contact_block(bob.user)
            with pytest.raises(confab.Blocked):
                await bob.send(f"@{ann.user}", "x")
            with pytest.raises(confab.Blocked):
                await bob.contact_add(ann.user)
            assert (await ann.group_create("g", members=[bob.user])).failed == {bob.user: "blocked"}
            (one,) = (await ann.contact_list()).contacts
            assert (one.state, one.presence) == ("blocked", "offline")
            await ann.contact_unblock(bob.user)
            assert await bob.contact_add(ann.user) == "requested" and await ann.contact_add(bob.user) == "contact"
            assert (await bob.send(f"@{ann.user}", "x")).seq == 1

    play(story())


def test_an_account_ends(server, tmp_path):
    async def story():
        name, path = new_name("bob"), tmp_path / "bob.db"
        async with client(server) as ann:
            bob = client(server, name, state=path)
            await bob.start()
            cid = (await bob.group_create("g", members=[ann.user])).cid
            await bob.send(f"@{ann.user}", "so long")
            with pytest.raises(confab.BadCredentials):
                await bob.account_delete("the wrong horse")
            assert bob.state == "ready"
            await bob.account_delete(PASSWORD)
            await until(lambda: bob.state == "login_needed")
            with pytest.raises(confab.SentAway):
                await bob.ping()
            with pytest.raises(confab.BadCredentials):
                await bob.login(name, PASSWORD)
            with pytest.raises(confab.NameTaken):
                await bob.register(name, PASSWORD)
            await bob.close()
            assert "token" not in confab.peek(path)
            left = [m for m in (await ann.history(cid)).messages if m.kind == "leave"]
            assert [m.sender for m in left] == ["deleted"]
            assert (await ann.group_info(cid)).owners == [ann.user]
            (direct,) = [c for c in ann.conversations.values() if c.kind == "direct"]
            assert (await ann.history(direct.cid)).messages[0].sender == "deleted"
            with pytest.raises(confab.NotFound):
                await ann.send(direct.cid, "are you there?")

    play(story())


def test_the_blocking_client_can_do_the_same(server):
    where = f"127.0.0.1:{server.port}"

    def blocking(base):
        return confab.blocking.Client(where, new_name(base), PASSWORD, register=True)

    with blocking("ann") as ann, blocking("bob") as bob:
        made = ann.group_create("g", members=[bob.user])
        cid = made.cid
        assert [m.kind for m in messages_until(bob, cid, 1)] == ["create"]
        sent = bob.send(cid, "hello")
        assert bob.edit(cid, sent.seq, "hullo").seq == 3 and bob.delete(cid, sent.seq).seq == 4
        got = messages_until(ann, cid, 4)
        assert [m.kind for m in got] == ["create", "text", "edit", "delete"]
        assert confab.Timeline(got).messages() == []
        assert ann.receipts(cid, 1).members == 1
        ann.group_role(cid, bob.user, "admin")
        ann.group_mute(cid, bob.user, 0)
        assert ann.group_set(cid, topic="t").seq == 6 and bob.group_info(cid).topic == "t"
        assert [m.user for m in bob.group_members(cid).members] == sorted([ann.user, bob.user])
        assert ann.group_invite(cid, [bob.user]).failed == {bob.user: "already"}
        ann.group_remove(cid, bob.user, ban=True)
        ann.group_unban(cid, bob.user)
        with pytest.raises(confab.Forbidden):
            bob.group_join(cid)
        assert ann.group_list(new_name("none")).groups == []
        ann.group_dismiss(cid)
        with pytest.raises((confab.NotFound, confab.NotMember)):
            bob.group_leave(cid)
        assert ann.contact_add(bob.user) == "requested" and bob.contact_add(ann.user) == "contact"
        ann.contact_remove(bob.user)
        ann.contact_add(bob.user)
        bob.contact_accept(ann.user)
        assert [c.state for c in bob.contact_list().contacts] == ["contact"]
        bob.contact_block(ann.user)
        bob.contact_unblock(ann.user)
        ann.contact_add(bob.user)
        bob.contact_reject(ann.user)
        ann.account_delete(PASSWORD)
        assert bob.profile_get([ann.user or ""]) == []


def messages_until(user, cid, seq):
    got = []
    for message in user.messages(timeout=PATIENCE, changes=True):
        if message.cid == cid:
            got.append(message)
            if message.seq == seq:
                break
    return got
