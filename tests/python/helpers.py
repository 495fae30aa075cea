# SPDX-License-Identifier: MIT
"""A proxy that cuts, and what the tests of the Python client share."""

import asyncio
import concurrent.futures
import contextlib
import pathlib
import time

from lib.fixtures import PASSWORD, new_name

import confab

PATIENCE = 60
TESTS = pathlib.Path(__file__).resolve().parents[1]

# A server goes with the thread that started it, so that has to outlive the loop.
_thread = concurrent.futures.ThreadPoolExecutor(1)


def apart(function, *args, **options):
    """What takes its time, beside the loop."""
    return asyncio.wrap_future(_thread.submit(function, *args, **options))


def play(story, timeout=180):
    """Runs a coroutine; what it leaves behind is a failure."""
    async def bounded():
        return await asyncio.wait_for(story, timeout)
    return asyncio.run(bounded())


async def until(condition, timeout=PATIENCE, what="a condition"):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {timeout} s"
        await asyncio.sleep(0.01)


class Proxy:
    """Hands bytes on to a port that may change, until it is told otherwise."""

    def __init__(self, target):
        self.target = target
        self.deaf = False   # takes what the server says, and hands nothing on
        self.links = set()
        self.opened = 0

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._link, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        self.cut()
        await asyncio.sleep(0)

    async def _link(self, reader, writer):
        self.opened += 1
        try:
            there, to = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        link = (writer, to)
        self.links.add(link)
        await asyncio.gather(self._pass(reader, to, False), self._pass(there, writer, True))
        self.links.discard(link)

    async def _pass(self, reader, writer, answers):
        with contextlib.suppress(OSError):
            while True:
                data = await reader.read(65536)
                if not data:
                    break
                if not (answers and self.deaf):
                    writer.write(data)
                    await writer.drain()
        writer.close()

    def cut(self):
        for link in list(self.links):
            for writer in link:
                writer.transport.abort()


def client(where, name=None, scheme="tcp", **options):
    port = getattr(where, "port", where)
    host = "localhost" if scheme in ("tls", "wss") else "127.0.0.1"
    return confab.Client(f"{scheme}://{host}:{port}", name or new_name(), PASSWORD, **{"register": True, **options})


async def take(iterator, count):
    """The next `count` of them."""
    return [await asyncio.wait_for(iterator.__anext__(), PATIENCE) for _ in range(count)]
