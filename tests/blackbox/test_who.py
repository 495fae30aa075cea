"""who, and who of a group is online."""

from lib.fixtures import PASSWORD
from lib.server import wait_for


def names(result):
    return [u["user"] for u in result["users"]]


def test_who_of_contacts(user):
    alice, bob, carol = user("alice"), user("bob"), user("carol")
    for other in (bob, carol):
        alice.call("contact.add", user=other.name)
        other.call("contact.accept", user=alice.name)
    bob.call("presence.set", state="busy")
    carol.call("presence.set", state="invisible")
    shown = {"online": 1, "users": [{"user": bob.name, "display": bob.name, "state": "busy"}], "more": False}
    wait_for(lambda: alice.call("who", scope="contacts") == shown, what="bob busy, and no carol")


def test_who_of_a_group(user, again):
    alice, bob, carol, eve = user("alice"), user("bob"), user("carol"), user("eve")
    cid = alice.call("group.create", title="T", members=[bob.name, carol.name])["cid"]
    everyone = sorted(c.name for c in (alice, bob, carol))
    wait_for(lambda: names(bob.call("who", scope=cid)) == everyone, 10, "all of the group")
    eve.fails("not_found", "who", scope=cid)
    carol.call("presence.set", state="invisible")
    wait_for(lambda: names(bob.call("who", scope=cid)) == sorted([alice.name, bob.name]), what="a group without carol")
    assert bob.call("who", scope=cid)["online"] == 2
    alice.call("contact.block", user=bob.name)
    got = bob.call("who", scope=cid)
    assert names(got) == [bob.name] and got["online"] == 1
    assert bob.call("group.info", cid=cid)["online"] == 1
    online = {m["user"]: m["online"] for m in bob.call("group.members", cid=cid)["members"]}
    assert online == {alice.name: False, bob.name: True, carol.name: False}
    bob.call("group.leave", cid=cid)
    assert bob.fails(("not_member", "not_found"), "who", scope=cid)


def test_who_may_not_write_sees_who_is_there(user):
    alice, bob = user("alice"), user("bob")
    cid = alice.call("group.create", title="T", members=[bob.name])["cid"]
    alice.call("group.mute", cid=cid, user=bob.name, seconds=600)
    wait_for(lambda: names(bob.call("who", scope=cid)) == sorted([alice.name, bob.name]), 10, "both")


def test_a_closed_directory_hides_no_members(confabd, user):
    server = confabd(config={"directory": "closed"})
    alice, bob = (user(n, server=server) for n in ("alice", "bob"))
    cid = alice.call("group.create", title="T", members=[bob.name])["cid"]
    wait_for(lambda: names(bob.call("who", scope=cid)) == sorted([alice.name, bob.name]), 10, "both")
    assert {m["online"] for m in bob.call("group.members", cid=cid)["members"]} == {True}
    alice.fails("forbidden", "who", scope="all")


def test_a_closed_directory_hides_who_is_banned(confabd, user):
    """Anybody can be banned by anybody, from a group of his own."""
    server = confabd(config={"directory": "closed"})
    alice, bob, eve = (user(n, server=server) for n in ("alice", "bob", "eve"))
    mine = alice.call("group.create", title="T", members=[bob.name])["cid"]
    wait_for(lambda: names(bob.call("who", scope=mine)) == sorted([alice.name, bob.name]), 10, "both")
    cid = eve.call("group.create", title="T")["cid"]
    eve.call("group.remove", cid=cid, user=bob.name, ban=True)
    assert [m["online"] for m in eve.call("group.members", cid=cid, role="banned")["members"]] == [False]


def test_pages_of_many(confabd, user):
    server = confabd(config={"limit_connections": 1000})
    users = [user(f"u{i:03}", server=server) for i in range(60)]
    expected = sorted(c.name for c in users)
    asks = users[7]
    wait_for(lambda: asks.call("who", scope="all")["online"] == 60, 15, "everybody")
    found, after = [], {}
    while True:
        page = asks.call("who", {"scope": "all", "limit": 7, **after})
        assert page["online"] == 60 and len(page["users"]) <= 7
        found += names(page)
        if not page["more"]:
            break
        after = {"after": found[-1]}
    assert found == expected


def test_the_metric_counts_users_with_a_synced_connection_once(confabd, user, again, dial):
    server = confabd()

    def wait_online(count):
        wait_for(lambda: server.metrics().total("confab_users_online") == count, 20, f"{count} users online")

    assert server.metrics().total("confab_users_online") == 0
    ann = user("ann", server=server)
    second, third = again(ann, server=server), again(ann, server=server)
    user("bob", server=server, sync=False)          # logged in, and not online
    carl = user("carl", server=server)
    carl.call("presence.set", state="invisible")
    wait_online(2)
    second.close()
    ann.close()
    late = again(ann, server=server, sync=False)
    wait_online(2)
    late.call("sync")
    wait_online(2)
    third.close()
    wait_online(2)
    late.close()
    wait_online(1)
    carl.call("account.delete", password=PASSWORD)
    wait_online(0)
