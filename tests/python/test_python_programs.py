# SPDX-License-Identifier: MIT
"""python/client.py, one-shot and on a terminal, and the examples: as processes, against a real server."""

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest
from lib.fixtures import PASSWORD, new_name
from lib.server import TIED, wait_for

from helpers import PATIENCE, TESTS

PYTHON = TESTS.parent / "python"
DONE, REFUSED, USAGE, LOGIN, CONNECT = range(5)


class Home:
    """Somebody's machine."""

    def __init__(self, path, port):
        self.path = path
        self.env = {**os.environ, "XDG_STATE_HOME": str(path), "CONFAB_SERVER": f"127.0.0.1:{port}", "TERM": "xterm",
                    "LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONPATH": str(PYTHON), "PYTHONDONTWRITEBYTECODE": "1",
                    "PYTHONUNBUFFERED": "1"}
        self.running = []

    def run(self, *words, code=DONE, stdin=""):
        done = subprocess.run([sys.executable, PYTHON / "client.py", *words], input=stdin, text=True,
                              capture_output=True, env=self.env, timeout=60, start_new_session=True)
        assert done.returncode == code, f"client.py {words} ended with {done.returncode}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout if code == DONE else done.stderr

    def register(self, base):
        name = new_name(base)
        self.run("--password-stdin", "register", name, stdin=PASSWORD + "\n")
        return name

    def start(self, program, *words, **options):
        process = subprocess.Popen([*TIED, sys.executable, PYTHON / program, *words], env=self.env, text=True,
                                   cwd=self.path, **options)
        self.running.append(process)
        return process


@pytest.fixture
def home(server, tmp_path):
    home = Home(tmp_path, server.port)
    yield home
    for process in home.running:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        for end in (process.stdin, process.stdout):
            if end:
                end.close()


def test_one_shot(home):
    home.run("who", code=LOGIN)
    alice = home.register("alice")
    assert alice in home.run("whoami")
    bob = home.register("bob")
    assert f"-u {alice}" in home.run("whoami", code=USAGE)
    home.run("-u", alice, "send", f"@{bob}", "hi", "bob")
    home.run("-u", alice, "send", f"@{bob}", stdin="two\nlines \x1b[31m\n")
    assert re.fullmatch(rf"\d\d:\d\d 1 {alice} → @{bob}: hi bob\n\d\d:\d\d 2 {alice} → @{bob}: two\nlines \ufffd\[31m\n",
                        home.run("-u", alice, "history", f"@{bob}"))
    assert re.search(rf"^\d+  @{alice}  {alice}  2 entries, 2 unread$", home.run("-u", bob, "list"), re.M)
    assert bob in home.run("-u", alice, "find", bob)
    home.run("-u", alice, "display", "Alice Anders")
    assert "Alice Anders" in home.run("-u", bob, "profile", f"@{alice}")
    assert "this one" in home.run("-u", bob, "sessions")
    assert "no such user" in home.run("-u", alice, "send", "@no-such-user-here", "x", code=REFUSED)
    home.run("-u", alice, "frobnicate", code=USAGE)
    home.run("-u", alice, "send", code=USAGE)
    home.run("-s", "127.0.0.1:1", "--state", str(home.path / "x.db"), "-u", alice, "who", code=LOGIN)
    home.run("--password-stdin", "login", alice, stdin="wrong horse\n", code=USAGE)
    home.run("-u", alice, "logout")
    home.run("-u", alice, "who", code=LOGIN)
    home.run("--password-stdin", "login", alice, stdin="wrong horse\n", code=LOGIN)
    home.run("--password-stdin", "login", alice, stdin=PASSWORD + "\n")
    home.run("-u", alice, "who")


def test_one_shot_groups(home):
    ann, bob, carl = (home.register(base) for base in ("ann", "bob", "carl"))
    handle = f"#{new_name('ops')}"

    def say(user, *words, **options):
        return home.run("-u", user, *words, **options)

    assert f"you are in {handle}" in say(ann, "group", "create", "Big", "Ops", handle, "open")
    say(ann, "group", "invite", handle, f"@{bob}", "no-such-user")
    say(carl, "group", "join", handle)
    say(bob, "send", handle, "hello", "all")
    assert f"{handle}  Big Ops  3 members" in say(carl, "groups", handle[1:])
    members = say(carl, "group", "members", handle)
    assert re.findall(r"^(\S+)  \S+  (\w+)", members, re.M) == sorted([(ann, "owner"), (bob, "member"), (carl, "member")])
    say(ann, "group", "role", handle, bob, "admin")
    say(bob, "group", "set", handle, "topic", "who is on call")
    assert "who is on call" in say(carl, "group", "info", handle)
    say(bob, "group", "mute", handle, carl, "3600")
    say(carl, "send", handle, "me too", code=REFUSED)
    say(bob, "group", "mute", handle, carl, "0")
    say(carl, "send", handle, "me too")
    say(carl, "edit", handle, "9", "me as well")
    say(bob, "group", "ban", handle, carl)
    assert carl in say(bob, "group", "banned", handle)
    say(carl, "group", "join", handle, code=REFUSED)
    say(bob, "group", "unban", handle, carl)
    say(bob, "delete", handle, "4")
    assert f"{handle}  Big Ops" in say(bob, "list")
    told = say(ann, "history", handle)
    for text in (f"{ann} began Big Ops with {ann}", f"{ann} brought in {bob}", f"{carl} joined", f"{bob} → {handle}: (deleted)",
                 f"{ann} made {bob} admin", f"{bob} set topic: who is on call", f"{bob} muted {carl} until ",
                 f"{bob} lets {carl} speak", f"{carl} → {handle}: me as well (edited)", f"{carl} changed 9: me as well",
                 f"{bob} banned {carl}", f"{bob} deleted 4"):
        assert text in told, told
    assert "of 1: " in say(ann, "receipts", handle, "2")
    say(bob, "group", "leave", handle)
    say(ann, "group", "dismiss", handle)
    say(ann, "group", "frobnicate", code=USAGE)
    say(bob, "send", handle, "anybody?", code=REFUSED)


