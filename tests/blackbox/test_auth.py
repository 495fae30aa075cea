"""Before login, and sessions: hello register login resume ping logout session.* password.change."""

import statistics
import time

import pytest

from lib.across import ACROSS
from lib.fixtures import PASSWORD, new_name
from lib.server import wait_for

LIMITS = {"frame": 65536, "body": 16384, "data": 16384, "conversations": 2000, "groups": 1000, "members": 100000,
          "contacts": 1000, "sessions": 20, "connections": 100, "idle_ms": 75000}


def login(client, name, password=PASSWORD, **more):
    return client.login_as(client.call("login", user=name, password=password, **more))


# --- hello, ping ---

def test_hello(dial, user):
    client = dial()
    before = client.call("hello", client="pytest 1.0")
    assert before["protocol"] == 1 and before["durability"] == "local"
    assert before["limits"] == LIMITS
    assert sorted(before["auth"]) == ["password", "token"]
    assert (before["registration"], before["directory"]) == ("open", "open")
    alice = user("alice")
    assert {**alice.call("hello"), "server": before["server"]} == before
    client.fails("invalid_params", "hello", client=7)


def test_ping_tells_the_time(dial, user):
    for client in (dial(), user("alice")):
        assert abs(client.call("ping")["ts"] - time.time() * 1000) < 5000


# --- register ---

def test_register(dial):
    client = dial()
    name = new_name("Alice")
    result = client.call("register", user=name, password=PASSWORD, display="Alice Ünï 🎈", device="al's phone")
    assert result["user"] == name.lower() and result["display"] == "Alice Ünï 🎈"
    assert result["limits"] == LIMITS
    assert len(result["token"]) >= 43, "256 bits as text"
    listed = client.call("session.list")["sessions"]
    assert [(s["session"], s["device"], s["current"], s["online"]) for s in listed] == [
        (result["session"], "al's phone", True, listed[0]["online"])]
    assert listed[0]["ip"] == "127.0.0.1"


@pytest.mark.parametrize("name", ["a", "x" * 33, "", ".dot", "-dash", "_under", "sp ace", "ünï", "a\tb", "a/b", "@alice",
                                  "#ops", "a\u0000b", "аlice", "alice\n"])
def test_register_with_a_name_outside_the_grammar(dial, name):
    client = dial()
    assert client.fails("invalid_params", "register", user=name, password=PASSWORD)["param"] == "user"
    client.call("ping")


@pytest.mark.parametrize("name", ["all", "deleted", "everyone", "here", "server", "Server", "ALL"])
def test_register_with_a_reserved_name(dial, name):
    dial().fails("name_taken", "register", user=name, password=PASSWORD)


def test_register_with_a_taken_name(dial, user):
    alice = user("alice")
    client = dial()
    client.fails("name_taken", "register", user=alice.name, password=PASSWORD)
    client.fails("name_taken", "register", user=alice.name.upper(), password="another password")
    other = user("bob", client=client)
    assert other.name != alice.name


def test_register_the_same_name_at_once(dial):
    clients = [dial() for _ in range(8)]
    name = new_name("race")
    ids = [c.post("register", user=name, password=PASSWORD) for c in clients]
    frames = [c.frame(i) for c, i in zip(clients, ids)]
    assert sorted("result" in f for f in frames) == [False] * 7 + [True]
    assert {f["error"]["data"]["name"] for f in frames if "error" in f} == {"name_taken"}


def test_names_of_the_grammar(confabd, dial):
    server = confabd()
    for name in ("ab", "00", "7up", "a.b_c-d", "x" * 32, "9" * 32, "a..", "b--", "c__"):
        assert dial(server).call("register", user=name.upper(), password=PASSWORD)["user"] == name


@pytest.mark.parametrize("password", ["", "1234567", "sevench", "password", "12345678", "iloveyou", "ünïcöde"])
def test_register_with_a_weak_password(dial, password):
    """Seven characters are seven, however many bytes they have."""
    dial().fails("weak_password", "register", user=new_name(), password=password)


def test_passwords_of_any_script(dial):
    for password in ("пароль-и", "🎈🎉🎂🎁🎄🎃🎇🎆", 'q"\\u0041\t\n\r/ x', "x" * 1024):
        client = dial()
        name = new_name()
        client.call("register", user=name, password=password)
        assert login(dial(), name, password)["user"] == name
        dial().fails("bad_credentials", "login", user=name, password=password[:-1] + "?")


