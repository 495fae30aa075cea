# SPDX-License-Identifier: MIT
"""Nodes of confabd that share a MariaDB and a Redis, and what these two say of themselves."""
import contextlib
import os
import pathlib
import re
import socket
import subprocess
import time

import world
from lab import SERVER_CORE, START_S, Failed, cpu_clock_s

SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "scripts" / "lib" / "mariadb"
# What the tests' small database has too little of for a load.
ROOM = ("--innodb-log-file-size=512M", "--innodb-buffer-pool-size=1G")
# How Redis tells a pattern's subscriber of one PUBLISH.
PUBLISHED = b"$8\r\npmessage\r\n"


def reachable(path):
    """Whether another user can get to it."""
    path = pathlib.Path(path).resolve()
    return all(p.stat().st_mode & 0o001 for p in (path, *path.parents))


class MariaDB:
    """A database server with durable commits on the disk of `lab`'s directory, or in memory where it can't get there."""

    def __init__(self, lab, cores=None):
        if subprocess.run(["sh", "-c", "command -v mariadbd mariadb-install-db"], stdout=subprocess.DEVNULL).returncode:
            raise Failed("mariadbd is missing: apt-get install mariadb-server")
        self.place = os.path.join(lab.scratch, "mariadb-at")
        where = {"CONFAB_MARIADB_IN": lab.scratch} if reachable(lab.scratch) else {}
        done = subprocess.run(["taskset", "-c", cores or SERVER_CORE, SCRIPT, "start", self.place, *ROOM],
                              stdout=subprocess.DEVNULL, env={**os.environ, **where})
        if done.returncode != 0:
            raise Failed("MariaDB does not start")
        self.home = pathlib.Path(pathlib.Path(self.place).read_text().strip())
        self.socket, self.pid = str(self.home / "sock"), (self.home / "pid").read_text().strip()
        lab.running.append(self)

    def client(self, database):
        return ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root", "-N", "-B", *database]

    def sql(self, text, *database):
        done = subprocess.run([*self.client(database), "-e", text], stdout=subprocess.PIPE, check=True)
        return [line.split("\t") for line in done.stdout.decode().splitlines()]

    def url(self, database):
        return f"mysql://root@localhost/{database}?socket={self.socket}"

    def counters(self):
        return {name: int(value) for name, value in self.sql("SHOW GLOBAL STATUS") if value.isdigit()}

    def cpu_s(self):
        return cpu_clock_s(int(self.pid))

    def stop(self):
        subprocess.run([SCRIPT, "stop", self.place], check=True)


def redis_ask(redis, *words):
    """What it answers, without the line that says how long it is."""
    with contextlib.closing(socket.create_connection(("127.0.0.1", int(redis.port)))) as s:
        s.sendall(b"".join([b"*%d\r\n" % len(words)] + [b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words]))
        stream = s.makefile("rb")
        line = stream.readline()
        return stream.read(int(line[1:])).decode() if line.startswith(b"$") else line[1:].decode().strip()


def redis_counters(redis):
    text = redis_ask(redis, "INFO", "all")
    found = {name: int(value) for name, value in re.findall(r"^(\w+):(\d+)\r?$", text, re.M)}
    calls = dict(re.findall(r"^cmdstat_(\w+):calls=(\d+)", text, re.M))
    return {"commands": found["total_commands_processed"], "bytes_in": found["total_net_input_bytes"],
            "bytes_out": found["total_net_output_bytes"], "publishes": int(calls.get("publish", 0))}


class Listener:
    """Hears what is published about conversations, and counts it."""

    def __init__(self, redis):
        self.stream = socket.create_connection(("127.0.0.1", int(redis.port)))
        self.stream.sendall(b"*2\r\n$10\r\npsubscribe\r\n$12\r\nconfab:*:c:*\r\n")
        self.seen = b""
        while not self.seen.endswith(b":1\r\n"):
            self.seen += self.stream.recv(4096)

    def count(self):
        """Since the last time; when nothing has come for a while."""
        self.stream.settimeout(0.3)
        self.seen = b""
        with contextlib.suppress(TimeoutError):
            while chunk := self.stream.recv(1 << 20):
                self.seen += chunk
        return self.seen.count(PUBLISHED)

    def close(self):
        self.stream.close()


class Side:
    """What the generator connects to, and of which processes it counts the CPU time."""

    def __init__(self, nodes, counted):
        self.port = ",".join(node.port for node in nodes)
        self.pid = ",".join(str(program.pid) for program in counted)


class Cluster:
    """A database, a Redis and `count` nodes; node i is on cores[i], Redis and MariaDB on the last of them."""

    def __init__(self, lab, count, users, groups=(), directs=(), cores=("0-1",)):
        self.lab, self.cores = lab, cores
        self.database = MariaDB(lab, cores[-1])
        self.redis = lab.redis(cores=cores[-1])
        self.tokens = os.path.join(lab.scratch, "cluster.tokens")
        self.make_database("confab", users, groups, directs)
        self.nodes = [self.node(i) for i in range(count)]
        self.wait_for_each_other()

    def make_database(self, name, users=0, groups=(), directs=()):
        """With confabd's tables, and who is wanted."""
        make_database(self.lab, self.database, name, self.tokens, users, groups, directs)

    def node(self, i):
        return self.lab.confabd(self.lab.path(f"n{i + 1}"), cores=self.cores[min(i, len(self.cores) - 1)],
                                store=self.database.url("confab"), node=f"n{i + 1}",
                                presence_leave_ms=0, bus=f"redis://127.0.0.1:{self.redis.port}")

    def wait_for_each_other(self):
        deadline = time.monotonic() + START_S
        for node in self.nodes:
            while (node.metric("confab_bus_peers") < len(self.nodes) - 1 or node.metric("confab_bus_looped") < 1):
                if time.monotonic() > deadline:
                    raise Failed("the nodes don't hear each other")
                time.sleep(0.1)


def make_database(lab, database, name, tokens, users=0, groups=(), directs=()):
    database.sql(f"CREATE DATABASE {name}")
    lab.stop(lab.confabd(lab.path("maker"), store=database.url(name)))
    if users > 0:
        world.populate_mariadb(database.client([name]), tokens, users, groups, directs)
