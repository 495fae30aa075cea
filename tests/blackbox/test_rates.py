"""Rate limits: by session, user and address; passwords, tokens and registrations; connections of an address.

This machine's own address is exempt, as by default; those who are limited come from 127.0.0.2 and on.
"""

import socket
import time

import pytest

from lib.client import RpcError
from lib.fixtures import PASSWORD, new_name
from lib.raw import PING, PONG, Plain, Raw, RawWs, ws_frame
from lib.server import dumps, wait_for

HERE, THERE, ELSEWHERE = "127.0.0.2", "127.0.0.3", "127.0.0.4"
# Nothing but what a test sets is limited, and only this machine's usual address is exempt.
WIDE = {"rate_session": 0, "rate_user": 0, "rate_address": 0, "login_rate": 0, "login_address_rate": 0,
        "login_user_rate": 0, "register_rate": 0, "connections_per_address": 0, "rate_exempt": "127.0.0.1"}


@pytest.fixture
def limited(confabd):
    return lambda **config: confabd(config={**WIDE, **config})


@pytest.fixture
def come(connect, transport):
    """come(server, HERE) -> a connection from that address."""
    return lambda server, source=HERE: connect(server, transport, source=source)


@pytest.fixture
def enter(come):
    """enter(server, HERE) -> a new user who is logged in from that address."""
    def register(server, source=HERE, base="user"):
        client = come(server, source)
        client.login_as(client.call("register", user=new_name(base), password=PASSWORD))
        return client

    return register


def login(client, name, password=PASSWORD):
    return client.call("login", user=name, password=password)


def ask(client, count, method="ping", **params):
    """So many requests in one go: how many were carried out, and error.data of the others, all for going too fast."""
    frames = [client.frame(number, 60) for number in client.post_all([(method, params)] * count)]
    errors = [frame["error"] for frame in frames if "error" in frame]
    for error in errors:
        assert error["code"] == 1020 and error["data"]["name"] == "rate_limited" and error["data"]["retry"] is True, error
        assert isinstance(error["data"]["retry_after_ms"], int) and error["data"]["retry_after_ms"] > 0
    return count - len(errors), [error["data"] for error in errors]


def exhaust(client, most=60):
    """Asks until it is refused; gives the last error.data."""
    done, errors = ask(client, most)
    assert errors, f"{done} of {most} requests were carried out"
    return errors[-1]


def obey(data):
    time.sleep(data["retry_after_ms"] / 1000)


def count(server, scope):
    return server.metrics().total("confab_rate_limited_total", scope=scope)


# --- Requests ---


def test_a_session_is_limited_and_recovers(limited, enter):
    server = limited(rate_session=4, rate_session_burst=20)
    client = enter(server)
    done, errors = ask(client, 40)
    assert done >= 20 and len(errors) >= 1
    assert all(data["retry_after_ms"] <= 250 for data in errors)
    assert count(server, "session") == len(errors)
    obey(exhaust(client))
    client.call("ping")
    assert count(server, "user") == count(server, "address") == 0


def test_two_connections_of_a_session_share_its_limit(limited, enter, come):
    server = limited(rate_session=1, rate_session_burst=20)
    first = enter(server)
    second, other = come(server, THERE), come(server)
    second.call("resume", token=first.token)
    login(other, first.name)
    exhaust(first)
    done, errors = ask(second, 10)
    assert errors and done <= 5, (done, errors)
    assert ask(other, 10) == (10, [])


def test_two_sessions_of_a_user_share_his_limit(limited, enter, come):
    server = limited(rate_user=1, rate_user_burst=20)
    first, bystander, second = enter(server), enter(server), come(server, THERE)
    login(second, first.name)
    exhaust(first)
    done, errors = ask(second, 10)
    assert errors and done <= 5, (done, errors)
    assert ask(bystander, 10) == (10, [])
    assert count(server, "user") > 0 and count(server, "session") == 0


def test_all_of_an_address_share_its_limit(limited, come):
    server = limited(rate_address=1, rate_address_burst=30)
    first, second, other = come(server), come(server), come(server, THERE)
    exhaust(first)
    done, errors = ask(second, 10)
    assert errors and done <= 5, (done, errors)
    assert ask(other, 10) == (10, [])
    assert count(server, "address") > 0
    # This machine's own is exempt.
    exempt = come(server, "127.0.0.1")
    assert ask(exempt, 200) == (200, [])


