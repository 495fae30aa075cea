"""contact.block: nothing passes between the two, and the other is not told why."""

import pytest

from lib.client import RpcError
from lib.stores import either, server, store  # noqa: F401 - over both stores

pytestmark = pytest.mark.usefixtures("server")


def pair(user):
    alice, bob = user("alice"), user("bob")
    cid = alice.send("@" + bob.name, "one")["cid"]
    bob.send(cid, "two", cmid="c2")
    for client in (alice, bob):
        client.until_head(cid, 2)
    return alice, bob, cid


def states(client):
    return {c["user"]: c["state"] for c in client.call("contact.list")["contacts"]}


def test_block_and_unblock(user, again):
    alice, bob, cid = pair(user)
    phone = again(alice)
    assert alice.call("contact.block", user=bob.name) == {}
    for device in (alice, phone):
        assert device.expect("contact") == {"user": bob.name, "state": "blocked"}
    alice.fails("already", "contact.block", user=bob.name)
    assert states(alice) == {bob.name: "blocked"} and states(bob) == {}
    for one, two in ((alice, bob), (bob, alice)):
        for to in (cid, "@" + two.name):
            one.fails("blocked", "send", to=to, body="x")
            one.fails("blocked", "signal", to=to, kind="typing")
        one.fails("blocked", "contact.add", user=two.name)
    assert bob.send(cid, "two", cmid="c2")["dup"], "what was stored is answered as it was"
    assert bob.call("history", cid=cid)["head"] == 2
    assert [u["user"] for u in bob.call("user.find", query=alice.name)["users"]] == [alice.name]
    assert alice.call("contact.unblock", user=bob.name) == {}
    for device in (alice, phone):
        assert device.expect("contact") == {"user": bob.name, "state": "unblocked"}
    alice.fails("not_found", "contact.unblock", user=bob.name)
    assert bob.send(cid, "three")["seq"] == 3
    alice.call("signal", to="@" + bob.name, kind="typing")
    assert not bob.seen("contact"), "to him nothing was said"


def test_block_ends_contact_and_requests(user):
    for how in ("contact", "mine", "his"):
        alice, bob = user("alice"), user("bob")
        if how == "his":
            bob.call("contact.add", user=alice.name)
        else:
            alice.call("contact.add", user=bob.name)
        if how == "contact":
            bob.call("contact.accept", user=alice.name)
        alice.call("contact.block", user=bob.name)
        bob.expect("contact", user=alice.name, state="removed")
        assert states(bob) == {} and states(alice) == {bob.name: "blocked"}
        bob.fails("not_found", "contact.accept", user=alice.name)
        bob.fails("not_found", "contact.remove", user=alice.name)
        alice.fails("not_found", "contact.remove", user=bob.name)
        alice.call("contact.unblock", user=bob.name)
        assert states(alice) == {}, "what was before does not come back"


def test_both_may_block(user):
    alice, bob, cid = pair(user)
    alice.call("contact.block", user=bob.name)
    bob.call("contact.block", user=alice.name)
    alice.call("contact.unblock", user=bob.name)
    alice.fails("blocked", "send", to=cid, body="x")
    assert states(bob) == {alice.name: "blocked"}
    bob.call("contact.unblock", user=alice.name)
    assert alice.send(cid, "x")["seq"] == 3


def test_marks_do_not_pass(user, again):
    alice, bob, cid = pair(user)
    phone = again(bob)
    bob.call("mark", cid=cid, read=1)
    alice.expect("mark", user=bob.name, read=1)
    phone.expect("mark", user=bob.name, read=1)
    alice.call("contact.block", user=bob.name)
    assert bob.call("mark", cid=cid, read=2) == {"read": 2, "delivered": 2}
    phone.expect("mark", user=bob.name, read=2)
    alice.call("mark", cid=cid, read=2)
    for client in (alice, bob):
        client.call("ping")
        assert not [m for m in client.seen("mark") if m["user"] != client.name]
    alice.server.settle(cid)
    for one in (alice, bob):
        view = next(c for c in again(one, sync=False).call("sync")["conversations"] if c["cid"] == cid)
        assert view["peer_read"] == view["peer_delivered"] == 0 and view["read"] == 2
    seen = alice.call("receipts", cid=cid, seq=1)
    assert (seen["read"], seen["delivered"], seen["members"]) == (0, 0, 1), seen
    alice.call("contact.unblock", user=bob.name)
    assert alice.call("receipts", cid=cid, seq=1)["read"] == 1
    view = next(c for c in again(alice, sync=False).call("sync")["conversations"] if c["cid"] == cid)
    assert view["peer_read"] == 2


def test_what_is_on_its_way_meets_the_block(user):
    """Whatever is answered after the block was is refused; what was stored both have."""
    alice, bob, cid = pair(user)
    sends = bob.post_all([("send", {"to": cid, "body": str(i)}) for i in range(60)])
    block = alice.post("contact.block", user=bob.name)
    stored = 2
    for number in sends:
        try:
            bob.answer(number)
            stored += 1
        except RpcError as error:
            assert error.name == "blocked"
    assert alice.answer(block) == {}
    bob.fails("blocked", "send", to=cid, body="x")
    assert alice.call("history", cid=cid)["head"] == stored
    alice.until_head(cid, stored)


def test_invitations_do_not_pass(user):
    alice, bob = user("alice"), user("bob")
    alice.call("contact.block", user=bob.name)
    for one, two in ((alice, bob), (bob, alice)):
        made = one.call("group.create", title="t", members=[two.name])
        assert made["failed"] == {two.name: "blocked"}
        assert one.call("group.invite", cid=made["cid"], users=[two.name])["failed"] == {two.name: "blocked"}
