# SPDX-License-Identifier: MIT
"""A cluster on this machine: a database, Redis, nodes and nginx, and people who talk on it."""

import asyncio
import concurrent.futures
import contextlib
import itertools
import pathlib
import signal
import socket
import subprocess
import time

import confab
from lib.nginx import Nginx
from lib.server import TIED, Server, wait_for

TOP = pathlib.Path(__file__).resolve().parents[2]
_numbers = itertools.count(1)


class Database:
    """A MariaDB of the tests' own, with a database for each cluster."""

    def __init__(self, place):
        self.place = place

    def _script(self, verb, *options):
        subprocess.run([TOP / "scripts/lib/mariadb", verb, self.place, *options], check=True, timeout=120)

    def start(self):
        self._script("start")
        return self

    def stop(self):
        self._script("stop")

    def restart(self):
        self._script("restart")

    @property
    def home(self):
        return pathlib.Path(self.place.read_text().strip())

    @property
    def pid(self):
        return int((self.home / "pid").read_text())

    def sql(self, text, database=""):
        done = subprocess.run(["mariadb", "--no-defaults", f"--socket={self.home}/sock", "--user=root", "-N", "-B",
                               "-e", text, *([database] if database else [])],
                              check=True, capture_output=True, text=True, timeout=60)
        return [line.split("\t") for line in done.stdout.splitlines()]

    def url(self, database):
        return f"mysql://root@localhost/{database}?socket={self.home}/sock"


