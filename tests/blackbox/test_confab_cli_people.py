"""confab and people: contacts, search, presence, profiles; by scripts and by typing."""

import json
import re

import pytest

from lib.client import Client
from lib.confab import LOGIN, REFUSED, USAGE, Terminal, alice, machine, person  # noqa: F401
from lib.fixtures import PASSWORD, new_name


def rows(got):
    return [line.split("\t") for line in got.out.splitlines()]


# --- Scripts ---


def test_find(alice, person):
    bob = person("findable")
    assert [row[0] for row in rows(alice.run("find", bob.name))] == [bob.name]
    assert [row[0] for row in rows(alice.run("find", "@" + bob.name[:-1]))].count(bob.name) == 1
    assert json.loads(alice.run("find", bob.name, "--json").out)["user"] == bob.name
    assert alice.run("find", "nobody-is-called-so").out == ""


def test_whois_and_profile(alice, person):
    bob = person()
    alice.run("profile", "display", "Alice", "Ångström")
    alice.run("profile", "status", "gone fishing")
    got = dict(rows(alice.run("whois", "@" + alice.user)))
    assert (got["user"], got["display"], got["status"]) == (alice.user, "Alice Ångström", "gone fishing")
    assert dict(rows(alice.run("whois", bob.name)))["state"] == "online"
    profile, presence = [json.loads(line) for line in alice.run("whois", bob.name, "--json").out.splitlines()]
    assert (profile["user"], presence["state"]) == (bob.name, "online")
    assert "no user of that name" in alice.run("whois", "@no-such-one", code=REFUSED).err


def test_contacts(alice, person):
    bob = person()
    assert alice.run("contacts").out == ""
    alice.run("contact", "add", "@" + bob.name, "it", "is", "me")
    assert bob.expect("contact")["note"] == "it is me"
    assert [row[:2] for row in rows(alice.run("contacts"))] == [[bob.name, "requested"]]
    bob.call("contact.accept", user=alice.user)
    assert [row[:3] for row in rows(alice.run("contacts"))] == [[bob.name, "contact", "online"]]
    assert json.loads(alice.run("contacts", "--json").out)["state"] == "contact"
    alice.run("contact", "remove", "@" + bob.name)
    assert alice.run("contacts").out == ""
    bob.call("contact.add", user=alice.user)
    assert [row[:2] for row in rows(alice.run("contacts"))] == [[bob.name, "incoming"]]
    alice.run("contact", "reject", bob.name)
    alice.run("contact", "block", bob.name)
    bob.fails("blocked", "send", to="@" + alice.user, body="x")
    assert [row[:2] for row in rows(alice.run("contacts"))] == [[bob.name, "blocked"]]
    alice.run("contact", "unblock", bob.name)
    bob.send("@" + alice.user, "again")
    assert alice.run("contact", "accept", bob.name, code=REFUSED).err.startswith(f"confab: {bob.name}: ")


def test_status(alice, person):
    bob = person()
    alice.run("status", "busy", "in", "a", "meeting")
    tail = alice.start("tail")
    bob.send("@" + alice.user, "are you there?")
    tail.line()
    (got,) = bob.call("presence.get", users=[alice.user])["users"]
    assert (got["state"], got["text"]) == ("busy", "in a meeting")
    assert [alice.user, "busy"] in [row[:2] for row in rows(alice.run("who"))]
    alice.run("status", "online")
    assert "interactive" in alice.run("status", "away", code=USAGE).err


@pytest.mark.parametrize("words", [
    ["find"], ["whois"], ["whois", "a", "b"], ["contacts", "x"], ["contact"], ["contact", "nonsense"], ["contact", "add"],
    ["contact", "accept"], ["contact", "accept", "a", "b"], ["status"], ["status", "asleep"], ["profile"],
    ["profile", "nose", "long"], ["profile", "display"]])
def test_wrong_usage(alice, words):
    alice.run(*words, code=USAGE)


# --- A person ---


