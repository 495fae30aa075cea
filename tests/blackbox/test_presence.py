"""presence.set, presence.watch, and what is told of it."""

import itertools

import pytest

from lib.fixtures import PASSWORD, new_name
from lib.server import wait_for

QUICK = {"presence_leave_ms": 1000}


@pytest.fixture
def near(confabd, user):
    """Users of a server that tells of leavings soon."""
    server = confabd(config=QUICK)
    return lambda name, **more: user(name, server=server, **more)


def state(client, name):
    return client.call("presence.get", users=[name])["users"][0]


def told(client, user, **shown):
    """The next presence notification is this one."""
    got = client.expect("presence")
    seen = got.pop("seen", None)
    assert got == {"user": user.name, **shown}
    return seen


def watch(client, *users):
    """Of people who are online: that comes to the watcher's node before, and is no news then."""
    for user in users:
        wait_for(lambda: state(client, user.name)["state"] == "online", what=f"{user.name} online")
    client.call("presence.watch", users=[user.name for user in users])


def befriend(one, two):
    one.call("contact.add", user=two.name)
    assert two.call("contact.add", user=one.name) == {"state": "contact"}


def test_set_and_watch(user):
    alice, bob = user("alice"), user("bob")
    wait_for(lambda: state(alice, bob.name)["state"] == "online", 10, "bob online")
    assert alice.call("presence.watch", users=[bob.name, "no-such-user"])["users"] == [{"user": bob.name, "state": "online"}]
    assert bob.call("presence.set", state="busy", text="at work ☕") == {}
    told(alice, bob, state="busy", text="at work ☕")
    assert state(alice, bob.name) == {"user": bob.name, "state": "busy", "text": "at work ☕"}
    bob.call("presence.set", state="busy")
    bob.call("presence.set", state="online", text="")
    told(alice, bob, state="online")
    assert alice.call("presence.watch", users=[])["users"] == []
    bob.call("presence.set", state="away")
    wait_for(lambda: state(alice, bob.name)["state"] == "away", what="bob away")
    assert not alice.seen("presence")


def test_the_list_is_replaced(user):
    alice, bob, carol = user("alice"), user("bob"), user("carol")
    watch(alice, bob)
    watch(alice, carol, carol)
    bob.call("presence.set", state="busy")
    carol.call("presence.set", state="busy")
    told(alice, carol, state="busy")
    assert not alice.seen("presence")


def test_a_leaving_is_told_late(near, again):
    alice, bob = near("alice"), near("bob")
    watch(alice, bob)
    bob.abort()
    bob = again(bob)
    bob.call("presence.set", state="busy")
    told(alice, bob, state="busy")
    bob.close()
    seen = told(alice, bob, state="offline")
    assert abs(seen - alice.call("ping")["ts"]) < 30_000
    again(bob)
    told(alice, bob, state="busy")


def test_away_of_two_devices(user, again):
    alice, bob = user("alice"), user("bob")
    phone = again(bob)
    watch(alice, bob)
    bob.call("presence.set", state="away")
    assert state(alice, bob.name)["state"] == "online"
    phone.call("presence.set", state="away", text="lunch")
    told(alice, bob, state="away", text="lunch")
    bob.call("presence.set", state="online")
    told(alice, bob, state="online", text="lunch")
    bob.close()
    told(alice, bob, state="away", text="lunch")


def test_invisible(user, again):
    alice, bob = user("alice"), user("bob")
    watch(alice, bob)
    bob.call("presence.set", state="invisible")
    assert told(alice, bob, state="offline") is None
    assert state(alice, bob.name) == {"user": bob.name, "state": "offline"}
    assert bob.name not in [u["user"] for u in alice.call("who", scope="all", limit=1000)["users"]]
    alice.send("@" + bob.name, "I know that you are there")
    assert bob.expect("message")["body"] == "I know that you are there"
    bob.close()
    wait_for(lambda: state(alice, bob.name) == {"user": bob.name, "state": "offline"}, 5, "no trace of his going")
    bob = again(bob)
    assert not alice.seen("presence")
    bob.call("presence.set", state="online")
    told(alice, bob, state="online")


