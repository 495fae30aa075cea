"""account.delete: what goes, what stays, and what others see of it."""

import pytest

from lib.across import ACROSS
from lib.client import Closed, RpcError
from lib.fixtures import PASSWORD, new_name
from lib.stores import either, on_disk, server, store  # noqa: F401 - over both stores

pytestmark = pytest.mark.usefixtures("server")


def delete(client, **more):
    assert client.call("account.delete", password=PASSWORD, **more) == {}
    client.gone_away("session_revoked")


def test_errors(user):
    alice = user("alice")
    alice.fails("bad_credentials", "account.delete", password="wrong horse")
    alice.fails("bad_credentials", "account.delete", password="")
    assert alice.fails("invalid_params", "account.delete")["param"] == "password"
    assert alice.fails("invalid_params", "account.delete", password=7)["param"] == "password"
    alice.fails(("too_large", "invalid_params"), "account.delete", password="x" * 1025)
    assert alice.call("profile.get", users=[alice.name])["users"][0]["user"] == alice.name


def test_the_account_is_gone(user, again, dial):
    alice, bob = user("alice", display="Alice"), user("bob")
    alice.call("profile.set", status="here")
    phone, unsynced = again(alice), again(alice, sync=False)
    delete(alice)
    phone.gone_away("session_revoked")
    unsynced.gone_away("session_revoked")
    client = dial()
    client.fails("bad_credentials", "login", user=alice.name, password=PASSWORD)
    client.fails("token_invalid", "resume", token=alice.token)
    client.fails("name_taken", "register", user=alice.name, password=PASSWORD)
    assert bob.call("profile.get", users=[alice.name])["users"] == []
    assert bob.call("user.find", query=alice.name)["users"] == []
    assert bob.call("presence.get", users=[alice.name])["users"] == []
    bob.fails("not_found", "send", to="@" + alice.name, body="x")
    bob.fails("not_found", "contact.add", user=alice.name)
    bob.fails("not_found", "contact.block", user=alice.name)


def test_what_he_wrote_stays(user, again):
    alice, bob = user("alice", display="Alice A"), user("bob")
    cid = alice.send("@" + bob.name, "hello", cmid="a1")["cid"]
    bob.send(cid, "hi")
    bob.until_head(cid, 2)
    delete(alice)
    got = bob.call("history", cid=cid)["messages"]
    assert [(m["from"], m["to"], m["body"]) for m in got] == [
        ("deleted", "@" + bob.name, "hello"), (bob.name, "@deleted", "hi")]
    bob.fails("not_found", "send", to=cid, body="x")
    bob.fails("not_found", "signal", to=cid, kind="typing")
    bob.call("mark", cid=cid, read=2)
    # The same for who reads it anew, though the first connection follows it since before.
    fresh = again(bob, sync=False)
    view = next(c for c in fresh.call("sync", epoch=bob.epoch, cursors={str(cid): 0})["conversations"] if c["cid"] == cid)
    assert (view["peer"], view["title"]) == ("deleted", "deleted")
    assert [(m["from"], m["to"]) for m in fresh.messages(2, cid=cid)] == [
        ("deleted", "@" + bob.name), (bob.name, "@deleted")]


def test_contacts_are_told(user):
    alice, bob, carol, dave = [user(n) for n in ("alice", "bob", "carol", "dave")]
    alice.call("contact.add", user=bob.name)
    bob.call("contact.accept", user=alice.name)
    carol.call("contact.add", user=alice.name)
    dave.call("contact.block", user=alice.name)
    for client in (bob, carol, dave):
        client.call("ping")
        client.taken("contact")
    delete(alice)
    for client in (bob, carol):
        assert client.expect("contact") == {"user": alice.name, "state": "removed"}
    for client in (bob, carol, dave):
        assert client.call("contact.list") == {"contacts": [], "more": False}
    assert not dave.seen("contact")


