"""confab, the terminal client: its commands, its files, its exit codes, and the interactive mode on a pty."""

import contextlib
import json
import os
import random
import re
import select
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

from lib.client import Client
from lib.confab import CONNECT, DONE, EVIL, LOGIN, REFUSED, USAGE, Terminal, alice, machine, person  # noqa: F401
from lib.fixtures import PASSWORD, new_name
from lib.server import wait_for

# --- Accounts ---


def test_register_login_logout(server, machine):
    home, name = machine(server), new_name("alice")
    assert "confab login NAME" in home.run("whoami", code=LOGIN).err
    home.register(name, code=DONE)
    assert home.run("whoami").out == f"{name} at 127.0.0.1:{server.port}\n"
    assert json.loads(home.run("whoami", "--json").out) == {"user": name, "server": f"127.0.0.1:{server.port}", "unsent": 0}
    home.run("logout")
    assert f"confab login {name}" in home.run("whoami", code=LOGIN).err
    home.run("login", name.upper(), CONFAB_PASSWORD=PASSWORD)
    assert home.run("whoami").out.startswith(name + " at ")


def test_refused_accounts(server, machine, alice):
    home = machine(server)
    assert "taken" in home.run("register", alice.user, code=REFUSED, CONFAB_PASSWORD=PASSWORD).err
    assert "password" in home.run("login", alice.user, code=LOGIN, CONFAB_PASSWORD="wrong wrong").err
    assert "password" in home.run("register", new_name(), code=REFUSED, CONFAB_PASSWORD="short").err
    assert "--password-stdin" in home.run("register", new_name(), code=LOGIN).err
    for name in ("x", "a b", "-x-", "é" * 3, "a" * 33, "../../x", ""):
        home.run("register", "--", name, code=USAGE, CONFAB_PASSWORD=PASSWORD)
    home.run("whoami", code=LOGIN)


def test_the_login_is_for_its_owner_only(alice):
    top = alice.home / "confab"
    for path in [top, *top.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), (path, oct(mode))
    token = (top / f"127.0.0.1:{alice.port}" / alice.user / "token").read_text().strip()
    assert len(token) >= 40
    for path in top.rglob("*"):
        if path.is_file() and path.name != "token":
            assert token not in path.read_text()


def test_several_users_on_one_machine(server, alice, person):
    second = alice.register(new_name("second"))
    assert alice.run("whoami").out.startswith(second + " ")
    assert alice.run("-u", alice.user, "whoami").out.startswith(alice.user + " ")
    assert alice.run("whoami", CONFAB_USER=alice.user).out.startswith(alice.user + " ")
    assert alice.run("whoami", "--user", second, CONFAB_USER=alice.user).out.startswith(second + " ")
    assert "nobody-here is not logged in" in alice.run("-u", "nobody-here", "whoami", code=LOGIN).err
    alice.run("login", alice.user, CONFAB_PASSWORD=PASSWORD)
    assert alice.run("whoami").out.startswith(alice.user + " ")


def test_a_revoked_session_is_noticed(server, alice):
    other = Client(server.port, "tcp")
    other.call("login", user=alice.user, password=PASSWORD)
    other.call("logout", all=True)
    other.close()
    assert f"confab login {alice.user}" in alice.run("whoami", code=LOGIN).err
    assert "is not logged in" in alice.run("whoami", code=LOGIN).err
    alice.run("login", alice.user, CONFAB_PASSWORD=PASSWORD)
    alice.run("whoami")


def test_logout_of_all(server, alice, machine):
    other = machine(server)
    other.run("login", alice.user, CONFAB_PASSWORD=PASSWORD)
    alice.run("logout", "--all")
    other.run("whoami", code=LOGIN)


def test_password(alice, server, machine):
    other = machine(server)
    other.run("login", alice.user, CONFAB_PASSWORD=PASSWORD)
    wrong = alice.run("password", "--password-stdin", stdin="not mine\nanother good one\n", code=LOGIN)
    assert "password" in wrong.err
    assert "password" in alice.run("password", "--password-stdin", stdin=PASSWORD + "\nshort\n", code=REFUSED).err
    alice.run("password", "--password-stdin", stdin=PASSWORD + "\n", code=LOGIN)
    assert "is changed" in alice.run("password", "--password-stdin", stdin=PASSWORD + "\nanother good one\n").err
    alice.run("whoami")
    other.run("whoami", code=LOGIN)
    other.run("login", alice.user, code=LOGIN, CONFAB_PASSWORD=PASSWORD)
    other.run("login", alice.user, CONFAB_PASSWORD="another good one")