def test_register_with_wrong_params(dial):
    client = dial()
    for params, param in [
            ({}, ("user", "password")), ({"user": new_name()}, ("password",)), ({"password": PASSWORD}, ("user",)),
            ({"user": 7, "password": PASSWORD}, ("user",)), ({"user": new_name(), "password": 12345678}, ("password",)),
            ({"user": new_name(), "password": "nul\u0000 password"}, ("password",)),
            ({"user": new_name(), "password": PASSWORD, "display": ""}, ("display",)),
            ({"user": new_name(), "password": PASSWORD, "display": "x" * 65}, ("display",)),
            ({"user": new_name(), "password": PASSWORD, "display": "a\nb"}, ("display",)),
            ({"user": new_name(), "password": PASSWORD, "display": "a\u0085b"}, ("display",)),
            ({"user": new_name(), "password": PASSWORD, "display": 5}, ("display",)),
            ({"user": new_name(), "password": PASSWORD, "device": "x" * 65}, ("device",)),
            ({"user": new_name(), "password": PASSWORD, "device": "bell\u0007"}, ("device",)),
            ({"user": new_name(), "password": PASSWORD, "device": {}}, ("device",)),
            ({"user": new_name(), "password": PASSWORD, "sync": 7}, ("sync",)),
            ({"user": new_name(), "password": PASSWORD, "sync": []}, ("sync",)),
            ({"user": new_name(), "password": PASSWORD, "sync": {"backlog": "x"}}, ("backlog", "sync", "sync.backlog"))]:
        assert client.fails("invalid_params", "register", params)["param"] in param
    data = client.fails(("too_large", "invalid_params"), "register", user=new_name(), password="x" * 1025)
    assert data.get("max", 1024) == 1024
    client.call("register", user=new_name(), password=PASSWORD, display="x" * 64, device="é" * 64)


def test_registration_closed(confabd, dial):
    server = confabd(config={"registration": "closed"})
    client = dial(server)
    assert client.call("hello")["registration"] == "closed"
    client.fails("forbidden", "register", user=new_name(), password=PASSWORD)


# --- login ---

def test_login(dial, user):
    alice = user("alice", display="A. L.")
    client = dial()
    result = login(client, alice.name.upper(), device="laptop", sync={"backlog": 0})
    assert (result["user"], result["user_id"], result["display"]) == (alice.name, alice.user_id, "A. L.")
    assert result["session"] != alice.session and result["token"] != alice.token
    assert result["epoch"] == alice.epoch and result["total"] == 0 and result["conversations"] == []


def test_login_with_wrong_credentials(dial, user):
    alice = user("alice")
    client = dial()
    wrong = client.frame(client.post("login", user=alice.name, password="wrong " + PASSWORD))["error"]
    unknown = client.frame(client.post("login", user=new_name("nobody"), password=PASSWORD))["error"]
    assert wrong == unknown and wrong["data"]["name"] == "bad_credentials"
    for password in ("", PASSWORD + "\n", PASSWORD.upper(), PASSWORD[:-1]):
        client.fails("bad_credentials", "login", user=alice.name, password=password)
    client.fails(("bad_credentials", "invalid_params"), "login", user="x" * 33, password=PASSWORD)
    client.fails(("bad_credentials", "invalid_params"), "login", user="", password=PASSWORD)
    assert client.fails("invalid_params", "login", password=PASSWORD)["param"] == "user"
    assert client.fails("invalid_params", "login", user=alice.name)["param"] == "password"
    client.fails("not_logged_in", "session.list")
    login(client, alice.name)


def test_an_unknown_user_costs_the_time_of_a_wrong_password(confabd, dial):
    server = confabd(config={"password_mem_kib": 8192, "password_passes": 2}, workers=1)
    client = dial(server, transport="tcp")
    name = new_name()
    dial(server, transport="tcp").call("register", user=name, password=PASSWORD)

    def seconds(who):
        start = time.monotonic()
        client.fails("bad_credentials", "login", user=who, password="wrong password")
        return time.monotonic() - start

    seconds(name), seconds("nobody-here")
    times = [(seconds(name), seconds("nobody-here")) for _ in range(15)]
    wrong, unknown = (statistics.median(column) for column in zip(*times))
    assert 0.6 < unknown / wrong < 1.67, (wrong, unknown)


