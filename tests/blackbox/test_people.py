"""profile.set, profile.get, user.find, who, presence.get, signal."""

import pytest

from lib.fixtures import PASSWORD, new_name
from lib.server import wait_for


def offline(client, name):
    return client.call("presence.get", users=[name])["users"][0]["state"] == "offline"


# --- Profiles ---

def test_profile(user):
    alice, bob = user("alice", display="Al"), user("bob")
    assert alice.call("profile.set", display="Alice 🎈", status="on the road") == {}
    got = bob.call("profile.get", users=[alice.name, "no-such-user", bob.name])["users"]
    assert [u["user"] for u in got] == [alice.name, bob.name], "unknown ones are left out"
    assert (got[0]["display"], got[0]["status"], got[0]["user_id"]) == ("Alice 🎈", "on the road", alice.user_id)
    assert got[1]["status"] == ""
    assert alice.call("profile.set", status="") == {}
    assert alice.call("profile.set") == {}
    got = bob.call("profile.get", users=[alice.name])["users"][0]
    assert (got["display"], got["status"]) == ("Alice 🎈", "")
    assert bob.call("profile.get", users=[])["users"] == []


def test_profile_outlives_a_login(user, dial):
    alice = user("alice")
    alice.call("profile.set", display="New Name")
    client = dial()
    assert client.call("login", user=alice.name, password=PASSWORD)["display"] == "New Name"


def test_profile_errors(user):
    alice = user("alice")
    for params, param in [({"display": ""}, "display"), ({"display": "x" * 65}, "display"), ({"display": "a\nb"}, "display"),
                          ({"display": 5}, "display"), ({"status": "x" * 257}, "status"), ({"status": "\u0000"}, "status"),
                          ({"status": "a\tb"}, "status"), ({"status": 7}, "status"), ({"accept": "none"}, "accept"),
                          ({"accept": True}, "accept")]:
        assert alice.fails("invalid_params", "profile.set", params)["param"] == param
    alice.call("profile.set", display="é" * 64, status="é" * 256)
    assert alice.fails("invalid_params", "profile.get")["param"] == "users"
    for users in ("x", 7, {}, [7], [None], [["x"]]):
        assert alice.fails("invalid_params", "profile.get", users=users)["param"] == "users"
    assert len(alice.call("profile.get", users=["no-such-user"] * 99 + [alice.name])["users"]) == 1
    data = alice.fails(("too_large", "invalid_params"), "profile.get", users=["no-such-user"] * 101)
    assert data.get("max", 100) == 100


def test_titles_follow_the_display_name(user, again):
    alice, bob = user("alice"), user("bob")
    alice.send("@" + bob.name, "x")
    alice.call("profile.set", display="Renamed")
    assert again(bob, sync=False).call("sync")["conversations"][0]["title"] == "Renamed"


# --- user.find ---

def test_user_find(user):
    base = new_name("find")
    alice = user(base + "-a", exact=True, display="Zebra " + base)
    user(base + "-b", exact=True, display="Ähm " + base)
    user(base + "-c", exact=True)

    def find(query, **more):
        return [u["user"] for u in alice.call("user.find", query=query, **more)["users"]]

    assert find(base) == [base + "-a", base + "-b", base + "-c"]
    assert find(base + "-b") == [base + "-b"]
    assert find("Zebra " + base) == [base + "-a"]
    assert find("Ähm " + base) == [base + "-b"]
    assert find(base, limit=2) == [base + "-a", base + "-b"]
    assert find("nobody has this") == [] and find("%" + base[1:]) == [] and find("_" + base[1:]) == []
    for query in ("x", "", "x" * 65, 7, None):
        assert alice.fails("invalid_params", "user.find", query=query)["param"] == "query"
    assert find("q" * 64) == []


# --- Presence: users on different shards ---

def spread(server, user, count=6):
    """So many users that at least two shards have some; the first two are on different ones."""
    clients = [user(f"u{i}", server=server) for i in range(count)]
    shards = server.shards()
    used = {shards[c.local_port] for c in clients}
    assert len(used) >= 2, f"all connections are on one reactor of {server.workers}"
    first = clients[0]
    other = next(c for c in clients if shards[c.local_port] != shards[first.local_port])
    return first, other, clients


def test_presence_across_shards(server, user, again):
    alice, bob, _ = spread(server, user)
    for one, two in ((alice, bob), (bob, alice)):
        got = one.call("presence.get", users=[two.name, "no-such-user", one.name])["users"]
        states = {u["user"]: u["state"] for u in got}
        assert states[two.name] == "online" and states[one.name] == "online"
    twin = again(bob)
    bob.close()
    assert not offline(alice, bob.name), "one connection is enough"
    twin.close()
    wait_for(lambda: offline(alice, bob.name), 15, "bob offline")
    seen = alice.call("presence.get", users=[bob.name])["users"][0].get("seen")
    assert seen is None or abs(seen - alice.call("ping")["ts"]) < 60_000
    again(twin)
    wait_for(lambda: not offline(alice, bob.name), 10, "bob online")


def test_who_is_not_synced_is_not_online(user, again):
    alice = user("alice")
    bob = user("bob", sync=False)
    assert offline(alice, bob.name)
    bob.call("sync")
    wait_for(lambda: not offline(alice, bob.name), 10, "bob online")
    bob.abort()
    wait_for(lambda: offline(alice, bob.name), 15, "bob offline")