def test_by_default_nobody_here_is_limited(server, user):
    client = user()
    assert ask(client, 3000) == (3000, [])


def test_rate_0_is_no_limit(limited, enter):
    client = enter(limited())
    assert ask(client, 3000) == (3000, [])


def test_what_weighs_more_costs_more(limited, enter):
    server = limited(rate_session=1, rate_session_burst=40)
    alice, bob = enter(server), enter(server)
    done, errors = ask(alice, 10, "who", scope="all")
    assert 2 <= done <= 4 and errors
    assert 4_000 <= errors[-1]["retry_after_ms"] <= 8_000
    # A body of 16 KiB makes a message cost five.
    done, errors = ask(bob, 12, "send", to=f"@{alice.name}", body="x" * 16_000)
    assert 10 >= done >= 8 - 1 and errors


def test_what_is_no_request_costs_too(limited, come, connect, transport):
    server = limited(rate_address=1, rate_address_burst=30)
    client = connect(server, transport, source=HERE, check=False)
    names = [client.raw('{"id":1,"method":"no.such"}')["error"]["data"]["name"] for _ in range(15)]
    names += [client.raw('{"id":[],"method":"ping"}')["error"]["data"]["name"] for _ in range(30)]
    assert names[:15] == ["unknown_method"] * 15
    assert names[15] == "invalid_request" and names[-1] == "rate_limited"


def test_a_limited_request_without_id_is_dropped(limited, enter):
    server = limited(rate_session=1, rate_session_burst=10)
    alice, bob = enter(server), enter(server)
    exhaust(alice, 20)
    def dropped():
        return server.metrics().total("confab_rate_limited_total")

    before = dropped()
    for _ in range(10):
        alice.notify("send", to=f"@{bob.name}", body="dropped")
    wait_for(lambda: dropped() - before >= 5, 10, "a count of those that were dropped")


def test_limited_sends_keep_their_place_in_the_order_of_answers(limited, enter):
    server = limited(rate_session=2, rate_session_burst=20)
    alice, bob = enter(server), enter(server, "127.0.0.1")
    numbers = alice.post_all([("send", {"to": f"@{bob.name}", "body": str(i), "cmid": f"c{i}"}) for i in range(60)])
    frames = [alice.frame(number, 60) for number in numbers]
    assert [number for number in alice.order if number in set(numbers)] == numbers
    stored = [i for i, frame in enumerate(frames) if "result" in frame]
    refused = [frame["error"]["data"] for frame in frames if "error" in frame]
    assert len(stored) >= 20 and len(refused) >= 1
    assert all(data["name"] == "rate_limited" and data["retry_after_ms"] > 0 for data in refused)
    seqs = [frames[i]["result"]["seq"] for i in stored]
    assert seqs == sorted(seqs)
    bob_view = bob.call("sync")["conversations"]
    page = bob.call("history", cid=bob_view[0]["cid"], limit=200)["messages"]
    assert [int(message["body"]) for message in page] == stored
    # Sent again later, a refused one is as new.
    late = next(i for i, frame in enumerate(frames) if "error" in frame)
    while True:
        try:
            assert "dup" not in alice.send(f"@{bob.name}", str(late), cmid=f"c{late}")
            break
        except RpcError as error:
            assert error.name == "rate_limited"
            obey(error.data)


def test_who_goes_on_all_the_same_is_not_read_for_a_while(limited, enter):
    server = limited(rate_session=1, rate_session_burst=10)
    client = enter(server)
    done, errors = ask(client, 200)
    assert done + len(errors) == 200
    assert server.metrics().total("confab_rate_held_total") >= 1
    # What others do goes on meanwhile.
    other = enter(server)
    client.post_all([("ping", {})] * 200)
    other.call("ping")


def test_websocket_pings_cost_too(limited):
    server = limited(rate_address=1, rate_address_burst=20)
    with RawWs(server.port, source=HERE) as client:
        client.write(ws_frame(PING, b"x") * 30 + ws_frame(0x8, b"\x03\xe8"))
        pongs = 0
        while (frame := client.next_frame()) is not None:
            pongs += frame[0] == PONG
        assert 10 <= pongs < 30


