#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Says what it hears: echo_bot.py NAME PASSWORD [SERVER]; registers itself, and misses nothing while it is away."""
import asyncio
import sys

import confab


async def main(name, password, server="127.0.0.1:7000"):
    async with confab.Client(server, name, password, register=True, state=f"{name}.db") as client:
        async for message in client.messages(own=False):
            await client.reply(message, message.body)

asyncio.run(main(*sys.argv[1:]))