def test_one_shot_contacts(home):
    ann, bob = home.register("ann"), home.register("bob")
    assert home.run("-u", ann, "contact", "add", bob, "it", "is", "me") == "requested\n"
    assert re.search(rf"^{ann}  {ann}  incoming  \w+  it is me$", home.run("-u", bob, "contacts"), re.M)
    home.run("-u", bob, "contact", "accept", f"@{ann}")
    assert re.search(rf"^{bob}  {bob}  contact  offline$", home.run("-u", ann, "contacts"), re.M)
    home.run("-u", bob, "contact", "block", ann)
    home.run("-u", ann, "send", f"@{bob}", "x", code=REFUSED)
    home.run("-u", bob, "contact", "unblock", ann)
    home.run("-u", bob, "accept", "contacts")
    home.run("-u", ann, "send", f"@{bob}", "x", code=REFUSED)
    home.run("-u", bob, "contact", "frobnicate", ann, code=USAGE)
    home.run("-u", ann, "--password-stdin", "forget", stdin="the wrong horse\n", code=LOGIN)
    home.run("-u", ann, "--password-stdin", "forget", stdin=PASSWORD + "\n")
    home.run("-u", ann, "who", code=LOGIN)
    home.run("-u", bob, "contact", "add", ann, code=REFUSED)