def test_a_password_that_is_typed(alice):
    for again, code in (("another good onf", LOGIN), ("another good one", DONE)):
        terminal = Terminal(alice, "password")
        for question, answer in (("^Password: ", PASSWORD), ("New password: ", "another good one"), ("Once more: ", again)):
            terminal.until(question)
            terminal.type(answer + "\n")
        terminal.until("not the same" if code else "is changed")
        terminal.end(code=code)
        assert "good" not in terminal.all, "a password is not shown"


def test_the_end_of_an_account(alice, person):
    bob = person()
    alice.run("send", "@" + bob.name, "so long")
    cid = bob.message()["cid"]
    assert "password" in alice.run("account", "delete", "--password-stdin", stdin="not mine\n", code=LOGIN).err
    alice.run("whoami")
    assert "is deleted" in alice.run("account", "delete", CONFAB_PASSWORD=PASSWORD).err
    assert "confab login" in alice.run("whoami", code=LOGIN).err
    alice.run("login", alice.user, code=LOGIN, CONFAB_PASSWORD=PASSWORD)
    assert bob.call("history", cid=cid)["messages"][0]["from"] == "deleted"


# --- Usage ---


def test_help_and_version(alice):
    for words in (["--help"], ["-h"], ["send", "--help"]):
        got = alice.run(*words)
        assert "confab send TARGET" in got.out and "Exit:" in got.out and not got.err
    assert re.fullmatch(r"confab \d+\.\d+\.\d+\n", alice.run("--version").out)


@pytest.mark.parametrize("words", [
    ["send"], ["send", "bob", "x"], ["send", "@", "x"], ["send", "@bob"], ["send", "--nope", "@bob", "x"], ["nonsense"], ["account"], ["account", "end"], ["password", "x"],
    ["tail", "@a", "@b"], ["tail", "--count", "0"], ["tail", "--count", "x"], ["history"], ["history", "@bob", "-n", "0"],
    ["who", "nobody"], ["register"], ["-s", "host:port", "whoami"], ["--timeout", "0", "whoami"], ["@bob", "hi"],
    ["send", "--data", "[]", "@bob", "x"], ["send", "--cmid", "a/b", "@bob", "x"]])
def test_wrong_usage(alice, words):
    alice.run(*words, code=USAGE)


def test_no_server_there(alice):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        got = alice.run("-s", f"127.0.0.1:{port}", "--timeout", "1", "login", "x1", code=CONNECT, CONFAB_PASSWORD=PASSWORD)
    assert "Connection refused" in got.err and "is confabd running there?" in got.err


def test_not_a_confab_server(alice):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def answer():
            with contextlib.suppress(OSError):
                while True:
                    other, _ = listener.accept()
                    other.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        threading.Thread(target=answer, daemon=True).start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        got = alice.run("-s", address, "--timeout", "1", "login", "x1", code=CONNECT, CONFAB_PASSWORD=PASSWORD)
    assert "no confab server" in got.err


# --- send ---


def test_send(alice, person):
    bob = person()
    got = alice.run("send", "@" + bob.name, "hi")
    assert not got.out and not got.err
    first = bob.message()
    assert (first["from"], first["body"], first["kind"]) == (alice.user, "hi", "text")
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", first["cmid"])
    alice.run("send", "@" + bob.name, "several", "words", "-n", "--help")
    assert bob.message()["body"] == "several words -n --help"
    alice.run("send", "@" + bob.name, stdin="two\nlines\n")
    assert bob.message()["body"] == "two\nlines"
    answer = json.loads(alice.run("send", "--json", "--kind", "x-note", "--data", '{"a": 1}', "--re", "1", "--cmid", "my-1",
                                  str(first["cid"]), "ünï 🎈").out)
    got = bob.message()
    assert (got["kind"], got["data"], got["re"], got["cmid"], got["body"]) == ("x-note", {"a": 1}, 1, "my-1", "ünï 🎈")
    assert (answer["cid"], answer["seq"]) == (got["cid"], got["seq"]) == (first["cid"], 4)
    assert not alice.files(alice.user, "outbox") and len(alice.files(alice.user, "sent")) == 4


