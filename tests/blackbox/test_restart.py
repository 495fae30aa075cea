# SPDX-License-Identifier: MIT
"""Going and coming back: the drain in waves, and a restart that refuses nobody."""

import asyncio
import json
import time

import pytest

from lib.server import Server

MANY = 500


@pytest.fixture
def node(tmp_path):
    made = []

    def make(**options):
        made.append(Server(tmp_path / f"node{len(made)}", **options).start())
        return made[-1]

    yield make
    for server in made:
        server.finish()


class Line:
    """One connection in lines."""

    @classmethod
    async def open(cls, port):
        self = cls()
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        return self

    async def call(self, method, **params):
        self.writer.write(json.dumps({"id": 1, "method": method, "params": params}).encode() + b"\n")
        return json.loads(await self.reader.readline())

    async def until_goaway(self):
        """(when, its parameters), and the end of the connection after it."""
        line = await self.reader.readline()
        when, frame = time.monotonic(), json.loads(line)
        assert frame["method"] == "goaway", frame
        assert await self.reader.readline() == b"", "nothing comes after goaway"
        self.writer.close()
        return when, frame["params"]


# --- SIGTERM ---

async def drained(server, count):
    """SIGTERM with so many clients: when each was told to go, after how long it may come back, how long it took."""
    lines = []
    for first in range(0, count, 50):
        lines += await asyncio.gather(*(Line.open(server.port) for _ in range(first, min(first + 50, count))))
    for line in lines:
        assert "result" in await line.call("hello")
    began = time.monotonic()
    server.terminate()
    told = await asyncio.gather(*(line.until_goaway() for line in lines))
    code = await asyncio.get_running_loop().run_in_executor(None, server.wait)
    assert code == 0
    return [when - began for when, _ in told], [params for _, params in told], time.monotonic() - began


def test_sigterm_sends_many_away_in_waves(node):
    server = node(config={"drain_ms": 6000})
    told, params, took = asyncio.run(drained(server, MANY))
    assert all(p["reason"] == "shutdown" for p in params)
    told.sort()
    waves = 1 + sum(1 for before, after in zip(told, told[1:]) if after - before > 0.05)
    assert 4 <= waves <= 16, f"{waves} waves"
    largest = max(sum(1 for t in told if at <= t < at + 0.05) for at in told)
    assert largest <= MANY / 2, f"{largest} of {MANY} were told at once"
    assert took < 20, "drain_ms, and what a busy machine adds"
    back = [p["reconnect_ms"] for p in params]
    assert min(back) >= 1 and max(back) - min(back) > 100 and len(set(back)) > MANY / 10, "they come back spread"
    assert "waves=16" in server.log()


def test_sigterm_sends_a_few_away_at_once(node):
    server = node(config={"drain_ms": 60000})
    told, _, took = asyncio.run(drained(server, 5))
    assert took < 20 and max(told) < 15


def test_a_second_sigterm_cuts_the_waves_short(node):
    server = node(config={"drain_ms": 600000})

    async def scenario():
        lines = await asyncio.gather(*(Line.open(server.port) for _ in range(100)))
        for line in lines:
            await line.call("hello")
        server.terminate()
        await asyncio.wait([asyncio.create_task(line.reader.readline()) for line in lines],
                           return_when=asyncio.FIRST_COMPLETED)
        server.terminate()
        assert await asyncio.get_running_loop().run_in_executor(None, server.wait) == 0
        for line in lines:
            line.writer.close()

    asyncio.run(scenario())


def test_those_whose_wave_has_not_come_are_served(node):
    server = node(config={"drain_ms": 600000})

    async def scenario():
        lines = await asyncio.gather(*(Line.open(server.port) for _ in range(200)))
        for line in lines:
            await line.call("hello")
        server.terminate()
        ends = {asyncio.create_task(line.reader.readline()): line for line in lines}
        done, waiting = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        assert waiting
        served = 0
        for task in waiting:
            ends[task].writer.write(b'{"id":2,"method":"ping"}\n')
        for task in waiting:
            served += b'"result"' in await asyncio.wait_for(task, 20)
        assert served >= 100, "those of later waves"
        with pytest.raises(OSError):
            await Line.open(server.port)
        server.terminate()
        assert await asyncio.get_running_loop().run_in_executor(None, server.wait) == 0
        for line in lines:
            line.writer.close()

    asyncio.run(scenario())
