# SPDX-License-Identifier: MIT
"""A cluster: a database, Redis, nodes and nginx, each on this machine or in a place of its own (network.py)."""

import itertools
import os
import pathlib
import signal
import subprocess

from lib.nginx import Nginx, runs
from lib.server import PATIENCE, TIED, Server, finishing, wait_for
from network import Here, port

TOP = pathlib.Path(__file__).resolve().parents[2]
RIGHTS = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP"   # what docs/operate.md says is enough
PASSWORD = "secret"
_numbers = itertools.count(1)


class Database:
    """A MariaDB of the tests' own, with a database for each cluster; inside: the directory that it is made in."""

    def __init__(self, file, place=Here, inside=None, options=()):
        self.file, self.place, self.inside = file, place, inside
        self.options = list(options)
        if place.far:
            self.options += ["--skip-networking=0", "--skip-name-resolve", f"--bind-address={place.host}", "--port=3306"]

    def _script(self, verb, *options):
        env = {**os.environ, **({"CONFAB_MARIADB_IN": str(self.inside)} if self.inside else {})}
        subprocess.run([*self.place.wrap, TOP / "scripts/lib/mariadb", verb, self.file, *options],
                       check=True, timeout=300, env=env)

    def start(self):
        self._script("start", *self.options)
        return self

    def stop(self):
        self._script("stop")

    def restart(self):
        self._script("restart", *self.options)

    def shut_down(self):
        pid = self.pid
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not runs(pid), 60, "the end of MariaDB")

    @property
    def home(self):
        return pathlib.Path(self.file.read_text().strip())

    @property
    def pid(self):
        return int((self.home / "pid").read_text())

    @property
    def runs(self):
        return runs(self.pid)

    def client(self, database="", user="root"):
        return ["mariadb", "--no-defaults", f"--socket={self.home}/sock", f"--user={user}", "-N", "-B",
                *([database] if database else [])]

    def sql(self, text, database=""):
        done = subprocess.run([*self.client(database), "-e", text], check=True, capture_output=True, text=True, timeout=60)
        return [line.split("\t") for line in done.stdout.splitlines()]

    def make(self, name):
        """A database with a user of its own, who may no more than he needs."""
        self.sql(f"CREATE DATABASE {name}")
        for host in ("localhost", "10.77.%"):
            self.sql(f"CREATE USER {name}@'{host}' IDENTIFIED BY '{PASSWORD}'; "
                     f"GRANT {RIGHTS} ON {name}.* TO {name}@'{host}'")

    def drop(self, name):
        self.sql(f"DROP DATABASE IF EXISTS {name}; DROP USER IF EXISTS {name}@localhost, {name}@'10.77.%'")

    def url(self, name, near=True, **options):
        """near: over its socket, which is a file wherever one is."""
        more = {"socket": f"{self.home}/sock"} if near else {"tls": "off"}
        host = "localhost" if near else f"{self.place.host}:3306"
        return (f"mysql://{name}:{PASSWORD}@{host}/{name}?" +
                "&".join(f"{key}={value}" for key, value in {**more, **options}.items()))


class Redis:
    def __init__(self, home, place=Here, options=(), program="redis-server"):
        self.home, self.place, self.options, self.program = pathlib.Path(home), place, list(options), program
        self.home.mkdir(parents=True, exist_ok=True)
        self.process = None
        self.port = port()

    def start(self):
        with open(self.home / "log", "ab") as log:
            self.process = subprocess.Popen([*TIED, *self.place.wrap, self.program, *self._arguments()],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: self.ask("PING") == "PONG", 30, what="Redis")
        return self

    def _arguments(self):
        return ["--port", str(self.port), "--bind", self.place.host, "--protected-mode", "no", "--save", "",
                "--appendonly", "no", "--dir", str(self.home), *self.options]

    @property
    def url(self):
        return f"redis://{self.place.host}:{self.port}"

    def ask(self, *words):
        done = subprocess.run(["redis-cli", "-h", self.place.host, "-p", str(self.port), *words],
                              capture_output=True, text=True, timeout=30)
        return done.stdout.strip()

    def kill9(self):
        self.process.kill()
        self.process.wait(PATIENCE)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(PATIENCE)