@pytest.mark.parametrize("method", ["login", "resume", "register"])
def test_a_connection_has_one_user(user, method):
    alice, bob = user("alice"), user("bob")
    params = {"login": {"user": bob.name, "password": PASSWORD}, "resume": {"token": bob.token},
              "register": {"user": new_name(), "password": PASSWORD}}[method]
    alice.fails("already_logged_in", method, params)
    alice.fails("already_logged_in", method, {**params, "sync": True})
    assert [s["current"] for s in alice.call("session.list")["sessions"]] == [True]


# --- resume ---

def test_resume(user, again):
    alice = user("alice", display="Alice A.", device="phone")
    more = [again(alice, sync=False) for _ in range(3)]
    for client in more:
        assert (client.name, client.session, client.token) == (alice.name, alice.session, alice.token)
    alice.close()
    assert again(alice).call("session.list")["sessions"][0]["session"] == alice.session


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "A" * 128, "ünï", "../../etc/passwd", "' OR 1=1 --"])
def test_resume_with_a_wrong_token(dial, token):
    client = dial()
    client.fails(("token_invalid", "invalid_params") if token == "" or not token.isascii() else "token_invalid",
                 "resume", token=token)
    client.call("ping")


def test_resume_costs_no_hashing(confabd, dial):
    server = confabd()
    first = dial(server)
    mine = first.call("register", user=new_name(), password=PASSWORD)
    before = server.metrics()
    for _ in range(20):
        dial(server).call("resume", token=mine["token"])
    after = server.metrics()
    assert after.total("confab_hash_seconds_count") == before.total("confab_hash_seconds_count") >= 1
    assert after.total("confab_logins_total", method="token") - before.total("confab_logins_total", method="token") == 20


def test_resume_with_wrong_params(dial):
    client = dial()
    assert client.fails("invalid_params", "resume")["param"] == "token"
    assert client.fails("invalid_params", "resume", token=5)["param"] == "token"
    client.fails(("token_invalid", "invalid_params", "too_large"), "resume", token="A" * 129)


def test_tokens_outlive_the_process(confabd, dial):
    server = confabd()
    client = dial(server)
    mine = client.call("register", user=new_name(), password=PASSWORD)
    for hard in (False, True):
        server.restart(hard=hard)
        result = dial(server).call("resume", token=mine["token"])
        assert (result["session"], result["token"], result["epoch"]) == (mine["session"], mine["token"], mine["epoch"])


def test_a_token_expires_30_days_after_its_last_use(confabd, dial):
    server = confabd()
    names = [new_name() for _ in range(2)]
    old, young = [dial(server).call("register", user=name, password=PASSWORD) for name in names]
    server.stop()
    columns = [row[1] for row in server.sql("PRAGMA table_info(token)")] or []
    table = "token" if columns else "session"
    day = 86_400_000
    for name, days in ((names[0], 31), (names[1], 29)):
        server.sql(f'UPDATE {table} SET seen = seen - ?, created = created - ? WHERE user = '
                   f'(SELECT id FROM user WHERE name = ?)', days * day, days * day, name)
    server.start()
    dial(server).fails("token_invalid", "resume", token=old["token"])
    assert dial(server).call("resume", token=young["token"])["session"] == young["session"]
    wait_for(lambda: server.sql("SELECT max(seen) FROM token")[0][0] > (time.time() - 3600) * 1000, 10,
             "its use to be written down")
    client = dial(server)
    login(client, names[0])


def test_secrets_are_not_stored_or_logged(confabd, dial):
    server = confabd(args=["--log-level", "debug"])
    client = dial(server)
    password, body = "a Secret-Passphrase 8731", "a very private body 5519"
    name = new_name()
    mine = client.call("register", user=name, password=password)
    other = dial(server)
    other.call("register", user=name + "x", password=password + "x")
    client.call("send", to="@" + name + "x", body=body)
    dial(server).call("resume", token=mine["token"])
    dial(server).fails("bad_credentials", "login", user=name, password=password + "?")
    dial(server).fails("token_invalid", "resume", token=mine["token"][:-1])
    client.call("password.change", old=password, new=password + "!")
    metrics = server.http("/metrics")[2]
    server.stop()
    files = b"".join(p.read_bytes() for p in server.data.rglob("*") if p.is_file())
    for secret in (password, mine["token"]):
        assert secret.encode() not in files
    for secret in (password, mine["token"], body):
        assert secret not in server.log() and secret not in metrics
    assert body.encode() in files, "the test would find what is there"


# --- sessions ---

