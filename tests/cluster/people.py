# SPDX-License-Identifier: MIT
"""People who talk on a cluster while things happen to it, and what must be so afterwards."""

import asyncio
import concurrent.futures
import contextlib
import itertools
import time

import confab
from heal import Pulse

UNANSWERED = 200     # who waits for so many answers waits before he says more
_numbers = itertools.count(1)
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
        self.targets = []  # whom he talks to in turn
        self.stopping = False

    @property
    def answered(self):
        return sum(one.done for _, one in self.sent)

    async def listen(self):
        async for message in self.client.messages(changes=True):
            self.got.setdefault(message.cid, []).append(message)

    async def speak(self):
        for number in itertools.count():
            while self.client.unsent > UNANSWERED and not self.stopping:
                await asyncio.sleep(0.05)
            if self.stopping:
                return
            to = self.targets[number % len(self.targets)]
            self.sent.append((to, await self.client.post(to, f"{self.name} {number}")))
            await asyncio.sleep(0.005)


class Town:
    """People on nodes of their own, or behind nginx, who all talk in one group and each to the next."""

    def __init__(self, cluster, tmp_path, figures, people=6, where=None):
        self.cluster = cluster
        self.pulse = Pulse(cluster, figures)
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
        await self.pulse.start()
        made = await self.people[0].client.call(
            "group.create", {"title": "town", "members": [p.name for p in self.people[1:]]})
        self.cid = made["cid"]
        self.listening = [asyncio.ensure_future(p.listen()) for p in self.people]
        self.speaking = []
        return self

    async def __aexit__(self, *problem):
        for task in self.listening + self.speaking:
            task.cancel()
        await self.pulse.end()
        await self.stack.aclose()

    def talk(self):
        for i, person in enumerate(self.people):
            person.stopping = False
            person.targets = [self.cid, "@" + self.people[(i + 1) % len(self.people)].name]
            self.speaking.append(asyncio.ensure_future(person.speak()))

    async def until_answered(self, more, timeout=120, people=None):
        """Waits until so many more sends, of these people, were answered: it goes on."""
        def answered():
            return sum(person.answered for person in people or self.people)

        wanted, deadline = answered() + more, time.monotonic() + timeout
        while answered() < wanted:
            assert time.monotonic() < deadline, f"{answered()} answers where {wanted} were due within {timeout} s"
            for task in self.speaking:
                if task.done():
                    task.result()
            await asyncio.sleep(0.01)

    async def settle(self, timeout=150):
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


def on_nodes(cluster):
    """Everybody on a node of his own in turn, not behind nginx."""
    return lambda i: cluster.nodes[i % len(cluster.nodes)].address


def half_on_nodes(cluster):
    """The first ones so, the others behind nginx."""
    return lambda i: cluster.nodes[i].address if i < len(cluster.nodes) else cluster.address
