# SPDX-License-Identifier: MIT
"""How long it takes until a cluster serves: somebody on each node says something, and those on the others hear it.

They connect to the nodes themselves, come back at once and try again at once, so that what is measured is the cluster
and not the patience of its clients.  Nothing is held against these figures but that there are any.
"""

import asyncio
import itertools
import json
import time

LIVES = 120          # so long it may take on a machine that has a lot else to do
ANSWER = 20          # an answer is due after 10 s; then the connection is taken for dead
AGAIN = 0.03
PASSWORD = "correct horse battery"
_numbers = itertools.count(1)


class Refused(Exception):
    def __init__(self, error):
        super().__init__(error["message"])
        self.name = error["data"]["name"]


class Voice:
    """One connection to one node, made again whenever it ends."""

    def __init__(self, host, port, name):
        self.host, self.port, self.name = host, port, name
        self.token = None
        self.writer = None
        self.ids = itertools.count(1)
        self.answers = {}    # id -> future
        self.heard = {}      # cmid -> event
        self.noted = []      # presence, as it came
        self.entered = 0     # how often it was connected; what it watched ends with a connection
        self.ready = asyncio.Event()
        self.ended = False   # wait_for() may lose a cancellation that meets the end of what it waits for
        self.living = asyncio.ensure_future(self._live())

    async def end(self):
        self.ended = True
        self.living.cancel()
        await asyncio.gather(self.living, return_exceptions=True)

    def hang_up(self):
        self.ready.clear()
        self.writer.transport.abort()

    async def _live(self):
        while not self.ended:
            try:
                await self._connection()
            except (OSError, asyncio.TimeoutError, Refused, ValueError):
                pass
            await asyncio.sleep(AGAIN)

    async def _connection(self):
        reader, self.writer = await asyncio.wait_for(
            asyncio.open_connection(self.host, self.port, limit=1 << 20), ANSWER)
        reading = asyncio.ensure_future(self._read(reader))
        try:
            await self._enter()
            self.entered += 1
            self.ready.set()
            await reading
        finally:
            self.ready.clear()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            for future in self.answers.values():
                future.cancel()
            self.answers = {}
            self.writer.transport.abort()

    async def _enter(self):
        sync = {"backlog": 500}
        if self.token is not None:
            await self.ask("resume", token=self.token, sync=sync)
            return
        who = {"user": self.name, "password": PASSWORD}
        try:
            self.token = (await self.ask("register", **who, sync=sync))["token"]
        except Refused as error:
            if error.name != "name_taken":  # the answer was lost
                raise
            self.token = (await self.ask("login", **who, sync=sync))["token"]

    async def _read(self, reader):
        while True:
            line = await reader.readline()
            if not line.endswith(b"\n"):
                return
            frame = json.loads(line)
            if frame.get("method") == "message":
                self._heard(frame["params"].get("cmid")).set()
            elif frame.get("method") == "presence":
                self.noted.append(frame["params"])
            elif frame.get("method") == "goaway":
                return
            elif frame.get("id") in self.answers:
                future = self.answers.pop(frame["id"])
                if not future.done():
                    future.set_result(frame)

    def _heard(self, cmid):
        return self.heard.setdefault(cmid, asyncio.Event())

    async def ask(self, method, **params):
        """The result; Refused, or asyncio.TimeoutError where there is no answer or no connection any more."""
        number = next(self.ids)
        future = self.answers[number] = asyncio.get_running_loop().create_future()
        self.writer.write(json.dumps({"id": number, "method": method, "params": params}).encode() + b"\n")
        done, _ = await asyncio.wait([future], timeout=ANSWER)
        if not done or future.cancelled():
            if not done:
                self.writer.transport.abort()
            raise asyncio.TimeoutError
        frame = future.result()
        if "error" in frame:
            raise Refused(frame["error"])
        return frame["result"]

    async def insist(self, method, **params):
        """As often as it takes."""
        while True:
            await self.ready.wait()
            try:
                return await self.ask(method, **params)
            except asyncio.TimeoutError:
                pass
            except Refused as error:
                if error.name not in ("unavailable", "unknown_outcome", "busy", "rate_limited"):
                    raise
            await asyncio.sleep(AGAIN)

    async def until_refused(self, method, **params):
        """The name of the error that it comes to."""
        while True:
            await self.ready.wait()
            try:
                await self.ask(method, **params)
            except asyncio.TimeoutError:
                pass
            except Refused as error:
                return error.name

    async def hears(self, cmid):
        await self._heard(cmid).wait()


class Pulse:
    """A voice on each node, in one group."""

    def __init__(self, cluster, figures):
        self.cluster, self.figures = cluster, figures
        self.voices = {}

    async def start(self):
        run = next(_numbers)
        for node in self.cluster.nodes:
            self.voices[node] = Voice(node.host, node.port, f"pulse{run}-{node.name}")
        await asyncio.gather(*(voice.ready.wait() for voice in self.voices.values()))
        first, *others = self.voices.values()
        made = await first.insist("group.create", title="pulse", members=[voice.name for voice in others])
        self.cid = made["cid"]
        await self.beat()

    async def end(self):
        await asyncio.gather(*(voice.end() for voice in self.voices.values()))

    async def beat(self, nodes=None):
        """What is said on each of these nodes now is answered, and heard on each of them: how long that took."""
        voices = [self.voices[node] for node in nodes or self.cluster.nodes]
        began = time.monotonic()

        async def one(voice):
            cmid = f"{voice.name}-{next(_numbers)}"
            await voice.insist("send", to=self.cid, body="beat", cmid=cmid)
            await asyncio.gather(*(other.hears(cmid) for other in voices))

        await asyncio.wait_for(asyncio.gather(*(one(voice) for voice in voices)), LIVES)
        return time.monotonic() - began

    async def goes_on(self, nodes=None):
        """To be called when a fault has begun: these nodes are to serve on."""
        self.figures.append(("goes on", await self.beat(nodes)))

    async def heals(self, by=None):
        """How long from the end of a fault; or from the beginning of what ends it."""
        began = time.monotonic()
        if by is not None:
            await by
        await self.beat()
        self.figures.append(("heals", time.monotonic() - began))


# --- The table ---

def table(rows):
    """rows: name -> [(what, seconds)]; the worst of each counts."""
    found = {}
    for name, figures in rows.items():
        found[name] = {what: round(max(s for w, s in figures if w == what), 2) for what, _ in figures}
    return found


def as_markdown(found):
    columns = sorted({what for row in found.values() for what in row})
    lines = ["| what happens | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in sorted(found.items()):
        lines.append(f"| {name} | " + " | ".join(f"{row[c]:.2f} s" if c in row else "" for c in columns) + " |")
    return "\n".join(lines) + "\n"
