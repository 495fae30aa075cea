# SPDX-License-Identifier: MIT
"""A Redis of a test's own: on a free port, in a directory of its own, ended by its process number."""

import pathlib
import shutil
import signal
import socket
import subprocess

from .nginx import free_port
from .server import PATIENCE, TIED, wait_for

BINARY = shutil.which("redis-server")


class Redis:
    def __init__(self, home, *options):
        self.home = pathlib.Path(home)
        self.home.mkdir(parents=True, exist_ok=True)
        self.options = list(options)
        self.port = free_port()
        self.process = None

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def start(self):
        assert BINARY, "redis-server is missing"
        with open(self.home / "log", "ab") as log:
            self.process = subprocess.Popen(
                [*TIED, BINARY, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.home), "--save", "",
                 "--appendonly", "no", "--enable-debug-command", "yes", *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self.answers, 20, "Redis")
        return self

    def answers(self):
        assert self.process.poll() is None, (self.home / "log").read_text()
        try:
            return self.ask("PING") is not None
        except OSError:
            return False

    def ask(self, *words):
        """Sends one command; the first bytes of its answer."""
        command = f"*{len(words)}\r\n" + "".join(f"${len(w.encode())}\r\n{w}\r\n" for w in map(str, words))
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as one:
            one.sendall(command.encode())
            return one.recv(65536).decode()

    def stop(self, how=signal.SIGKILL):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            if how == signal.SIGKILL:
                self.process.wait(PATIENCE)

    def wedge(self):
        self.process.send_signal(signal.SIGSTOP)

    def unwedge(self):
        self.process.send_signal(signal.SIGCONT)
