"""Many senders at once, each with a window of unanswered sends, that remember what was answered."""

import asyncio
import contextlib
import json

import websockets

from .client import PATIENCE, WIRES, Loop, on_loop
from .server import dumps


class Sender:
    """One connection of a session that sends until it is told to stop, or its connection ends."""

    def __init__(self, port, transport, token, to, window=16, prefix="s", limit=None, body="x" * 100):
        self.port, self.transport, self.token, self.to = port, transport, token, to
        self.window, self.prefix, self.limit, self.body = window, prefix, limit, body
        self.sent = {}       # cmid -> body, in the order sent
        self.answered = {}   # cmid -> (cid, seq, ts)
        self.dups = 0
        self.errors = []     # (cmid, error) as answered
        self.stopping = False
        self.ended = False
        self.goaway = None
        self.progress = asyncio.Event()

    @property
    def unanswered(self):
        refused = {cmid for cmid, _ in self.errors}
        return [cmid for cmid in self.sent if cmid not in self.answered and cmid not in refused]

    async def open(self):
        self.wire = WIRES[self.transport]()
        await self.wire.open("127.0.0.1", self.port)
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            await self.wire.send(dumps({"id": 0, "method": "resume", "params": {"token": self.token}}))
            first = json.loads(await self.wire.recv())
            if "result" in first:
                return
            again = first["error"]["data"].get("retry") and asyncio.get_running_loop().time() < deadline
            assert again, first
            await asyncio.sleep(first["error"]["data"].get("retry_after_ms", 100) / 1000)   # as it asks for

    def request(self, cmid):
        return dumps({"id": cmid, "method": "send", "params": {"to": self.to, "body": self.sent[cmid], "cmid": cmid}})

    async def run(self):
        waiting = set()
        number = len(self.sent)
        try:
            while True:
                texts = []
                while (len(waiting) < self.window and not self.stopping and not self.goaway
                       and (self.limit is None or number < self.limit)):
                    cmid = f"{self.prefix}-{number:07}"
                    self.sent[cmid] = f"{cmid} {self.body}"
                    texts.append(self.request(cmid))
                    waiting.add(cmid)
                    number += 1
                if texts:
                    await self.wire.send(*texts)
                if not waiting and not texts:
                    break
                if not await self.one(waiting):
                    self.ended = True
                    break
        except (ConnectionError, EOFError, websockets.ConnectionClosed):
            self.ended = True
        if self.ended or self.goaway:
            await self.wire.close()
            await self.rest(waiting)

    async def rest(self, waiting):
        """What had arrived before a send found the connection ended."""
        with contextlib.suppress(ConnectionError, EOFError, websockets.ConnectionClosed):
            while await self.one(waiting):
                pass

    async def one(self, waiting):
        text = await self.wire.recv()
        if text is None:
            return False
        frame = json.loads(text)
        if "method" in frame:
            if frame["method"] == "goaway":
                self.goaway = frame["params"]
            return True
        cmid = frame["id"]
        waiting.discard(cmid)
        if "result" in frame:
            result = frame["result"]
            assert cmid not in self.answered, f"{cmid} is answered twice"
            self.answered[cmid] = result["cid"], result["seq"], result["ts"]
            self.dups += result.get("dup", False)
        else:
            self.errors.append((cmid, frame["error"]))
        self.progress.set()
        return True

    async def resend(self, port, cmids):
        """The unanswered ones again, on a new connection, in the old order, with the same cmids; and those once more that
        are told to come again."""
        self.port = port
        await self.open()
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while cmids:
            waiting = set(cmids)
            self.errors = [e for e in self.errors if e[0] not in waiting]
            for start in range(0, len(cmids), 100):
                await self.wire.send(*[self.request(cmid) for cmid in cmids[start:start + 100]])
            while waiting:
                assert await self.one(waiting), "the connection ended"
            later = {cmid for cmid, error in self.errors if error["data"].get("retry")}
            cmids = [cmid for cmid in cmids if cmid in later]
            if cmids and asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.1 if cmids else 0)
        await self.wire.close()


class Load:
    """Senders that run together."""

    def __init__(self, senders):
        self.senders = senders
        self.task = None

    def start(self):
        async def begin():
            await asyncio.gather(*(s.open() for s in self.senders))
            self.task = asyncio.gather(*(s.run() for s in self.senders))

        on_loop(begin(), timeout=60)
        return self

    @property
    def answered(self):
        return sum(len(s.answered) for s in self.senders)

    def wait_answered(self, count, timeout=60):
        async def until():
            while self.answered < count:
                assert not self.task.done(), f"the load ended after {self.answered} answers of {count}"
                await asyncio.sleep(0.002)

        on_loop(asyncio.wait_for(until(), timeout), timeout + 5)

    def wait(self, timeout=PATIENCE):
        """Until every sender has ended."""
        async def all_done():
            await asyncio.wait_for(asyncio.shield(self.task), timeout)

        on_loop(all_done(), timeout + 5)

    def stop(self, timeout=PATIENCE):
        """No new sends; waits for the answers to those on their way, then closes."""
        for sender in self.senders:
            sender.stopping = True
        self.wait(timeout)

        async def close():
            await asyncio.gather(*(s.wire.close() for s in self.senders))

        on_loop(close())
        return self

    def abort(self):
        for sender in self.senders:
            Loop.get().call_soon_threadsafe(sender.wire.abort)
        self.wait()