class Redis:
    def __init__(self, home):
        self.home = pathlib.Path(home)
        self.home.mkdir(parents=True, exist_ok=True)
        self.process = None
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]

    def start(self):
        with open(self.home / "log", "ab") as log:
            self.process = subprocess.Popen(
                [*TIED, "redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                 "--appendonly", "no", "--dir", str(self.home)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: self.ask("PING") == "PONG", what="Redis")
        return self

    def ask(self, *words):
        done = subprocess.run(["redis-cli", "-p", str(self.port), *words], capture_output=True, text=True, timeout=30)
        return done.stdout.strip()

    def kill9(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(10)


class Node(Server):
    """A node that keeps its ports when it starts again."""

    def __init__(self, home, store, bus, name):
        ports = []
        for _ in range(2):
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                ports.append(s.getsockname()[1])
        super().__init__(home, config={"store": store, "bus": bus, "node": name},
                         listen=[f"127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]},proxy"])
        self.name = name

    @property
    def serves(self):
        try:
            status, _, _ = self.http("/readyz")
        except OSError:
            return False
        return status == 200


class Cluster:
    def __init__(self, home, database, nodes):
        self.database, self.name = database, f"confab_{next(_numbers)}"
        database.sql(f"CREATE DATABASE {self.name}")
        self.redis = Redis(home / "redis")
        self.nodes = [Node(home / f"n{i + 1}", database.url(self.name), f"redis://127.0.0.1:{self.redis.port}",
                           f"n{i + 1}") for i in range(nodes)]
        self.nginx = None
        self.home = home

    def start(self):
        self.redis.start()
        for node in self.nodes:
            node.start()
        self.wait_ready()
        self.nginx = Nginx(self.home / "nginx", [node.port_of(1) for node in self.nodes]).start()
        return self

    def wait_ready(self, timeout=60):
        for node in self.nodes:
            wait_for(lambda: node.serves, timeout, f"{node.name} ready")

    @property
    def address(self):
        return f"127.0.0.1:{self.nginx.port}"

    def finish(self):
        if self.nginx is not None:
            self.nginx.stop()
        problems = []
        for node in self.nodes:
            try:
                node.finish()
            except AssertionError as error:
                problems.append(error)
        self.redis.stop()
        self.database.sql(f"DROP DATABASE IF EXISTS {self.name}")
        if problems:
            raise problems[0]


# --- People ---

_thread = concurrent.futures.ThreadPoolExecutor(1)


def apart(function, *args):
    """What takes its time, beside the loop; a server goes with the thread that started it, so that one stays."""
    return asyncio.wrap_future(_thread.submit(function, *args))


class Person:
    def __init__(self, client, name):
        self.client, self.name = client, name
        self.got = {}      # cid -> entries of the stream, in their order
        self.sent = []     # (to, outgoing)
        self.talks = set()
        self.stopping = False

    async def listen(self):
        async for message in self.client.messages(changes=True):
            self.got.setdefault(message.cid, []).append(message)

    async def speak(self, targets):
        for number in itertools.count():
            if self.stopping:
                return
            to = targets[number % len(targets)]
            self.sent.append((to, await self.client.post(to, f"{self.name} {number}")))
            await asyncio.sleep(0.005)


class Town:
    """People on nodes of their own, or behind nginx, who all talk in one group and each to the next."""

    def __init__(self, cluster, tmp_path, people=6, where=None):
        self.cluster = cluster
        self.people = []
        self.addresses = [where(i) if where else cluster.address for i in range(people)]
        self.tmp_path = tmp_path
        self.stack = contextlib.AsyncExitStack()

    async def __aenter__(self):
        run = next(_numbers)
        for i, address in enumerate(self.addresses):
            name = f"p{run}-{i}"
            client = confab.Client(address, name, "correct horse battery", register=True,
                                   state=self.tmp_path / f"{name}.db", timeout=60)
            await self.stack.enter_async_context(client)
            self.people.append(Person(client, name))
        made = await self.people[0].client.call(
            "group.create", {"title": "town", "members": [p.name for p in self.people[1:]]})
        self.cid = made["cid"]
        self.listening = [asyncio.ensure_future(p.listen()) for p in self.people]
        self.speaking = []
        return self

    async def __aexit__(self, *problem):
        for task in self.listening + self.speaking:
            task.cancel()
        await self.stack.aclose()

    def talk(self):
        for i, person in enumerate(self.people):
            person.stopping = False
            to = [self.cid, "@" + self.people[(i + 1) % len(self.people)].name]
            self.speaking.append(asyncio.ensure_future(person.speak(to)))

    @property
    def answered(self):
        return sum(one.done for p in self.people for _, one in p.sent)

    async def until_answered(self, more, timeout=60):
        """Waits until so many more sends were answered: it goes on."""
        wanted, deadline = self.answered + more, time.monotonic() + timeout
        while self.answered < wanted:
            assert time.monotonic() < deadline, f"{self.answered} answers where {wanted} were due within {timeout} s"
            for task in self.speaking:
                if task.done():
                    task.result()
            await asyncio.sleep(0.01)

    async def settle(self, timeout=90):
        """No new sends; all that was sent is answered, and everybody has everything. Then the history is checked."""
        for person in self.people:
            person.stopping = True
        await asyncio.wait_for(asyncio.gather(*self.speaking), timeout)
        self.speaking = []
        answers = {}
        for person in self.people:
            for _, one in person.sent:
                answer = await asyncio.wait_for(self.answer(one), timeout)
                place = (answer.cid, answer.seq)
                assert place not in answers, f"{one.cmid} and {answers[place]} have one place"
                answers[place] = one.cmid
                person.talks.add(answer.cid)
        await self.check(answers, timeout)

    @staticmethod
    async def answer(one):
        return await one

    async def check(self, answers, timeout):
        logs = {}
        for person in self.people:
            for cid in person.talks - logs.keys():
                logs[cid] = await self.log(person, cid)
        stored = {(cid, m.seq): m.cmid for cid, log in logs.items() for m in log if m.cmid is not None}
        assert len(set(stored.values())) == len(stored), "a message is there twice"
        assert stored == answers, "what was answered is not what is stored"
        deadline = time.monotonic() + timeout
        for person in self.people:
            for cid, got in person.got.items():
                head = logs[cid][-1].seq
                while got[-1].seq < head:
                    assert time.monotonic() < deadline, f"{person.name} has {cid} up to {got[-1].seq} of {head}"
                    await asyncio.sleep(0.02)
                seqs = [m.seq for m in got]
                assert seqs == list(range(seqs[0], head + 1)), f"{person.name} has a hole or repeat in {cid}"
                same = {m.seq: (m.cmid, m.body) for m in logs[cid]}
                assert all(same[m.seq] == (m.cmid, m.body) for m in got), f"{person.name} sees another {cid}"
        assert all(self.cid in person.got for person in self.people)

    @staticmethod
    async def log(person, cid):
        log, after = [], 0
        while True:
            page = await person.client.history(cid, after=after, limit=200)
            log += page.messages
            if not page.more:
                break
            after = log[-1].seq
        assert [m.seq for m in log] == list(range(1, len(log) + 1)), f"the log of {cid} is not dense"
        return log
