"""contact.*: requests, acceptance, the list; on all devices, offline, at the same time."""

import pytest

from lib.client import RpcError
from lib.server import wait_for
from lib.stores import either, on_disk, server, store  # noqa: F401 - over both stores

pytestmark = pytest.mark.usefixtures("server")


def pair(user, **options):
    return user("alice", **options), user("bob", **options)


def befriend(one, two):
    one.call("contact.add", user=two.name)
    two.call("contact.accept", user=one.name)
    for a, b in ((one, two), (two, one)):
        a.expect("contact", user=b.name, state="contact")


def listed(client, **params):
    return {c["user"]: c for c in client.call("contact.list", **params)["contacts"]}


def states(client):
    return {name: c["state"] for name, c in listed(client).items()}


def quiet(*clients):
    for client in clients:
        client.call("ping")
        assert not client.seen("contact"), client.frames[-3:]


def test_a_request_and_its_acceptance(user, again):
    alice, bob = pair(user)
    phone, unsynced = again(bob), again(alice, sync=False)
    assert alice.call("contact.add", user=bob.name.upper(), note="it's me ü") == {"state": "requested"}
    assert alice.expect("contact") == {"user": bob.name, "state": "requested"}
    for device in (bob, phone):
        assert device.expect("contact") == {"user": alice.name, "state": "incoming", "note": "it's me ü"}
    assert listed(alice)[bob.name] == {"user": bob.name, "display": bob.name, "state": "requested", "presence": "offline"}
    assert listed(bob)[alice.name]["note"] == "it's me ü" and listed(bob)[alice.name]["presence"] == "offline"
    assert phone.call("contact.accept", user=alice.name) == {}
    assert alice.expect("contact") == {"user": bob.name, "state": "contact"}
    for device in (bob, phone):
        assert device.expect("contact") == {"user": alice.name, "state": "contact"}
    assert listed(alice) == {bob.name: {"user": bob.name, "display": bob.name, "state": "contact", "presence": "online"}}
    assert "note" not in listed(bob)[alice.name]
    quiet(alice, bob, phone)
    unsynced.call("ping")
    assert not unsynced.seen("contact")


def test_errors(user):
    alice, bob = pair(user)
    for method in ("add", "accept", "reject", "remove", "block", "unblock"):
        method = "contact." + method
        assert alice.fails("not_found", method, user="no-such-user") is not None
        assert alice.fails("invalid_params", method)["param"] == "user"
        assert alice.fails("invalid_params", method, user="!")["param"] == "user"
        assert alice.fails("invalid_params", method, user=alice.name)["param"] == "user"
    for method in ("accept", "reject", "remove", "unblock"):
        alice.fails("not_found", "contact." + method, user=bob.name)
    for note in ("x" * 257, "a\nb", 7):
        assert alice.fails("invalid_params", "contact.add", user=bob.name, note=note)["param"] == "note"
    alice.call("contact.add", user=bob.name, note="é" * 256)
    alice.fails("already", "contact.add", user=bob.name)
    alice.fails("not_found", "contact.accept", user=bob.name)
    alice.fails("not_found", "contact.reject", user=bob.name)
    bob.fails("not_found", "contact.remove", user=alice.name)
    bob.call("contact.accept", user=alice.name)
    for one, two in ((alice, bob), (bob, alice)):
        one.fails("already", "contact.accept", user=two.name)
        one.fails("already", "contact.add", user=two.name)
        one.fails("not_found", "contact.reject", user=two.name)
    assert alice.fails("invalid_params", "contact.list", limit=0)["param"] == "limit"
    assert alice.fails("invalid_params", "contact.list", after=7)["param"] == "after"


def test_who_is_not_logged_in_has_no_contacts(dial):
    client = dial()
    for method in ("add", "accept", "reject", "remove", "block", "unblock"):
        client.fails("not_logged_in", "contact." + method, user="bob")
    client.fails("not_logged_in", "contact.list")
    client.fails("not_logged_in", "account.delete", password="x")


def test_rejected_withdrawn_removed(user):
    alice, bob = pair(user)
    alice.call("contact.add", user=bob.name)
    bob.call("contact.reject", user=alice.name)
    alice.expect("contact", user=bob.name, state="rejected")
    bob.expect("contact", user=alice.name, state="rejected")
    assert states(alice) == states(bob) == {}
    alice.call("contact.add", user=bob.name)
    alice.call("contact.remove", user=bob.name)
    for one, two in ((alice, bob), (bob, alice)):
        one.expect("contact", user=two.name, state="removed")
        assert states(one) == {}
    bob.fails("not_found", "contact.accept", user=alice.name)
    befriend(alice, bob)
    bob.call("contact.remove", user=alice.name)
    for one, two in ((alice, bob), (bob, alice)):
        one.expect("contact", user=two.name, state="removed")
        assert states(one) == {}