class Sentinel(Redis):
    """One that watches a master called "town"; by itself it is enough to choose another."""

    def __init__(self, home, master, quorum=2):
        super().__init__(home, program="redis-sentinel")
        (self.home / "sentinel.conf").write_text(
            f"port {self.port}\nbind 127.0.0.1\nprotected-mode no\ndir {self.home}\n"
            f"sentinel monitor town {master.place.host} {master.port} {quorum}\n"
            "sentinel down-after-milliseconds town 1000\nsentinel failover-timeout town 4000\n")

    def _arguments(self):
        return [str(self.home / "sentinel.conf")]


class Watched:
    """A Redis with a replica, and Sentinels; it stands where a Redis does."""

    def __init__(self, home):
        self.first = Redis(home / "first")
        self.second = Redis(home / "second", options=["--replicaof", "127.0.0.1", str(self.first.port),
                                                      "--repl-diskless-sync-delay", "0"])
        self.sentinels = []
        self.home = home

    def start(self):
        self.first.start()
        self.second.start()
        self.sentinels = [Sentinel(self.home / f"s{i}", self.first).start() for i in range(3)]
        wait_for(lambda: all(self._knows(one) for one in self.sentinels), 120, what="Sentinels that know each other")
        return self

    @staticmethod
    def _knows(sentinel):
        words = sentinel.ask("SENTINEL", "MASTER", "town").split("\n")
        told = dict(zip(words[::2], words[1::2]))
        return told.get("num-slaves") == "1" and told.get("num-other-sentinels") == "2"

    @property
    def url(self):
        return "redis://" + ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels) + "?sentinel=town"

    def stop(self):
        for one in [*self.sentinels, self.first, self.second]:
            one.stop()


class Node(Server):
    """A node that keeps its ports when it starts again."""

    def __init__(self, home, store, bus, name, place=Here, edge=Here):
        self.place, self.host = place, place.host
        config = {"store": store, "bus": bus, "node": name}
        if place.far:
            config.update(allow_plain="yes", proxies=edge.host, monitors="10.0.0.0/8", rate_exempt="10.0.0.0/8")
        super().__init__(home, config=config, wrap=place.wrap,
                         listen=[f"{place.host}:{port()}", f"{place.host}:{port()},proxy"])
        self.name = name

    def renew(self):
        """Restarts in place."""
        os.kill(self.pid, signal.SIGUSR2)
        self._read_ready(60)

    @property
    def serves(self):
        try:
            status, _, _ = self.http("/readyz")
        except OSError:
            return False
        return status == 200

    @property
    def address(self):
        return f"{self.host}:{self.port}"


class Cluster:
    """store: options of the nodes' store; redis: what stands there instead of a Redis of its own."""

    def __init__(self, home, database, nodes, network=None, redis=None, **store):
        self.database, self.name = database, f"confab_{next(_numbers)}"
        database.make(self.name)

        def place(name):
            return network.place(name) if network else Here

        self.redis = redis or Redis(home / "redis", place("redis"))
        self.home, self.edge = home, place("edge")
        self.url = database.url(self.name, near=network is None, **store)
        self.places = [place(f"n{i + 1}") for i in range(nodes)]
        self.nodes, self.nginx = [], None

    def start(self):
        self.redis.start()
        for i, place in enumerate(self.places):
            self.nodes.append(Node(self.home / f"n{i + 1}", self.url, self.redis.url, f"n{i + 1}", place, self.edge))
            self.nodes[-1].start()
        self.wait_ready()
        self.nginx = Nginx(self.home / "nginx", [f"{node.host}:{node.port_of(1)}" for node in self.nodes],
                           host=self.edge.host, wrap=self.edge.wrap).start(port())
        return self

    def wait_ready(self, timeout=60):
        for node in self.nodes:
            wait_for(lambda: node.serves, timeout, f"{node.name} ready")

    def others(self, node):
        return [other for other in self.nodes if other is not node]

    @property
    def address(self):
        return f"{self.edge.host}:{self.nginx.port}"

    def finish(self):
        if self.nginx is not None:
            self.nginx.stop()
        with finishing(self.nodes):
            self.redis.stop()
            self.database.drop(self.name)