def test_send_twice_under_one_cmid(alice, person):
    bob = person()
    for dup in (None, True):
        answer = json.loads(alice.run("send", "--json", "--cmid", "once", "@" + bob.name, "hi").out)
        assert (answer["seq"], answer.get("dup")) == (1, dup)
    got = alice.run("send", "--cmid", "once", "@" + bob.name, "another", code=REFUSED)
    assert "cmid" in got.err and not alice.files(alice.user, "outbox")


def test_refused_messages(alice, person):
    bob = person()
    assert "@no-such-one: " in alice.run("send", "@no-such-one", "x", code=REFUSED).err
    alice.run("send", "@" + bob.name, "x" * 16385, code=REFUSED)
    alice.run("send", "@" + bob.name, stdin="x" * 100000, code=REFUSED)
    alice.run("send", "@" + bob.name, stdin="\n", code=USAGE)
    assert not alice.files(alice.user, "outbox"), "what was refused is not kept"
    alice.run("send", "@" + bob.name, "x" * 16384)
    assert bob.message()["seq"] == 1


def test_a_message_that_is_no_utf8(alice):
    got = subprocess.run(alice.command("send", "@bob"), input=b"caf\xe9", capture_output=True, env=alice.env, timeout=60)
    assert got.returncode == USAGE and b"UTF-8" in got.stderr


def test_what_a_stopped_server_did_not_answer_goes_out_later(confabd, machine, person):
    server = confabd()
    home, bob = machine(server), person(server=server)
    name = home.register(new_name("alice"))
    os.kill(server.pid, signal.SIGSTOP)
    try:
        for number in range(2):
            got = home.run("--timeout", "1", "send", "@" + bob.name, f"kept {number}", code=CONNECT)
            assert "is kept" in got.err
        # Killed at once, as soon as it is on disk.
        process = home.start("send", "@" + bob.name, "killed").process
        wait_for(lambda: len(home.files(name, "outbox")) == 3, what="the file")
        process.kill()
        process.wait(10)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    cmids = [p.name for p in home.files(name, "outbox")]
    assert "3 kept from before" in home.run("send", "@" + bob.name, "last").err
    got = bob.messages(4)
    assert [m["body"] for m in got] == ["kept 0", "kept 1", "killed", "last"]
    assert [m["cmid"] for m in got[:3]] == cmids
    assert not home.files(name, "outbox")


class Deaf:
    """A proxy that lets everything in, and keeps back the answers to send while it is told so."""

    def __init__(self, port):
        self.port_behind, self.deaf = port, False
        self.kept_back = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                front, _ = self.listener.accept()
                back = socket.create_connection(("127.0.0.1", self.port_behind))
                threading.Thread(target=self.pump, args=(front, back, False), daemon=True).start()
                threading.Thread(target=self.pump, args=(back, front, True), daemon=True).start()

    def pump(self, source, to, from_server):
        with contextlib.suppress(OSError), source.makefile("rb") as lines:
            for line in lines:
                if from_server and self.deaf and b'"cmid"' in line:
                    self.kept_back.set()
                else:
                    to.sendall(line)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.close()


def test_an_answer_that_got_lost_makes_no_second_message(server, machine, person):
    proxy = Deaf(server.port)
    home, bob = machine(server, port=proxy.port), person()
    name = home.register(new_name("alice"))
    proxy.deaf = True
    process = home.start("send", "@" + bob.name, "once").process
    assert proxy.kept_back.wait(20)
    process.kill()
    process.wait(10)
    assert len(home.files(name, "outbox")) == 1
    proxy.deaf = False
    home.run("send", "@" + bob.name, "then")
    assert [(m["seq"], m["body"]) for m in bob.messages(2)] == [(1, "once"), (2, "then")]
    assert bob.call("history", cid="@" + name)["head"] == 2
    proxy.close()