def test_contacts_by_typing(alice, person):
    bob, carol = person(), person("carol")
    terminal = Terminal(alice, NO_COLOR="1")
    terminal.until("/help")
    terminal.type(f"/add @{bob.name} shall we?\n")
    terminal.until(f"-- you asked @{bob.name} to be your contact")
    assert bob.expect("contact", state="incoming")["note"] == "shall we?"
    bob.call("contact.accept", user=alice.user)
    terminal.until(f"-- @{bob.name} and you are contacts now")
    carol.call("contact.add", user=alice.user, note="me\u202etoo")
    terminal.until(re.escape(f"-- @{carol.name} asks to be your contact: me\\u202etoo; /accept @{carol.name}"))
    terminal.type("/contacts\n")
    terminal.until(f"-- @{bob.name}  contact, online")
    terminal.until(f"-- @{carol.name}  incoming")
    terminal.type(f"/reject @{carol.name}\n")
    terminal.until(f"@{carol.name} and you is rejected")
    bob.call("presence.set", state="busy", text="cooking")
    terminal.until(f"-- @{bob.name} is busy: cooking")
    terminal.type(f"/unfriend @{bob.name}\n")
    terminal.until(f"@{bob.name} and you are no contacts any more")
    terminal.type(f"/block {bob.name}\n")
    terminal.until(f"@{bob.name} is blocked")
    terminal.type(f"/unblock {bob.name}\n")
    terminal.until(f"@{bob.name} is not blocked any more")
    terminal.type(f"/accept {bob.name}\n")
    terminal.until("-- /accept: ")
    terminal.type("/quit\n")
    terminal.end()


def test_looking_for_people_by_typing(alice, person):
    bob = person("findable")
    terminal = Terminal(alice, NO_COLOR="1")
    terminal.until("/help")
    terminal.type(f"/find {bob.name}\n")
    terminal.until(f"-- @{bob.name}  \\(.*\\)")
    terminal.type("/whois find\t\n")
    terminal.until(f"-- @{bob.name}  \\(")
    terminal.until("-- online")
    terminal.type("/whois @no-such-one\n")
    terminal.until("there is no user of that name")
    terminal.type("/who\n")
    terminal.until("-- \\d+ online")
    terminal.type("/profile status at sea\n")
    terminal.until("-- done")
    assert bob.call("profile.get", users=[alice.user])["users"][0]["status"] == "at sea"
    terminal.type("/help contact\n")
    terminal.until("/contacts")
    terminal.type("/help zzzz\n")
    terminal.until("nothing that can be typed has \"zzzz\"")
    terminal.type("/quit\n")
    terminal.end()


def test_away_holds_over_a_lost_connection(confabd, machine, person):
    server = confabd()
    home, bob = machine(server), person(server=server)
    name = home.register(new_name("alice"))
    terminal = Terminal(home, "@" + bob.name, NO_COLOR="1")
    terminal.until("/help")
    terminal.type("/status away lunch\n")
    terminal.until("-- done")

    def state(client):
        return client.call("presence.get", users=[name])["users"][0]["state"]

    terminal.type("hello\n")
    bob.message(body="hello")
    assert state(bob) == "away"
    server.listen = (f"127.0.0.1:{server.port}",)
    token = bob.token
    server.kill9()
    bob.close()
    server.start()
    terminal.until("connected again", timeout=60)
    again = Client(server.port, "tcp")
    again.login_as(again.call("resume", token=token, sync=True))
    terminal.type("back\n")
    again.message(body="back")
    assert state(again) == "away"
    again.close()
    terminal.type("/quit\n")
    terminal.end()


def test_sessions(server, alice, machine):
    other = machine(server)
    other.run("login", alice.user, CONFAB_PASSWORD=PASSWORD)
    listed = {row[2]: row for row in rows(alice.run("sessions"))}
    assert sorted(listed) == ["no", "yes"] and listed["yes"][6].startswith("confab on ")
    assert len(rows(other.run("sessions"))) == 2
    alice.run("session", "revoke", listed["no"][0])
    assert "confab login" in other.run("whoami", code=LOGIN).err
    assert "no such session" in alice.run("session", "revoke", listed["no"][0], code=REFUSED).err
    assert len(rows(alice.run("sessions"))) == 1


def test_who_is_too_fast_waits(confabd, machine):
    server = confabd(config={"rate_user": 8, "rate_user_burst": 10, "rate_exempt": ""})
    home = machine(server)
    home.register("alice")
    for _ in range(5):
        assert home.run("find", "alice").out.startswith("alice\t")
    assert server.metrics().total("confab_rate_limited_total", scope="user") >= 1