def test_what_was_set_is_kept(confabd, user, dial, again):
    server = confabd()
    alice, bob = user("alice", server=server), user("bob", server=server)
    bob.call("presence.set", state="busy", text="thinking")
    bob.close()
    wait_for(lambda: state(alice, bob.name)["state"] == "offline", 10, "bob offline")
    client = dial(server=server)
    client.call("login", user=bob.name, password=PASSWORD, sync=True)
    wait_for(lambda: state(alice, bob.name)["state"] == "busy", 10, "bob busy")
    alice.close()
    client.close()
    server.restart()
    alice, bob = again(alice), again(bob)
    wait_for(lambda: state(alice, bob.name) == {"user": bob.name, "state": "busy", "text": "thinking"}, 10, "bob busy")


def test_contacts_are_always_watched(user, again):
    alice, bob = user("alice"), user("bob")
    befriend(alice, bob)
    told(alice, bob, state="online")
    told(bob, alice, state="online")
    alice.call("presence.watch", users=[])
    twin = again(alice)
    bob.call("presence.set", state="busy")
    for client in (alice, twin):
        told(client, bob, state="busy")
    listed = alice.call("contact.list")["contacts"]
    assert [(c["user"], c["presence"]) for c in listed] == [(bob.name, "busy")]
    alice.call("contact.remove", user=bob.name)
    states = itertools.cycle(["online", "busy"])

    def unheard():
        shown = next(states)
        bob.call("presence.set", state=shown)
        wait_for(lambda: state(alice, bob.name)["state"] == shown, what=f"bob {shown}")
        return not alice.taken("presence")

    # Her node reads what stands between them now, and so hears of him for a moment more.
    wait_for(unheard, what="an end of news")


def test_a_block_hides_both(user):
    alice, bob = user("alice"), user("bob")
    watch(alice, bob)
    watch(bob, alice)
    bob.call("contact.block", user=alice.name)
    assert told(alice, bob, state="offline") is None
    told(bob, alice, state="offline")
    bob.call("presence.set", state="busy")
    for one, two in ((alice, bob), (bob, alice)):
        assert state(one, two.name) == {"user": two.name, "state": "offline"}
        assert two.name not in [u["user"] for u in one.call("who", scope="all", limit=1000)["users"]]
    assert alice.call("presence.watch", users=[bob.name])["users"] == [{"user": bob.name, "state": "offline"}]
    assert not alice.seen("presence")
    bob.call("contact.unblock", user=alice.name)
    wait_for(lambda: alice.call("presence.watch", users=[bob.name])["users"][0]["state"] == "busy", 5, "bob busy")


def test_a_closed_directory(confabd, user):
    server = confabd(config={"directory": "closed"})
    alice, bob, eve = (user(n, server=server) for n in ("alice", "bob", "eve"))
    befriend(alice, bob)
    told(alice, bob, state="online")
    assert eve.call("presence.watch", users=[bob.name])["users"] == [{"user": bob.name, "state": "offline"}]
    bob.call("presence.set", state="busy")
    told(alice, bob, state="busy")
    assert state(eve, bob.name) == {"user": bob.name, "state": "offline"} and not eve.seen("presence")
    # Partners of a direct conversation see each other, from its beginning.
    eve.send("@" + bob.name, "hello")
    told(eve, bob, state="busy")
    assert state(eve, bob.name)["state"] == "busy"


def test_errors(user, dial):
    alice = user("alice")
    for params, param in (({}, "state"), ({"state": "offline"}, "state"), ({"state": 7}, "state"),
                          ({"state": "busy", "text": 7}, "text"), ({"state": "busy", "text": "x" * 129}, "text"),
                          ({"state": "busy", "text": "a\nb"}, "text")):
        assert alice.fails("invalid_params", "presence.set", params)["param"] == param
    alice.call("presence.set", state="busy", text="é" * 128)
    for params in ({}, {"users": "x"}, {"users": [7]}):
        assert alice.fails("invalid_params", "presence.watch", params)["param"] == "users"
    assert len(alice.call("presence.watch", users=["no-such-user"] * 999 + [alice.name])["users"]) == 1
    assert alice.fails("too_large", "presence.watch", users=["no-such-user"] * 1001)["max"] == 1000
    stranger = dial()
    stranger.fails("not_logged_in", "presence.set", state="busy")
    stranger.fails("not_logged_in", "presence.watch", users=[])
