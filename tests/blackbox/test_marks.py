"""mark, and what sync tells of marks."""

import pytest

from lib.fixtures import PASSWORD, new_name
from lib.server import wait_for


@pytest.fixture
def talk(user):
    alice, bob = user("alice"), user("bob")
    for i in range(10):
        cid = alice.send("@" + bob.name, f"m{i}")["cid"]
    return alice, bob, cid


def view(client, cid):
    return [c for c in client.call("sync")["conversations"] if c["cid"] == cid][0]


def test_marks_only_grow_and_read_draws_delivered_along(talk):
    alice, bob, cid = talk
    assert bob.call("mark", cid=cid, delivered=4) == {"read": 0, "delivered": 4}
    assert bob.call("mark", cid=cid, read=2) == {"read": 2, "delivered": 4}
    assert bob.call("mark", cid=cid, read=6) == {"read": 6, "delivered": 6}
    assert bob.call("mark", cid=cid, read=3, delivered=1) == {"read": 6, "delivered": 6}
    assert bob.call("mark", cid=cid, read=7, delivered=9) == {"read": 7, "delivered": 9}
    assert bob.call("mark", cid=cid, read=1000000, delivered=1) == {"read": 10, "delivered": 10}
    assert alice.call("mark", cid=cid, delivered=1) == {"read": 0, "delivered": 1}


def test_marks_go_to_the_peer_and_to_the_own_other_connections(talk, again):
    alice, bob, cid = talk
    twin = again(bob)
    twin.until_head(cid, 10)
    bob.call("mark", cid="@" + alice.name, read=5)
    due = {"cid": cid, "user": bob.name, "read": 5, "delivered": 5}
    for client in (alice, twin):
        assert client.expect("mark") == due
    twin.call("mark", cid=cid, delivered=8)
    for client in (alice, bob):
        assert client.expect("mark") == {"cid": cid, "user": bob.name, "read": 5, "delivered": 8}
    bob.call("ping")
    assert not bob.seen("mark") and not twin.seen("mark"), "not to the connection that marks"


def test_what_changes_nothing_is_not_told(talk):
    alice, bob, cid = talk
    bob.call("mark", cid=cid, read=5)
    alice.expect("mark", read=5)
    bob.call("mark", cid=cid, read=4)
    bob.call("mark", cid=cid, read=5)
    bob.call("mark", cid=cid, read=6)
    assert alice.expect("mark")["read"] == 6


def test_sync_tells_the_marks_of_both(talk, again):
    alice, bob, cid = talk
    bob.call("mark", cid=cid, delivered=9, read=4)
    alice.expect("mark")
    bob.server.settle(cid)
    mine = view(again(bob, sync=False), cid)
    assert (mine["read"], mine["delivered"], mine["unread"], mine["next"]) == (4, 9, 6, 5)
    assert (mine["peer_read"], mine["peer_delivered"]) == (0, 0)
    theirs = view(again(alice, sync=False), cid)
    assert (theirs["read"], theirs["delivered"], theirs["unread"]) == (0, 0, 10)
    assert (theirs["peer_read"], theirs["peer_delivered"]) == (4, 9)


def test_targets_and_params(talk, user):
    _, bob, cid = talk
    eve = user("eve")
    eve.fails("not_found", "mark", cid=cid, read=1)
    eve.fails("not_found", "mark", cid=9007199254740990, read=1)
    eve.fails("not_found", "mark", cid="@" + bob.name, read=1)
    eve.fails("not_found", "mark", cid="@no-such-user", read=1)
    assert bob.fails("invalid_params", "mark", read=1)["param"] == "cid"
    for name in ("read", "delivered"):
        for value in (-1, "1", 1.5, True, {}):
            assert bob.fails("invalid_params", "mark", {"cid": cid, name: value})["param"] == name


def test_marks_outlive_the_process(confabd, dial):
    server = confabd()
    alice, bob = dial(server), dial(server)
    for client in (alice, bob):
        client.login_as(client.call("register", user=new_name(), password=PASSWORD))
    cid = [alice.send("@" + bob.name, "x") for _ in range(9)][0]["cid"]
    bob.call("mark", cid=cid, read=3, delivered=7)
    server.stop()
    server.start()
    back = dial(server)
    back.call("resume", token=bob.token)
    mine = view(back, cid)
    assert (mine["read"], mine["delivered"]) == (3, 7)
    back.call("mark", cid=cid, read=8)
    wait_for(lambda: server.sql("SELECT count(*) FROM member WHERE cid = ? AND read_seq = 8", cid) == [(1,)], 5,
             "the mark in the store")
    server.restart(hard=True)
    back = dial(server)
    back.call("resume", token=bob.token)
    mine = view(back, cid)
    assert (mine["read"], mine["delivered"]) == (8, 8)