def test_sends_killed_at_any_moment(alice, person):
    """Each is there once or, if it was killed before it was on disk, not at all; and in the order written."""
    bob, chance, unanswered = person(), random.Random(7), 0
    started = time.monotonic()
    alice.run("send", "@" + bob.name, "0")
    usual = time.monotonic() - started
    for number in range(1, 41):
        process = alice.start("send", "@" + bob.name, str(number)).process
        if number % 2:
            while process.poll() is None and not alice.files(alice.user, "outbox"):
                pass
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0.3, 1.2) * usual)
        process.kill()
        process.wait(10)
        unanswered += bool(alice.files(alice.user, "outbox"))
    due = len(alice.files(alice.user, "outbox")) + len(alice.files(alice.user, "sent")) + 1
    alice.run("send", "@" + bob.name, "41")
    got = [int(m["body"]) for m in bob.call("history", cid=bob.message()["cid"], limit=200)["messages"]]
    assert got == sorted(set(got)) and len(got) == due
    assert unanswered >= 5, "too few were killed before their answer"


# --- tail ---


def test_tail_prints_what_was_missed_and_then_what_comes(alice, person):
    bob = person()
    for number in range(3):
        bob.send("@" + alice.user, f"missed {number}")
    tail = alice.start("tail", "--json")
    got = [json.loads(tail.line()) for _ in range(3)]
    assert [m["body"] for m in got] == [f"missed {n}" for n in range(3)] and got[0]["from"] == bob.name
    bob.send("@" + alice.user, "live")
    assert json.loads(tail.line())["body"] == "live"
    os.kill(tail.process.pid, signal.SIGTERM)
    tail.rest(code=128 + signal.SIGTERM)
    assert alice.run("tail", "--missed").out == "", "nothing comes twice"
    bob.send("@" + alice.user, "later")
    assert [json.loads(line)["seq"] for line in alice.run("tail", "--json", "--missed").out.splitlines()] == [5]


def test_tail_count_leaves_the_rest_for_the_next(alice, person):
    bob = person()
    for number in range(5):
        bob.send("@" + alice.user, f"m{number}")
    seen = []
    for count in (1, 3, 1):
        out = alice.run("tail", "--json", "--count", str(count)).out
        seen.append([json.loads(line)["body"] for line in out.splitlines()])
    assert seen == [["m0"], ["m1", "m2", "m3"], ["m4"]]


def test_tail_of_one_conversation(alice, person):
    bob, carol = person(), person("carol")
    bob.send("@" + alice.user, "from bob")
    carol.send("@" + alice.user, "from carol")
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d \[1\] {carol.name}: from carol\n",
                        alice.run("tail", "@" + carol.name, "--count", "1").out)
    assert alice.run("tail", "@" + carol.name, "--missed").out == ""
    assert "from bob" in alice.run("tail", "--missed").out, "what was not shown is not lost"
    cid = bob.send("@" + alice.user, "by number")["cid"]
    assert "by number" in alice.run("tail", str(cid), "--missed").out


def test_tail_shows_own_messages_only_when_asked(alice, person):
    bob = person()
    alice.run("send", "@" + bob.name, "mine")
    bob.send("@" + alice.user, "yours")
    assert [json.loads(line)["body"] for line in alice.run("tail", "--missed", "--json").out.splitlines()] == ["yours"]
    alice.run("send", "@" + bob.name, "mine too")
    out = alice.run("tail", "--missed", "--all").out
    assert out.count("\n") == 1 and f"me -> @{bob.name}: mine too" in out


def test_tail_marks_delivered_but_not_read(alice, person):
    bob = person()
    bob.send("@" + alice.user, "one")
    bob.send("@" + alice.user, "two")
    alice.run("tail", "--count", "2")
    mark = bob.expect("mark", user=alice.user)
    assert (mark["delivered"], mark["read"]) == (2, 0)


def test_tail_announces_what_is_left_out(alice, person):
    bob = person()
    for number in range(8):
        bob.send("@" + alice.user, f"m{number}")
    got = alice.run("tail", "--missed", "--backlog", "2")
    assert "1 to 6 are left out" in got.err and "confab history" in got.err
    assert [line.rsplit(" ", 1)[1] for line in got.out.splitlines()] == ["m6", "m7"]


