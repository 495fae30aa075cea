"""confab, the terminal client, as the tests run it: on a machine of somebody, one-shot, or on a pty."""

import contextlib
import fcntl
import os
import pathlib
import pty
import re
import select
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest

from .client import Client
from .fixtures import PASSWORD, new_name
from .server import ALARMS, CONFABD, TIED, sanitizer_environment

CONFAB = os.environ.get("CONFAB_CLI", str(pathlib.Path(CONFABD).parent / "confab"))
DONE, REFUSED, USAGE, LOGIN, CONNECT = 0, 1, 2, 3, 4


class Home:
    """A machine of somebody: a state directory, and programs that run with it."""

    def __init__(self, home, port):
        self.home, self.port = home, port
        self.env = {**sanitizer_environment(), "XDG_STATE_HOME": str(home), "CONFAB_SERVER": f"127.0.0.1:{port}",
                    "TERM": "xterm", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        self.running = []

    def command(self, *args):
        assert os.access(CONFAB, os.X_OK), f"there is no client at {CONFAB}: build it first"
        return [*TIED, CONFAB, *args]

    def run(self, *args, code=DONE, stdin="", timeout=60, **env):
        got = subprocess.run(self.command(*args), input=stdin.encode(), capture_output=True, timeout=timeout,
                             env={**self.env, **env}, start_new_session=True)
        got.out, got.err = got.stdout.decode(), got.stderr.decode()
        assert not ALARMS.search(got.err), got.err
        assert got.returncode == code, f"confab {args} ended with {got.returncode}\n{got.out}\n{got.err}"
        if code != DONE:
            assert got.err.startswith("confab: ") or "unrecognized option" in got.err, got.err
        return got

    def start(self, *args, stdin=subprocess.DEVNULL, **env):
        process = subprocess.Popen(self.command(*args), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env={**self.env, **env}, start_new_session=True)
        self.running.append(process)
        return Lines(process)

    def register(self, name, **more):
        self.run("register", name, "--password-stdin", stdin=PASSWORD + "\n", **more)
        return name

    def files(self, user, part):
        return sorted(p for p in (self.home / f"confab/127.0.0.1:{self.port}" / user / part).iterdir()
                      if not p.name.startswith("."))

    def finish(self):
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait(60)


class Lines:
    """Reads a process's standard output by the line."""

    def __init__(self, process):
        self.process, self.pending = process, b""

    def line(self, timeout=60):
        deadline = time.monotonic() + timeout
        out = self.process.stdout.fileno()
        while b"\n" not in self.pending:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([out], [], [], left)[0], f"no line came within {timeout} s: {self.pending}"
            more = os.read(out, 65536)
            assert more, f"the output ended: {self.process.stderr.read().decode()}"
            self.pending += more
        line, self.pending = self.pending.split(b"\n", 1)
        return line.decode()

    def rest(self, code=DONE, timeout=60):
        out, err = self.process.communicate(timeout=timeout)
        assert not ALARMS.search(err.decode()), err.decode()
        assert self.process.returncode == code, (self.process.returncode, out, err)
        return (self.pending + out).decode(), err.decode()


class Cutter:
    """A proxy that cuts its first connection when the answer to the second request comes from the server."""

    def __init__(self, port):
        self.behind, self.connections = port, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                front, _ = self.listener.accept()
                back = socket.create_connection(("127.0.0.1", self.behind))
                self.connections += 1
                for source, to, lines in ((front, back, None), (back, front, 1 if self.connections == 1 else None)):
                    threading.Thread(target=self.pump, args=(source, to, lines), daemon=True).start()

    def pump(self, source, to, lines):
        with contextlib.suppress(OSError), source.makefile("rb") as stream:
            for number, line in enumerate(stream):
                if number == lines:
                    break
                to.sendall(line)
        for end in (source, to):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.close()


@pytest.fixture
def cut(server, machine):
    """cut() -> a machine behind a new Cutter, on which a new user is logged in; its next connection will be cut."""
    made = []

    def behind():
        made.append(Cutter(server.port))
        home = machine(server, port=made[-1].port)
        home.user = home.register(new_name("alice"))
        home.cutter = made[-1]
        home.cutter.connections = 0
        return home

    yield behind
    for cutter in made:
        cutter.close()


@pytest.fixture
def machine(tmp_path):
    made = []

    def make(server, name="machine", port=None):
        made.append(Home(tmp_path / f"{name}{len(made)}", port or server.port))
        return made[-1]

    yield make
    for home in made:
        home.finish()


@pytest.fixture
def person(server):
    """Another user, by the independent client."""
    clients = []

    def register(base="bob", server=server, sync=True):
        client = Client(server.port, "tcp")
        clients.append(client)
        client.login_as(client.call("register", {"user": new_name(base), "password": PASSWORD,
                                                 **({"sync": True} if sync else {})}))
        return client

    yield register
    for client in clients:
        client.close()


@pytest.fixture
def alice(server, machine):
    """A machine on which a new user is logged in."""
    home = machine(server)
    home.user = home.register(new_name("alice"))
    return home


EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\u2066\x08\x7f\r\nline\ttab"


class Terminal:
    """confab on a pty of its own."""

    def __init__(self, home, *args, **env):
        self.main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

        def controlling():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen([CONFAB, *args], stdin=side, stdout=side, stderr=side,
                                        env={**home.env, **env}, preexec_fn=controlling)
        home.running.append(self.process)
        os.close(side)
        self.seen, self.all = "", ""

    def read(self, timeout):
        if not select.select([self.main], [], [], timeout)[0]:
            return False
        try:
            more = os.read(self.main, 65536).decode(errors="replace")
        except OSError:
            return False
        self.seen += more
        self.all += more
        return True

    def until(self, pattern, timeout=60):
        """Reads until it is there, and forgets everything up to its end."""
        deadline = time.monotonic() + timeout
        while not (found := re.search(pattern, self.seen)):
            left = deadline - time.monotonic()
            assert left > 0 and self.read(left), f"{pattern!r} did not come: {self.seen!r}"
        self.seen = self.seen[found.end():]
        return found

    def until_all(self, *patterns):
        """Until all of them are there, in any order; forgets everything up to the last one's end."""
        deadline = time.monotonic() + 20
        while not all(found := [re.search(p, self.seen) for p in patterns]):
            left = deadline - time.monotonic()
            assert left > 0 and self.read(left), f"{patterns!r} did not come: {self.seen!r}"
        self.seen = self.seen[max(f.end() for f in found):]

    def type(self, text):
        os.write(self.main, text.encode())

    def end(self, code=DONE):
        while self.read(5) and self.process.poll() is None:
            pass
        assert self.process.wait(20) == code, self.all
        os.close(self.main)
        assert not ALARMS.search(self.all), self.all