def test_http_is_limited_by_address(limited):
    server = limited(rate_address=1, rate_address_burst=10)

    def get(source):
        with Plain(server.port, source=source) as client:
            client.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                return client.read_head()
            except (AssertionError, ConnectionError):
                return None, {}     # not even let in

    seen = [get(HERE) for _ in range(14)]
    assert seen[0][0] == 200
    assert seen[-1][0] in (429, None)
    assert get(THERE)[0] == 200
    with Plain(server.port, source=THERE) as client:
        client.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 14)
        text = b""
        while client.read_some():
            text, client.buffer = text + client.buffer, b""
        assert text.count(b"200 OK") >= 5
        assert text.count(b"HTTP/1.1 429 Too Many Requests") == 1, "the first one ends the connection"
        head = text[text.index(b"HTTP/1.1 429"):]
        assert b"\r\nRetry-After: " in head and b"\r\nConnection: close\r\n" in head


def test_an_address_of_ipv6_is_its_network(confabd):
    server = confabd(listen=["127.0.0.1:0", "127.0.0.1:0,proxy"],
                     config={**WIDE, "rate_address": 1, "rate_address_burst": 10})

    def refused(source):
        first = f"PROXY TCP6 {source} 2001:db8::1 5000 7000\r\n".encode()
        with Raw(server.port_of(1), first=first) as client:
            try:
                client.write(b"".join(client.pack(dumps({"id": i, "method": "ping"})) for i in range(20)))
                client.socket.shutdown(socket.SHUT_WR)
                return sum("error" in frame for frame in client.at_end()) if client.read_some() else 20
            except OSError:  # refused as a whole, while it was still writing
                return 20

    assert 5 < refused("2001:db8:0:7::1") < 20
    assert refused("2001:db8:0:7:ffff:ffff:ffff:ffff") >= 10
    assert refused("2001:db8:0:8::1") <= 11


# --- Passwords, tokens, registrations ---


def hashes(server):
    return server.metrics().total("confab_hash_seconds_count")


def wrong(client, name, times=1):
    """Guesses; gives the names of the errors."""
    names = []
    for _ in range(times):
        frame = client.frame(client.post("login", user=name, password="not this one"))
        names.append(frame["error"]["data"]["name"])
    return names


def test_who_guesses_from_one_address_does_not_lock_the_owner_out(limited, enter, come):
    server = limited(login_rate=1, login_burst=4, login_user_rate=60, login_user_burst=50)
    alice, attacker = enter(server, ELSEWHERE), come(server)
    assert wrong(attacker, alice.name, 4) == ["bad_credentials"] * 4
    before = hashes(server)
    assert wrong(attacker, alice.name, 20) == ["rate_limited"] * 20
    # The right password is not looked at either, or it would be told from the wrong ones.
    data = attacker.fails("rate_limited", "login", user=alice.name, password=PASSWORD)
    assert 1000 < data["retry_after_ms"] <= 60_000
    # On another connection it is the same.
    come(server).fails("rate_limited", "login", user=alice.name, password=PASSWORD)
    assert hashes(server) == before, "refused guesses cost no hashing"
    assert count(server, "login") == 22
    # From an address that is new to her, and from hers.
    login(come(server, THERE), alice.name)
    login(come(server, ELSEWHERE), alice.name)
    # With her token even from there.
    come(server).call("resume", token=alice.token)
    # The attacker's other victims are others.
    assert wrong(attacker, new_name(), 1) == ["bad_credentials"]


def test_who_guesses_from_many_addresses_does_not_lock_the_owner_out(limited, enter, come):
    server = limited(login_rate=1, login_burst=3, login_user_rate=1, login_user_burst=8)
    alice = enter(server, ELSEWHERE)
    seen = []
    for i in range(6):
        seen += wrong(come(server, f"127.0.1.{i + 1}"), alice.name, 2)
    assert seen == ["bad_credentials"] * 8 + ["rate_limited"] * 4
    assert count(server, "login_user") == 4 and count(server, "login") == 0
    # Where she was not seen yet her password is not looked at; where she was it is.
    come(server, THERE).fails("rate_limited", "login", user=alice.name, password=PASSWORD)
    login(come(server, ELSEWHERE), alice.name)
    device = come(server, THERE)
    device.call("resume", token=alice.token)
    # And there she is known by now.
    login(come(server, THERE), alice.name)
    # Other users are not concerned.
    bob = enter(server, ELSEWHERE)
    login(come(server, THERE), bob.name)