def test_tail_outlives_the_server(confabd, machine, person):
    server = confabd()
    home, bob = machine(server), person(server=server)
    name = home.register(new_name("alice"))
    bob.send("@" + name, "before")
    tail = home.start("tail", "--json")
    assert json.loads(tail.line())["body"] == "before"
    server.listen = (f"127.0.0.1:{server.port}",)
    token = bob.token
    server.kill9()
    bob.close()
    server.start()
    again = Client(server.port, "tcp")
    again.call("resume", token=token, sync=True)
    again.call("send", to="@" + name, body="after")
    got = json.loads(tail.line(timeout=60))
    assert (got["seq"], got["body"]) == (2, "after"), "once, and in order"
    again.close()
    os.kill(tail.process.pid, signal.SIGINT)
    _, err = tail.rest(code=128 + signal.SIGINT)
    assert "is lost" in err and "connected again" in err


def test_two_tails_of_one_user(alice, person):
    bob = person()
    first = alice.start("tail", "--json")
    bob.send("@" + alice.user, "to both")
    assert json.loads(first.line())["body"] == "to both"
    second = alice.start("tail", "--count", "1")
    ready = select.select([second.process.stderr], [], [], 20)[0]
    assert ready and b"another confab" in os.read(second.process.stderr.fileno(), 4096)
    bob.send("@" + alice.user, "more")
    out, _ = second.rest()
    assert out.count("\n") == 1
    assert json.loads(first.line())["body"] == "more"
    os.kill(first.process.pid, signal.SIGTERM)
    first.rest(code=128 + signal.SIGTERM)


def test_nobody_reads_the_tail(alice, person):
    bob = person()
    for number in range(3):
        bob.send("@" + alice.user, f"m{number}")
    tail = alice.start("tail")
    tail.line()
    tail.process.stdout.close()
    deadline = time.monotonic() + 20
    while tail.process.poll() is None and time.monotonic() < deadline:
        bob.send("@" + alice.user, "more")
        with contextlib.suppress(subprocess.TimeoutExpired):
            tail.process.wait(0.1)
    assert tail.process.returncode == DONE


# --- history, who ---


def test_history(alice, person):
    bob = person()
    for number in range(25):
        bob.send("@" + alice.user, f"m{number}")
    lines = alice.run("history", "@" + bob.name).out.splitlines()
    assert [line.rsplit(" ", 1)[1] for line in lines] == [f"m{n}" for n in range(5, 25)]
    out = alice.run("history", "@" + bob.name, "-n", "3", "--json").out
    assert [json.loads(line)["seq"] for line in out.splitlines()] == [23, 24, 25]
    out = alice.run("history", "--before", "3", "@" + bob.name, "--json").out
    assert [json.loads(line)["seq"] for line in out.splitlines()] == [1, 2]
    assert alice.run("history", "@no-such-one", code=REFUSED).err.startswith("confab: @no-such-one: ")


def test_long_history_comes_in_pages(alice, person):
    bob = person()
    ids = bob.post_all([("send", {"to": "@" + alice.user, "body": f"m{n}"}) for n in range(450)])
    for number in ids:
        bob.answer(number)
    out = alice.run("history", "@" + bob.name, "-n", "430", "--json").out
    assert [json.loads(line)["seq"] for line in out.splitlines()] == list(range(21, 451))


def test_what_others_write_can_not_move_the_cursor(alice, person):
    bob = person()
    bob.send("@" + alice.user, EVIL, data={"k": "\x9b\u202e"})
    bad = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
    for words in (["history", "@" + bob.name], ["history", "@" + bob.name, "--json"], ["tail", "--missed"]):
        out = alice.run(*words).out
        assert out.count("\n") == 1 and not bad.search(out), repr(out)
    got = json.loads(alice.run("history", "@" + bob.name, "--json").out)
    assert got["body"] == EVIL and got["data"] == {"k": "\x9b\u202e"}, "as JSON it is what it was"
    assert "\\x1b]0;owned\\x07" in alice.run("history", "@" + bob.name).out


def test_who(alice, person):
    bob = person()
    out = alice.run("who").out
    assert any(line.split("\t")[:2] == [bob.name, "online"] for line in out.splitlines())
    users = [json.loads(line) for line in alice.run("who", "--json").out.splitlines()]
    assert any(u["user"] == bob.name and u["state"] == "online" for u in users)
    assert alice.user not in [u["user"] for u in users], "whoever doesn't follow is not online"