def test_who_was_away_finds_the_request_in_his_list(user, again):
    alice, bob = pair(user)
    bob.close()
    alice.call("contact.add", user=bob.name, note="call me")
    bob = again(bob)
    quiet(bob)
    assert listed(bob)[alice.name]["note"] == "call me"
    bob.call("contact.accept", user=alice.name)
    alice.expect("contact", user=bob.name, state="contact")


def test_crossing_requests_make_contacts(user):
    for _ in range(5):
        alice, bob = pair(user)
        asked = alice.post("contact.add", user=bob.name), bob.post("contact.add", user=alice.name)
        answers = [alice.answer(asked[0]), bob.answer(asked[1])]
        assert sorted(a["state"] for a in answers) == ["contact", "requested"]
        assert states(alice) == {bob.name: "contact"} and states(bob) == {alice.name: "contact"}
        alice.expect("contact", user=bob.name, state="contact")
        bob.expect("contact", user=alice.name, state="contact")


def test_accept_and_block_at_once(user):
    for _ in range(5):
        alice, bob = pair(user)
        alice.call("contact.add", user=bob.name)
        accepting, blocking = bob.post("contact.accept", user=alice.name), alice.post("contact.block", user=bob.name)
        assert alice.answer(blocking) == {}
        try:
            assert bob.answer(accepting) == {}
        except RpcError as error:
            assert error.name == "not_found"
        assert states(alice) == {bob.name: "blocked"} and states(bob) == {}
        bob.expect("contact", user=alice.name, state="removed")


def test_presence_in_the_list(user, again):
    alice, bob = pair(user)
    befriend(alice, bob)
    assert listed(alice)[bob.name]["presence"] == "online"
    bob.close()
    wait_for(lambda: listed(alice)[bob.name]["presence"] == "offline", 20, "bob offline")
    seen = listed(alice)[bob.name].get("seen")
    assert seen is None or abs(seen - alice.call("ping")["ts"]) < 60_000
    again(bob)
    wait_for(lambda: listed(alice)[bob.name]["presence"] == "online", 20, "bob online")
    assert "seen" not in listed(alice)[bob.name]


def test_pages(user):
    alice = user("alice")
    names = sorted(user(f"u{i}").name for i in range(5))
    for name in names:
        alice.call("contact.add", user=name)
    found, after = [], {}
    while True:
        page = alice.call("contact.list", limit=2, **after)
        assert len(page["contacts"]) <= 2
        found += [c["user"] for c in page["contacts"]]
        if not page["more"]:
            break
        after = {"after": found[-1]}
    assert found == names
    assert alice.call("contact.list", after=names[-1]) == {"contacts": [], "more": False}


def test_a_list_is_bounded_on_either_side(confabd, user, store):
    server = confabd(config={"limit_contacts": 3, **store})
    alice, *others = [user(name, server=server) for name in ("alice", "u1", "u2", "u3", "u4", "u5")]
    for other in others[:3]:
        other.call("contact.add", user=alice.name)
    assert others[3].fails("limit", "contact.add", user=alice.name)["max"] == 3
    assert alice.fails("limit", "contact.add", user=others[3].name)["max"] == 3
    # Nobody is kept from blocking; of blocks there are as many again.
    for other in (others[3], others[4], others[0]):
        alice.call("contact.block", user=other.name)
    assert alice.fails("limit", "contact.block", user=others[1].name)["max"] == 3
    alice.call("contact.reject", user=others[1].name)
    others[1].call("contact.add", user=alice.name)


def test_only_contacts_may_begin(user):
    alice, bob = pair(user)
    alice.call("profile.set", accept="contacts")
    bob.fails("forbidden", "send", to="@" + alice.name, body="x")
    bob.call("contact.add", user=alice.name)
    bob.fails("forbidden", "send", to="@" + alice.name, body="x")
    assert bob.call("group.create", title="t", members=[alice.name])["failed"] == {alice.name: "forbidden"}
    alice.call("contact.accept", user=bob.name)
    cid = bob.send("@" + alice.name, "x")["cid"]
    assert bob.call("group.create", title="t", members=[alice.name])["failed"] == {}
    alice.call("contact.remove", user=bob.name)
    bob.send(cid, "what was begun goes on")


@on_disk
def test_contacts_outlive_a_restart(confabd, user, again):
    server = confabd()
    alice, bob, carol = [user(name, server=server) for name in ("alice", "bob", "carol")]
    befriend(alice, bob)
    carol.call("contact.add", user=alice.name, note="hello")
    for client in (alice, bob, carol):
        client.close()
    server.stop()
    server.start()
    alice = again(alice, server=server)
    got = listed(alice)
    assert {n: c["state"] for n, c in got.items()} == {bob.name: "contact", carol.name: "incoming"}
    assert got[carol.name]["note"] == "hello"