def test_presence_get_params(user):
    alice = user("alice")
    assert alice.fails("invalid_params", "presence.get")["param"] == "users"
    assert alice.fails("invalid_params", "presence.get", users="x")["param"] == "users"
    assert alice.fails("invalid_params", "presence.get", users=[1])["param"] == "users"
    alice.fails(("too_large", "invalid_params"), "presence.get", users=["no-such-user"] * 101)
    assert alice.call("presence.get", users=[])["users"] == []


def test_who_all(confabd, user, dial):
    server = confabd()
    alice, bob, clients = spread(server, user)
    clients[-1].call("profile.set", display="Last")
    user("unsynced", sync=False, server=server)
    gone = user("gone", server=server)
    gone.close()
    names = sorted(c.name for c in clients)
    for asking in (alice, bob):
        wait_for(lambda: asking.call("who", scope="all")["online"] == len(names), 15, "the right number")
        result = asking.call("who", scope="all")
        assert [u["user"] for u in result["users"]] == names and not result["more"]
        assert {u["state"] for u in result["users"]} == {"online"}
    found, after = [], None
    while True:
        page = alice.call("who", {"scope": "all", "limit": 2, **({"after": after} if after else {})})
        assert len(page["users"]) <= 2 and page["online"] == len(names)
        found += [u["user"] for u in page["users"]]
        if not page["more"]:
            break
        after = found[-1]
    assert found == names


def test_who_of_contacts_and_conversations(user):
    alice, bob, eve = user("alice"), user("bob"), user("eve")
    assert alice.call("who", scope="contacts") == {"online": 0, "users": [], "more": False}
    cid = alice.send("@" + bob.name, "x")["cid"]
    eve.fails("not_found", "who", scope=cid)
    eve.fails("not_found", "who", scope=9007199254740990)
    assert alice.fails("invalid_params", "who")["param"] == "scope"
    for scope in ("everyone", "", True, -1, {}):
        assert alice.fails("invalid_params", "who", scope=scope)["param"] == "scope"


def test_a_closed_directory(confabd, user):
    server = confabd(config={"directory": "closed"})
    alice, bob, carol = (user(n, server=server, display="Some " + n) for n in ("alice", "bob", "carol"))
    assert alice.call("hello")["directory"] == "closed"
    alice.fails("forbidden", "who", scope="all")
    assert alice.call("user.find", query=bob.name[:-1])["users"] == []
    assert [u["user"] for u in alice.call("user.find", query=bob.name)["users"]] == [bob.name]
    assert offline(alice, bob.name)
    alice.send("@" + bob.name, "now they are partners")
    for one, other in ((alice, bob), (bob, alice)):
        wait_for(lambda: not offline(one, other.name), 10, f"{other.name} online")
    got = bob.call("presence.get", users=[carol.name])["users"][0]
    assert got["state"] == "offline" and "seen" not in got


# --- signal ---

def test_signals_reach_those_who_are_online(user, again):
    alice, bob = user("alice"), user("bob")
    cid = alice.send("@" + bob.name, "x")["cid"]
    twin, silent = again(bob), again(bob, sync=False)
    mine = again(alice)
    assert alice.call("signal", to="@" + bob.name, kind="typing") == {}
    for client in (bob, twin):
        assert client.expect("signal") == {"cid": cid, "from": alice.name, "kind": "typing"}
    bob.call("signal", to=cid, kind="x-wave", data={"hands": 2})
    for client in (alice, mine):
        assert client.expect("signal") == {"cid": cid, "from": bob.name, "kind": "x-wave", "data": {"hands": 2}}
    silent.call("ping")
    assert not silent.notes and not bob.seen("signal") and not twin.seen("signal")
    assert alice.call("history", cid=cid)["head"] == 1, "never stored"


def test_signal_errors(user):
    alice, bob, eve = user("alice"), user("bob"), user("eve")
    cid = alice.send("@" + bob.name, "x")["cid"]
    eve.fails("not_found", "signal", to=cid, kind="typing")
    alice.fails("not_found", "signal", to="@no-such-user", kind="typing")
    assert alice.fails("invalid_params", "signal", kind="typing")["param"] == "to"
    assert alice.fails("invalid_params", "signal", to=cid)["param"] == "kind"
    for kind in ("", "text", "Typing", "x-A", "x-" + "a" * 31, 7):
        assert alice.fails("invalid_params", "signal", to=cid, kind=kind)["param"] == "kind"
    assert alice.fails("invalid_params", "signal", to=cid, kind="typing", data=[])["param"] == "data"
    fits = {"k": "x" * (1024 - len('{"k":""}'))}
    # What is sent while his node begins to listen may be lost.
    wait_for(lambda: alice.call("signal", to=cid, kind="x-big", data=fits) == {} and bob.seen("signal"), 10, "the signal")
    assert bob.expect("signal")["data"] == fits
    assert alice.fails("too_large", "signal", to=cid, kind="x-big", data={"k": fits["k"] + "x"})["max"] == 1024


@pytest.mark.parametrize("scope", ["contacts", "all"])
def test_who_params(user, scope):
    alice = user("alice")
    for name, value in (("limit", -1), ("limit", "x"), ("after", 7), ("after", {})):
        assert alice.fails("invalid_params", "who", {"scope": scope, name: value})["param"] == name