# --- Interactive ---


def test_the_first_walk(server, machine, person):
    """From nothing: a name, a password, registering, a message, and an answer that does not break the line."""
    home, bob, name = machine(server), person(), new_name("alice")
    terminal = Terminal(home)
    terminal.until("Your name.*: ")
    terminal.type(name + "\n")
    terminal.until(f"Password of {name}: ")
    terminal.type(PASSWORD + "\n")
    terminal.until("Register .* as a new user\\? \\[y/N\\] ")
    terminal.type("y\n")
    terminal.until("once more: ")
    terminal.type(PASSWORD + "\n")
    terminal.until(f"{name} at 127.0.0.1:{server.port}")
    assert PASSWORD not in terminal.all, "a password is not shown"
    terminal.type("nobody yet\n")
    terminal.until("choose whom to write to first: /to @bob")
    terminal.type(f"/to @{bob.name}\n")
    terminal.until(f"@{bob.name}> ")
    terminal.type("hello 🎈\n")
    assert bob.message()["body"] == "hello 🎈"
    terminal.type("half a li")
    terminal.until("half a li")
    bob.send("@" + name, "in between")
    terminal.until(f"\\d\\d:\\d\\d.* .*{bob.name}.*: in between\r\n")
    terminal.until(f"@{bob.name}> half a li")
    terminal.type("ne\n")
    assert bob.message(seq=3)["body"] == "half a line"
    terminal.type("//slash\n/nope\n")
    assert bob.message(seq=4)["body"] == "/slash"
    terminal.until("there is no /nope")
    terminal.type("/who\n")
    terminal.until(bob.name)
    terminal.type("/history 2\n")
    terminal.until("half a line")
    terminal.until("/slash")
    terminal.type("/me\n")
    terminal.until(f"{name} at .*connected")
    terminal.type("/list\n")
    terminal.until(f"-- @{bob.name}")
    terminal.type("/to @no-such-one\n")
    terminal.until("no user of that name")
    terminal.type("/quit\n")
    terminal.end()
    marks = bob.expect("mark", user=name)
    assert marks["read"] >= 1, "what a person sees on a terminal is read"


def test_no_server_is_told_before_a_password_is_asked_for(server, machine):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        terminal = Terminal(machine(server), "-s", f"127.0.0.1:{taken.getsockname()[1]}")
        terminal.end(code=CONNECT)
    assert "Connection refused; is confabd running there?" in terminal.all and "name" not in terminal.all


def test_a_wrong_password_and_another_try(server, machine, alice):
    home = machine(server)
    terminal = Terminal(home, "-u", alice.user)
    terminal.until("Password of .*: ")
    terminal.type("wrong wrong\n")
    terminal.until("Register .*\\[y/N\\] ")
    terminal.type("n\n")
    terminal.until("Password of .*: ")
    terminal.type(PASSWORD + "\n")
    terminal.until(f"{alice.user} at.*/help")
    terminal.type("\x04")
    terminal.end()
    home.run("whoami")


def test_the_terminal_says_that_it_reconnects(confabd, machine, person):
    server = confabd()
    home, bob = machine(server), person(server=server)
    name = home.register(new_name("alice"))
    terminal = Terminal(home, "@" + bob.name)
    terminal.until(f"{name} at")
    server.listen = (f"127.0.0.1:{server.port}",)
    token = bob.token
    server.kill9()
    bob.close()
    terminal.until("the connection is lost")
    terminal.type("written while away\n")
    server.start()
    terminal.until("connected again", timeout=60)
    again = Client(server.port, "tcp")
    again.login_as(again.call("resume", token=token, sync=True))
    assert again.message()["body"] == "written while away"
    again.close()
    terminal.type("/quit\n")
    terminal.end()


def test_evil_text_on_a_terminal(alice, person):
    bob = person()
    bob.send("@" + alice.user, EVIL)
    terminal = Terminal(alice, NO_COLOR="1")
    terminal.until("owned")
    terminal.until("line")
    terminal.type("/quit\n")
    terminal.end()
    assert "\x1b]" not in terminal.all and "\x1b[2J" not in terminal.all and "\x07" not in terminal.all
    assert "\x9b" not in terminal.all and "\u202e" not in terminal.all