def test_tail(home):
    alice, bob = home.register("alice"), home.register("bob")
    home.run("-u", alice, "send", f"@{bob}", "missed")
    tail = home.start("client.py", "-u", bob, "tail", stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert "missed" in tail.stdout.readline()
    home.run("-u", alice, "send", f"@{bob}", "live")
    assert "live" in tail.stdout.readline()
    # The state is in use; a command beside it works all the same.
    home.run("-u", bob, "send", f"@{alice}", "beside")
    assert "beside" in tail.stdout.readline()


class Terminal:
    """client.py on a pty."""

    def __init__(self, home, *words):
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(home.path)
            os.execvpe(sys.executable, [sys.executable, str(PYTHON / "client.py"), *words], home.env)

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait(self, pattern):
        """Waits for output that was not waited for yet."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = re.search(pattern, self.seen)
            if found:
                self.seen = self.seen[found.end():]
                return found
            ready, _, _ = select.select([self.fd], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{pattern!r} did not appear; there was {self.seen!r}"
            try:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
            except OSError:
                raise AssertionError(f"client.py ended before {pattern!r}: {self.seen!r}") from None

    def end(self):
        with contextlib.suppress(OSError):
            while os.read(self.fd, 65536):
                pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def test_interactive(home):
    bob, alice = home.register("bob"), new_name("alice")
    screen = Terminal(home, "-u", alice)
    screen.wait(f"Password of {alice}: ")
    screen.type(PASSWORD + "\n")
    screen.wait(r"Register .*\? \[y/N\] ")
    screen.type("y\n")
    screen.wait("Password: ")
    screen.type(PASSWORD + "\n")
    screen.wait("Once more: ")
    screen.type(PASSWORD + "\n")
    screen.wait(rf"\* {alice} at confab://.*/help")
    screen.wait("> ")
    screen.type("hello\n")
    screen.wait(r"\* to whom\? /to TARGET")
    home.run("-u", bob, "send", f"@{alice}", "knock")
    screen.wait(rf"\d\d:\d\d {bob} → @{alice}: knock|\d\d:\d\d {bob}: knock")
    # Tab completes commands, their second words, and the names that were seen.
    screen.type("/hel\t")
    screen.wait("/help ")
    screen.type("\n")
    screen.wait("/history .*the last N messages")
    screen.type("/contact unb\t")
    screen.wait("/contact unblock ")
    screen.type("\x15/to @bob\t\n")
    screen.wait(f"@{bob}> ")
    screen.type("hello bob\n")
    screen.wait(f"{alice} → @{bob}: hello bob")
    screen.type("/who\n")
    screen.wait(r"\d+ online")
    screen.type("/history 1\n")
    screen.wait(f"2 {alice} → @{bob}: hello bob")
    screen.type("/frob\n")
    screen.wait("there is no frob")
    screen.type("/to @no-such-user-here\n")
    screen.type("lost\n")
    screen.wait(r"\* not sent: no such user")
    screen.type("/group create Ops #ops\n")
    screen.wait(r"\* .*method|you are in #ops")
    # What was shown has been read.
    wait_for(lambda: "unread" not in home.run("-u", alice, "list"), PATIENCE, "the read mark", 0.3)
    screen.type("/quit\n")
    assert screen.end() == DONE
    screen = Terminal(home, "-u", alice, f"@{bob}")
    screen.wait(f"@{bob}> ")
    screen.type("\x04")
    assert screen.end() == DONE
    assert "hello bob" in home.run("-u", bob, "history", f"@{alice}")


def test_interactive_groups(home):
    ann, bob = home.register("ann"), home.register("bob")
    handle = f"#{new_name('ops')}"
    screen, other = Terminal(home, "-u", ann), Terminal(home, "-u", bob)
    screen.wait("> ")
    other.wait("> ")
    screen.type(f"/group create Ops {handle}\n")
    screen.wait(f"you are in {handle}")
    screen.wait(f"{handle}> ")
    screen.type(f"/group invite {bob}\n")
    other.wait(rf"\* you are in {handle}: Ops")
    other.wait(f"{handle}: {ann} brought in {bob}")
    other.type(f"/to {handle}\nhello there\n")
    screen.wait(f"{bob} → {handle}: hello there")
    # A user's name is completed where one is due, without its sign.
    screen.type(f"/group role {bob[:-1]}\t")
    screen.wait(f"/group role {bob} ")
    screen.type("admin\n")
    other.wait(f"{handle}: {ann} made {bob} admin")
    other.type("/edit 3 hello, all of you\n")
    screen.wait(f"{bob} changed 3: hello, all of you")
    other.type("/delete 3\n")
    screen.wait(f"{bob} deleted 3")
    screen.type("/history 4\n")
    screen.wait(rf"3 {bob} → {handle}: \(deleted\)")
    screen.type(f"/contact add {bob} let us talk\n")
    other.wait(rf"\* contact {ann}: incoming let us talk")
    other.type(f"/contact accept {ann}\n")
    screen.wait(rf"\* contact {bob}: contact")
    screen.type(f"/group remove {bob}\n")
    other.wait(f"{handle}: {ann} removed {bob}")
    other.wait(r"\* conversation \d+ is over for you")
    other.type("still here?\n")
    other.wait(r"\* not sent: ")
    for one in (screen, other):
        one.type("/quit\n")
        assert one.end() == DONE


def test_the_interactive_one_survives_a_restart(confabd, tmp_path):
    server = confabd()
    home = Home(tmp_path, server.port)
    bob, alice = home.register("bob"), home.register("alice")
    screen = Terminal(home, "-u", alice, f"@{bob}")
    screen.wait(f"@{bob}> ")
    server.listen = (f"127.0.0.1:{server.port}",)
    server.kill9()
    screen.wait(r"\* no connection")
    screen.type("while it is away\n")
    server.start()
    screen.wait(f"{alice} → @{bob}: while it is away")
    screen.type("/quit\n")
    assert screen.end() == DONE


# --- Examples ---

def test_the_echo_bot(home, server):
    assert len((PYTHON / "examples/echo_bot.py").read_text().splitlines()) < 20
    alice, bot = home.register("alice"), new_name("echo")
    process = home.start("examples/echo_bot.py", bot, PASSWORD, f"127.0.0.1:{server.port}")

    def said():
        with contextlib.suppress(AssertionError):
            return home.run("-u", alice, "send", f"@{bot}", "polly") == ""
    wait_for(said, PATIENCE, "the bot", 0.2)
    wait_for(lambda: f"{bot}: polly" in home.run("-u", alice, "history", f"@{bot}"), PATIENCE, "an echo", 0.2)
    process.kill()
    process.wait()
    home.run("-u", alice, "send", f"@{bot}", "while it was away")
    home.start("examples/echo_bot.py", bot, PASSWORD, f"127.0.0.1:{server.port}")
    wait_for(lambda: f"{bot}: while it was away" in home.run("-u", alice, "history", f"@{bot}"), PATIENCE, "an echo", 0.2)


def test_pipe_to_chat(home, server):
    alice, bob = home.register("alice"), home.register("bob")
    home.env["CONFAB_PASSWORD"] = PASSWORD
    process = home.start("examples/pipe_to_chat.py", alice, f"@{bob}", f"127.0.0.1:{server.port}",
                         stdin=subprocess.PIPE)
    process.communicate("".join(f"line {i}\n" for i in range(100)), timeout=PATIENCE)
    assert process.returncode == 0
    lines = home.run("-u", bob, "history", f"@{alice}", "200").splitlines()
    assert [line.split(": ", 1)[1] for line in lines] == [f"line {i}" for i in range(100)]
