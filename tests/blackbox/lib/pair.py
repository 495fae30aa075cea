# SPDX-License-Identifier: MIT
"""Two users of the Python library, one of whom writes to the other until a file is there: pair.py PORT DIR STOP.

Run as a program of its own, where a test cannot go itself.  Prints `ready`, and at the end how many messages were
answered; fails if one is lost, comes twice, or out of order.
"""

import asyncio
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "python"))

import confab  # noqa: E402

PASSWORD = "correct horse battery"


async def main(port, home, stop):
    address, got, pending, count = f"127.0.0.1:{port}", [], [], 0
    async with confab.Client(address, "wolf", PASSWORD, register=True, state=f"{home}/wolf.db") as wolf, \
            confab.Client(address, "hare", PASSWORD, register=True, state=f"{home}/hare.db") as hare:

        async def read():
            async for message in hare.messages(own=False):
                got.append(message.body)

        reader = asyncio.create_task(read())
        print("ready", flush=True)
        while not os.path.exists(stop):
            pending.append(asyncio.ensure_future(await wolf.post("@hare", str(count))))
            count += 1
            while len(pending) > 16 or (pending and pending[0].done()):
                await pending.pop(0)
            await asyncio.sleep(0.002)
        for answer in pending:
            await answer
        while len(got) < count:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # what came twice would come now
        reader.cancel()
    assert got == [str(n) for n in range(count)], (count, len(got), [n for n in range(count) if got.count(str(n)) != 1][:9])
    print(count, flush=True)

if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 150))