def test_session_list(user, dial):
    alice = user("alice", device="phone")
    second = dial()
    login(second, alice.name, device="laptop")
    third = dial()
    login(third, alice.name)
    third.close()
    by_id = {s["session"]: s for s in wait_for(
        lambda: [s for s in [second.call("session.list")["sessions"]] if sum(x["online"] for x in s) == 2], 10,
        "the third to be offline")[0]}
    assert len(by_id) == 3
    assert by_id[alice.session]["device"] == "phone" and not by_id[alice.session]["current"]
    assert by_id[second.session]["device"] == "laptop" and by_id[second.session]["current"]
    assert not by_id[third.session]["online"] and not by_id[third.session]["current"]
    now = time.time() * 1000
    for one in by_id.values():
        assert one["ip"] == "127.0.0.1"
        assert now - 60_000 < one["created"] <= one["seen"] + 5000 and one["seen"] < now + 5000


def test_session_revoke_closes_its_connections(user, dial, again):
    alice = user("alice")
    second = dial()
    login(second, alice.name)
    twin = again(second)
    bob = user("bob")
    assert alice.call("session.revoke", session=second.session) == {}
    start = time.monotonic()
    for client in (second, twin):
        assert "reconnect_ms" not in client.gone_away("session_revoked", timeout=10)
    assert time.monotonic() - start < 15
    dial().fails("token_invalid", "resume", token=second.token)
    assert [s["session"] for s in alice.call("session.list")["sessions"]] == [alice.session]
    alice.fails("not_found", "session.revoke", session=second.session)
    alice.fails("not_found", "session.revoke", session=bob.session)
    alice.fails(("not_found", "invalid_params"), "session.revoke", session="no such session")
    assert alice.fails("invalid_params", "session.revoke")["param"] == "session"
    bob.call("ping")


def test_requests_of_a_revoked_session_are_not_carried_out(user, dial):
    """What is on its way when the session ends is answered with session_revoked, or not at all."""
    alice, bob = user("alice"), user("bob")
    second = dial()
    login(second, alice.name)
    second.send("@" + bob.name, "before")
    revoke = alice.post("session.revoke", session=second.session)
    ids = second.post_all([("send", {"to": "@" + bob.name, "body": f"late {i}"}) for i in range(50)],
                          may_end=True)
    alice.answer(revoke)
    second.wait_closed()
    answered = [second.answers[i] for i in ids if i in second.answers]
    stored = [f for f in answered if "result" in f]
    for frame in answered[len(stored):]:
        assert frame["error"]["data"]["name"] == "session_revoked"
    page = alice.call("history", cid=alice.send("@" + bob.name, "after")["cid"], limit=200)
    bodies = [m["body"] for m in page["messages"]]
    # Another node may be committing some still.
    assert bodies[0] == "before" and "after" in bodies and (ACROSS or bodies[-1] == "after")
    late = [body for body in bodies[1:] if body != "after"]
    assert late == [f"late {i}" for i in range(len(late))] and len(late) >= len(stored)


def test_revoking_the_own_session(user, dial):
    alice = user("alice")
    assert alice.call("session.revoke", session=alice.session) == {}
    alice.wait_closed(timeout=5)
    dial().fails("token_invalid", "resume", token=alice.token)


def test_logout(user, dial, again):
    alice = user("alice")
    twin = again(alice)
    second = dial()
    login(second, alice.name)
    assert alice.call("logout") == {}
    alice.wait_closed(timeout=5)
    assert not alice.seen("goaway")
    twin.gone_away("session_revoked", timeout=5)
    dial().fails("token_invalid", "resume", token=alice.token)
    assert [s["session"] for s in second.call("session.list")["sessions"]] == [second.session]


def test_logout_all(user, dial):
    alice, bob = user("alice"), user("bob")
    others = []
    for _ in range(3):
        client = dial()
        login(client, alice.name)
        others.append(client)
    assert alice.call("logout", all=True) == {}
    alice.wait_closed(timeout=5)
    for client in others:
        client.gone_away("session_revoked", timeout=5)
    for client in (alice, *others):
        dial().fails("token_invalid", "resume", token=client.token)
    bob.call("ping")
    login(dial(), alice.name)
    bob.fails("invalid_params", "logout", all="yes")