def test_users_that_do_not_exist_are_treated_alike(limited, enter, come):
    server = limited(login_rate=1, login_burst=3, login_user_rate=1, login_user_burst=5)
    known, unknown = enter(server, ELSEWHERE).name, new_name("nobody")
    for i, source in enumerate([HERE, HERE, HERE, HERE, THERE, THERE, THERE]):
        client = come(server, source)
        first = client.frame(client.post("login", user=known, password="not this one"))["error"]
        second = client.frame(client.post("login", user=unknown, password="not this one"))["error"]
        waits = [error["data"].pop("retry_after_ms", 0) for error in (first, second)]
        assert first == second, i
        assert (waits[0] > 0) == (waits[1] > 0)
        assert first["data"]["name"] == ("bad_credentials" if i not in (3, 6) else "rate_limited"), i


def test_guesses_spread_over_users_are_limited_by_address(limited, enter, come):
    server = limited(login_address_rate=1, login_address_burst=6)
    alice, neighbour, attacker = enter(server), enter(server, THERE), come(server)
    seen = []
    for _ in range(10):
        seen += wrong(attacker, new_name("nobody"))
    assert seen == ["bad_credentials"] * 6 + ["rate_limited"] * 4
    assert count(server, "login_address") == 4
    # Who has logged in from there before still may; elsewhere all may.
    login(come(server), alice.name)
    come(server).fails("rate_limited", "login", user=neighbour.name, password=PASSWORD)
    login(come(server, THERE), neighbour.name)


def test_right_passwords_cost_nothing(limited, enter, come):
    server = limited(login_rate=1, login_burst=2, login_address_rate=1, login_address_burst=2, login_user_rate=1,
                     login_user_burst=2)
    name = enter(server, ELSEWHERE).name
    for _ in range(8):
        client = come(server)
        login(client, name)
        client.call("logout")
    assert wrong(come(server), name, 3) == ["bad_credentials", "bad_credentials", "rate_limited"]


def test_login_recovers_when_the_server_says(limited, enter, come):
    server = limited(login_rate=120, login_burst=2)
    name = enter(server, ELSEWHERE).name
    client = come(server)
    error = None
    while error != "rate_limited":
        frame = client.frame(client.post("login", user=name, password="not this one"))
        error = frame["error"]["data"]["name"]
    assert frame["error"]["data"]["retry_after_ms"] <= 500
    obey(frame["error"]["data"])
    login(client, name)


def test_wrong_tokens_are_limited_by_address(limited, enter, come):
    server = limited(login_address_rate=1, login_address_burst=5)
    alice, attacker = enter(server, ELSEWHERE), come(server)
    for _ in range(5):
        attacker.fails("token_invalid", "resume", token="x" * 43)
    attacker.fails("rate_limited", "resume", token="x" * 43)
    assert count(server, "resume") == 1
    # A token that was good lately is good there too.
    come(server).call("resume", token=alice.token)
    # Passwords are counted apart.
    login(come(server), alice.name)


def test_the_old_password_is_guessed_no_faster(limited, enter):
    server = limited(login_rate=1, login_burst=3)
    alice = enter(server)
    for _ in range(3):
        alice.fails("bad_credentials", "password.change", {"old": "not this one", "new": "another good one"})
    alice.fails("rate_limited", "password.change", {"old": PASSWORD, "new": "another good one"})


