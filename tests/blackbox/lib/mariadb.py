# SPDX-License-Identifier: MIT
"""A MariaDB of a test's own: on a UNIX socket, in a directory of its own, ended by its process number."""

import functools
import itertools
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

TIED = ["setpriv", "--pdeathsig", "KILL", "--"]
BINARY = shutil.which("mariadbd")
_numbers = itertools.count(1)


def as_user():
    return ["--user=mysql"] if os.getuid() == 0 else []


class MariaDB:
    def __init__(self, *options):
        self.options = list(options) or ["--skip-networking"]
        assert BINARY, "mariadbd is missing"
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="confab-mariadb-", dir="/tmp"))
        self.socket = self.home / "sock"
        self.process = None
        self.home.chmod(0o755)
        data = self.home / "data"
        data.mkdir()
        if os.getuid() == 0:
            shutil.chown(self.home, "mysql")
            shutil.chown(data, "mysql")
        made = subprocess.run(
            ["mariadb-install-db", "--no-defaults", *as_user(), f"--datadir={data}", "--auth-root-authentication-method=normal",
             "--skip-test-db", "--innodb-log-file-size=32M"], capture_output=True, text=True, env=self.environment())
        assert made.returncode == 0, made.stdout + made.stderr

    def environment(self):
        """Its temporary tables are named after its process number, which another in a namespace of its own may have, too."""
        return {**os.environ, "TMPDIR": str(self.home)}

    def start(self):
        self.socket.unlink(missing_ok=True)
        with open(self.home / "log", "ab") as log:
            self.process = subprocess.Popen(
                [*TIED, BINARY, "--no-defaults", *as_user(), f"--datadir={self.home}/data", f"--socket={self.socket}",
                 f"--pid-file={self.home}/pid", *self.options, "--innodb-flush-log-at-trx-commit=1",
                 "--innodb-log-file-size=32M", "--innodb-buffer-pool-size=64M", "--innodb-fast-shutdown=2",
                 "--performance-schema=OFF", "--max-connections=400"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment())
        from .server import wait_for
        wait_for(self.answers, 60, "MariaDB")
        return self

    def answers(self):
        assert self.process.poll() is None, (self.home / "log").read_text()
        return self.run("SELECT 1", check=False).returncode == 0

    def run(self, sql, database="", check=True):
        done = subprocess.run(
            ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root", "--batch", "--skip-column-names",
             "--execute", sql, *([database] if database else [])], capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stderr
        return done

    def sql(self, database, sql):
        return [tuple(line.split("\t")) for line in self.run(sql, database).stdout.splitlines()]

    def database(self):
        """A new one; its name, and how confabd is given it."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return name, self.url(name)

    def url(self, name, **options):
        more = "".join(f"&{key}={value}" for key, value in options.items())
        return f"mysql://root@localhost/{name}?socket={self.socket}{more}"

    def kill9(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def finish(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


@functools.cache
def shared():
    """One for all servers of this process; finish_shared() ends it."""
    return MariaDB().start()


def finish_shared():
    if shared.cache_info().currsize:
        shared().finish()