def test_password_change(user, dial, again):
    alice = user("alice")
    twin = again(alice)
    second = dial()
    login(second, alice.name)
    alice.fails("bad_credentials", "password.change", old="not " + PASSWORD, new="another passphrase")
    alice.fails("weak_password", "password.change", old=PASSWORD, new="short")
    alice.fails("weak_password", "password.change", old=PASSWORD, new="password")
    assert alice.fails("invalid_params", "password.change", new="another passphrase")["param"] == "old"
    assert alice.fails("invalid_params", "password.change", old=PASSWORD)["param"] == "new"
    second.call("ping")
    assert alice.call("password.change", old=PASSWORD, new="another passphrase") == {}
    second.gone_away("session_revoked", timeout=5)
    dial().fails("token_invalid", "resume", token=second.token)
    dial().fails("bad_credentials", "login", user=alice.name, password=PASSWORD)
    alice.call("ping")
    twin.call("ping")
    assert again(alice).session == alice.session
    login(dial(), alice.name, "another passphrase")


# --- Limits of sessions and connections ---

def test_a_login_too_many_ends_the_session_unused_the_longest(confabd, dial):
    server = confabd(config={"limit_sessions": 3})
    name = new_name()
    first = dial(server)
    first.login_as(first.call("register", user=name, password=PASSWORD))
    assert first.call("hello")["limits"]["sessions"] == 3
    online = dial(server)
    login(online, name)
    third = dial(server)
    login(third, name)
    tokens = [first.token, online.token, third.token]
    server.stop()
    for client, hours in ((first, 2), (online, 3), (third, 1)):
        server.sql("UPDATE token SET seen = seen - ? WHERE session = ?", hours * 3_600_000, int(client.session))
    server.start()
    online = dial(server)
    online.login_as(online.call("resume", token=tokens[1]))
    fourth = dial(server)
    login(fourth, name)
    dial(server).fails("token_invalid", "resume", token=first.token)
    back = dial(server)
    assert back.call("resume", token=third.token)["session"] == third.session
    assert dial(server).fails("limit", "login", user=name, password=PASSWORD)["max"] == 3
    for client in (online, fourth, back):
        client.call("ping")


def test_connections_of_a_user_are_limited(confabd, dial):
    server = confabd(config={"limit_connections": 4})
    name = new_name()
    first = dial(server)
    first.login_as(first.call("register", user=name, password=PASSWORD))
    others = [dial(server) for _ in range(4)]
    for client in others[:3]:
        client.call("resume", token=first.token)
    assert others[3].fails("limit", "resume", token=first.token)["max"] == 4
    assert others[3].fails("limit", "login", user=name, password=PASSWORD)["max"] == 4
    others[0].close()

    def resumed():
        return "result" in others[3].frame(others[3].post("resume", token=first.token))

    wait_for(resumed, 10, "a place for one more")
    first.call("ping")


def test_several_connections_of_one_session(user, again):
    """None drives another out, and each gets everything."""
    alice, bob = user("alice"), user("bob")
    connections = [alice] + [again(alice) for _ in range(4)]
    bob.send("@" + alice.name, "to all of them")
    for client in connections:
        assert client.message()["body"] == "to all of them"
    sent = connections[2].send("@" + bob.name, "from one of them")
    for client in connections:
        assert client.message()["seq"] == sent["seq"]
    connections[1].close()
    connections[3].abort()
    assert len(connections[0].call("session.list")["sessions"]) == 1
    bob.send("@" + alice.name, "to those left")
    for client in (connections[0], connections[2], connections[4]):
        assert client.message()["body"] == "to those left"


def test_a_storm_of_logins_is_shed(confabd, connect):
    """More logins at once than may wait for hashing: busy, with a time; resumes and sends go on beside them."""
    server = confabd(config={"hash_threads": 1, "hash_queue": 2, "password_mem_kib": 8192})
    alice = connect(server)
    alice.login_as(alice.call("register", user="alice", password=PASSWORD))
    clients = [connect(server, ("tcp", "ws")[i % 2]) for i in range(30)]
    ids = [c.post("login", user="alice", password="wrong " + PASSWORD) for c in clients]
    connect(server).call("resume", token=alice.token, timeout=5)
    errors = [c.frame(i)["error"]["data"] for c, i in zip(clients, ids)]
    names = {e["name"] for e in errors}
    assert names == {"bad_credentials", "busy"}
    assert all(e["retry"] is True and e["retry_after_ms"] > 0 for e in errors if e["name"] == "busy")
    assert connect(server).call("login", user="alice", password=PASSWORD)["user"] == "alice"