def test_registrations_are_limited_by_address(limited, come):
    server = limited(register_rate=1, register_burst=3)
    client = come(server)
    taken = new_name()
    come(server, THERE).call("register", user=taken, password=PASSWORD)
    come(server).call("register", user=new_name(), password=PASSWORD)
    # What can't be a registration is none; a taken name is one, or names could be tried out.
    for _ in range(5):
        client.fails("weak_password", "register", user=new_name(), password="password")
    client.fails("name_taken", "register", user=taken, password=PASSWORD)
    come(server).call("register", user=new_name(), password=PASSWORD)
    before = hashes(server)
    data = come(server).fails("rate_limited", "register", user=new_name(), password=PASSWORD)
    assert 1000 < data["retry_after_ms"] <= 60_000
    assert hashes(server) == before and count(server, "register") == 1
    come(server, THERE).call("register", user=new_name(), password=PASSWORD)
    come(server, "127.0.0.1").call("register", user=new_name(), password=PASSWORD)


def test_logins_of_an_exempt_address_are_not_limited(confabd, come):
    server = confabd(config={"login_rate": 1, "login_burst": 1, "login_user_rate": 1, "login_user_burst": 1})
    client = come(server, HERE)
    assert wrong(client, "nobody", 6) == ["bad_credentials"] * 6


# --- Connections ---


def refused(server, reason="address"):
    return server.metrics().total("confab_connections_refused_total", reason=reason)


def is_closed(raw):
    try:
        return not raw.read_some()
    except ConnectionResetError:
        return True


def test_connections_of_an_address_are_capped(limited, come):
    server = limited(connections_per_address=3)
    clients = [come(server) for _ in range(3)]
    for client in clients:
        client.call("ping")
    with Raw(server.port, source=HERE) as fourth:
        assert is_closed(fourth)
    assert refused(server) == 1
    # Those that are there do not notice; others come in, and this machine in any number.
    clients[0].call("ping")
    come(server, THERE).call("ping")
    for _ in range(5):
        come(server, "127.0.0.1").call("ping")
    # Who goes makes room.
    clients[0].close()

    def again():
        with Raw(server.port, source=HERE) as next_one:
            try:
                next_one.write(b'{"id":1,"method":"ping"}\n')
                return next_one.read_some()
            except ConnectionError:
                return False

    wait_for(again, 10, "room for another connection")


def test_behind_a_proxy_it_is_the_client_that_is_capped(confabd):
    server = confabd(listen=["127.0.0.1:0", "127.0.0.1:0,proxy"], config={"connections_per_address": 2})

    def come_from(source):
        client = Raw(server.port_of(1), first=f"PROXY TCP4 {source} 192.0.2.1 5000 7000\r\n".encode())
        try:
            client.write(b'{"id":1,"method":"ping"}\n')
            return client, client.read_some()
        except ConnectionError:
            return client, False

    opened = [come_from("203.0.113.7"), come_from("203.0.113.7"), come_from("203.0.113.7"), come_from("203.0.113.8")]
    assert [bool(let_in) for _, let_in in opened] == [True, True, False, True]
    assert refused(server) == 1
    for client, _ in opened:
        client.close()


def test_connections_themselves_are_requests_of_their_address(limited):
    server = limited(rate_address=1, rate_address_burst=5)
    clients = [Raw(server.port, source=HERE) for _ in range(12)]
    wait_for(lambda: refused(server, "rate") > 0, 10, "a refused connection")
    for client in clients:
        client.close()
    assert refused(server) == 0


# --- The configuration ---


def reload(server, **changes):
    size = len(server.log())
    server.write_config(**changes)
    server.hang_up()
    wait_for(lambda: " reloaded " in server.log()[size:], 10, "the new configuration")


def test_sighup_changes_limits(limited, enter, come):
    server = limited()
    client = enter(server)
    assert ask(client, 100) == (100, [])
    reload(server, rate_session=1, rate_session_burst=10, connections_per_address=2)
    exhaust(client)
    second = come(server)
    second.call("ping")
    with Raw(server.port, source=HERE) as third:
        assert is_closed(third)
    # A faster rate counts at once, and so does an exemption, also on connections that are open.
    reload(server, rate_session=100)
    obey(exhaust(client, 200))
    client.call("ping")
    reload(server, rate_session=1, rate_exempt=f"127.0.0.1 {HERE}")
    assert ask(client, 200) == (200, [])
    come(server).call("ping")
    reload(server, rate_exempt="")
    exhaust(client)
    client.close(), second.close()