def test_colours(alice, person):
    bob = person()
    bob.send("@" + alice.user, "hi")
    assert "\x1b" not in alice.run("history", "@" + bob.name).out
    for env, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        terminal = Terminal(alice, "history", "@" + bob.name, **env)
        terminal.until(": hi")
        terminal.end()
        assert ("\x1b[" in terminal.all) is coloured, (env, terminal.all)


def test_lines_from_a_pipe(alice, person):
    bob = person()
    got = alice.run("@" + bob.name, stdin="one\n\ntwo\n/nonsense\nthree")
    assert [m["body"] for m in bob.messages(3)] == ["one", "two", "three"]
    assert "there is no /nonsense" in got.out
    assert alice.run("@" + bob.name, stdin="four\n/quit\nfive\n").returncode == DONE
    assert bob.message()["body"] == "four"
    assert not alice.files(alice.user, "outbox")


def test_a_long_pipe(alice, person):
    bob = person()
    alice.run("@" + bob.name, stdin="".join(f"{n}\n" for n in range(2500)), timeout=180)
    bob.until_head(bob.message()["cid"], 2500)
    skipped = sum(g["to"] - g["from"] + 1 for g in bob.taken("gap"))
    got = [int(m["body"]) for m in bob.taken("message")]
    assert got == sorted(set(got)) and len(got) + skipped == 2499


def test_a_pipe_without_a_server(server, alice):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        (alice.home / "confab" / f"127.0.0.1:{server.port}").rename(alice.home / "confab" / address)
        got = alice.run("-s", address, "--timeout", "1", "@bob", stdin="hi\n", code=CONNECT)
    assert "gave up on" in got.err


def test_a_pipe_without_a_login(server, machine):
    assert "confab login NAME" in machine(server).run(stdin="hi\n", code=LOGIN).err


# --- TLS ---


@pytest.fixture
def certificate(tmp_path):
    made = {}
    for name in ("localhost", "elsewhere.example"):
        cert, key = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "30", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", key,
                        "-out", cert], check=True, capture_output=True)
        made[name] = (cert, key)
    return made


def test_tls(confabd, machine, certificate):
    cert, key = certificate["localhost"]
    server = confabd(config={"tls_cert": cert, "tls_key": key}, listen=["127.0.0.1:0", "127.0.0.1:0,tls"])
    home, address = machine(server), f"confabs://localhost:{server.port_of(1)}"
    env = {"CONFAB_SERVER": address, "SSL_CERT_FILE": str(cert), "CONFAB_PASSWORD": PASSWORD}
    for name in ("alice", "bob"):
        home.run("register", name, **env)
    assert home.run("whoami", **env).out == f"bob at {address}\n"
    body = "ü" * 8000
    for _ in range(3):
        home.run("-u", "alice", "send", "@bob", stdin=body, **env)
    got = [json.loads(line) for line in home.run("tail", "--json", "--count", "3", **env).out.splitlines()]
    assert [m["body"] for m in got] == [body] * 3
    clear = {**env, "CONFAB_SERVER": f"localhost:{server.port_of(1)}"}
    assert "nobody is logged in" in home.run("whoami", code=LOGIN, **clear).err, "it is not used in the clear"
    refused = home.run("-s", f"127.0.0.1:{server.port_of(1)}", "--timeout", "1", "login", "alice", code=REFUSED,
                       CONFAB_PASSWORD=PASSWORD)
    assert "TLS" in refused.err or "not allowed" in refused.err


def test_tls_certificates_are_checked(confabd, machine, certificate):
    cert, key = certificate["elsewhere.example"]
    server = confabd(config={"tls_cert": cert, "tls_key": key}, listen=["127.0.0.1:0", "127.0.0.1:0,tls"])
    home = machine(server)
    for trusted, why in ((certificate["localhost"][0], "not trusted"), (cert, "[Hh]ost ?name mismatch")):
        got = home.run("-s", f"confabs://localhost:{server.port_of(1)}", "--timeout", "1", "login", "alice", code=CONNECT,
                       CONFAB_PASSWORD=PASSWORD, SSL_CERT_FILE=str(trusted))
        assert re.search(why, got.err), got.err