def test_he_leaves_his_groups(user):
    alice, bob, carol = [user(n) for n in ("alice", "bob", "carol")]
    own = alice.call("group.create", title="own", members=[bob.name, carol.name])["cid"]
    alone = alice.call("group.create", title="alone", handle=new_name("alone"), open=True)["cid"]
    other = bob.call("group.create", title="other", members=[alice.name])["cid"]
    alice.send(own, "hello")
    for client in (bob, carol):
        client.until_head(own, 2)
    delete(alice)
    kinds = [bob.message(cid=own)["kind"] for _ in range(4)]
    assert kinds == ["create", "text", "role", "leave"]
    assert bob.call("group.info", cid=own)["owners"] == [bob.name], "the eldest follows"
    assert bob.call("group.info", cid=own)["members"] == 2
    assert bob.call("group.info", cid=other)["members"] == 1
    bob.fails("not_found", "group.info", cid=alone)
    assert {m["from"] for m in bob.call("history", cid=own)["messages"]} == {"deleted"}
    assert carol.send(own, "on we go")["seq"] == 5


def test_many_groups_go_in_one(confabd, user, store):
    count = 100 if ACROSS else 300      # a database on a busy machine has 10 s for it, too
    server = confabd(config={"limit_groups": 500, **store})
    alice, bob = user("alice", server=server), user("bob", server=server)
    made = alice.post_all([("group.create", {"title": f"g{i}", "members": [bob.name]}) for i in range(count)])
    cids = [alice.answer(number)["cid"] for number in made]
    delete(alice)
    for cid in (cids[0], cids[count // 2], cids[-1]):
        bob.until_head(cid, 3)
        assert bob.call("group.info", cid=cid)["owners"] == [bob.name]


def test_from_two_devices_at_once(user, again):
    for _ in range(3):
        alice, bob = user("alice"), user("bob")
        phone = again(alice)
        cid = alice.send("@" + bob.name, "hello")["cid"]
        asked = [(client, client.post_all([("account.delete", {"password": PASSWORD})], may_end=True)[0])
                 for client in (alice, phone)]
        outcomes = []
        for client, number in asked:
            try:
                outcomes.append(client.answer(number))
            except RpcError as error:
                assert error.name in ("session_revoked", "bad_credentials")
            except Closed:
                pass
        # A node that hears of the end from another hangs up, be the answer still on its way from the store.
        assert outcomes == [{}] or ACROSS and not outcomes
        for client, _ in asked:
            client.wait_closed()
        bob.fails("not_found", "send", to=cid, body="x")


def test_what_is_in_flight(user, again):
    """What others or he himself sent at that moment is stored before it, or not at all."""
    alice, bob = user("alice"), user("bob")
    phone = again(alice)
    cid = alice.send("@" + bob.name, "hello")["cid"]
    bob.until_head(cid, 1)
    ending = alice.post("account.delete", password=PASSWORD)
    sends = bob.post_all([("send", {"to": cid, "body": "x"}) for _ in range(50)])
    late = phone.post_all([("send", {"to": cid, "body": "y"}) for _ in range(50)], may_end=True)
    assert alice.answer(ending) == {}
    stored = 1
    for client, numbers in ((bob, sends), (phone, late)):
        for number in numbers:
            try:
                client.answer(number)
                stored += 1
            except RpcError as error:
                assert error.name == ("not_found" if client is bob else "session_revoked")
            except Closed:
                break
    head = bob.call("history", cid=cid)["head"]
    assert head >= stored, "what was answered is there"
    bob.until_head(cid, head)
    bob.fails("not_found", "send", to=cid, body="x")


@on_disk
def test_it_outlives_a_restart(confabd, user, dial):
    server = confabd()
    alice, bob = user("alice", server=server), user("bob", server=server)
    cid = alice.send("@" + bob.name, "hello")["cid"]
    delete(alice)
    server.stop()
    server.start()
    client = dial(server)
    client.fails("bad_credentials", "login", user=alice.name, password=PASSWORD)
    client.fails("name_taken", "register", user=alice.name, password=PASSWORD)
    client.call("login", user=bob.name, password=PASSWORD)
    assert client.call("history", cid=cid)["messages"][0]["from"] == "deleted"


@pytest.mark.parametrize("method, params", [
    ("contact.add", {"user": "x1"}), ("send", {"to": 1, "body": "x"}), ("contact.list", {}), ("profile.set", {"status": "x"})])
def test_nothing_more_is_done_for_him(user, method, params):
    """Pipelined behind it: answered session_revoked, or not any more."""
    alice = user("alice")
    first, second = alice.post_all([("account.delete", {"password": PASSWORD}), (method, params)], may_end=True)
    assert alice.answer(first) == {}
    alice.wait_closed()
