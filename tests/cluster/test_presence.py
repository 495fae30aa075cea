# SPDX-License-Identifier: MIT
"""Who is there, as nodes die: whoever is gone is shown as gone, whoever is back at once was never away."""

import asyncio
import re
import time

from heal import LIVES, Voice
from lib.server import wait_for
from people import apart


def told(voice, name):
    return [note["state"] for note in voice.noted if note["user"] == name]


def test_of_a_node_that_is_killed(cluster, play):
    cluster = cluster()
    here, dying, there = cluster.nodes

    async def story(town):
        stays, goes = (Voice(dying.host, dying.port, name) for name in ("stays", "goes"))
        watchers = [town.pulse.voices[here], town.pulse.voices[there]]
        try:
            await asyncio.gather(stays.ready.wait(), goes.ready.wait())
            for watcher in watchers:
                await watcher.insist("presence.watch", users=["stays", "goes"])
                await until(lambda: shown(watcher), "both online")
            for watcher in watchers:
                watcher.noted.clear()
            entered = {watcher: watcher.entered for watcher in watchers}
            stays.port = there.port
            began = time.monotonic()
            await apart(dying.kill9)
            await goes.end()
            while time.monotonic() < began + LIVES / 4 and not all("offline" in told(watcher, "goes") for watcher in watchers):
                await asyncio.sleep(0.02)
            for watcher in watchers:
                await until(lambda: gone(watcher), "end of who was there")
            town.pulse.figures.append(("is noticed", time.monotonic() - began))
            stays.port = here.port
            stays.hang_up()
            await stays.insist("ping")
            await town.pulse.heals(apart(dying.start))
            for watcher in watchers:
                assert told(watcher, "stays") == []
                # A connection that was made again watches nobody.
                if watcher.entered == entered[watcher]:
                    assert told(watcher, "goes") == ["offline"]
        finally:
            await stays.end()
            await goes.end()

    async def shown(watcher):
        users = (await watcher.insist("presence.get", users=["stays", "goes"]))["users"]
        return [user["state"] for user in users] == ["online"] * 2

    async def gone(watcher):
        users = (await watcher.insist("presence.get", users=["goes"]))["users"]
        return [user["state"] for user in users] == ["offline"]

    play(cluster, story)


CALLERS = 4   # on each node that dies; they come and go all the time
NEWS = 30


def test_of_nodes_that_are_killed_when_one_has_just_begun_to_hear(cluster, play):
    """It has heard who comes and goes there, and perhaps no beacon: what it was told ends with them all the same."""
    cluster = cluster(5)
    young, *dying, stays = cluster.nodes

    def published():
        return int(re.search(r"cmdstat_publish:calls=(\d+)", cluster.redis.ask("INFO", "commandstats"))[1])

    def begin():
        young.spawn()
        heard = str(len(cluster.nodes))
        wait_for(lambda: cluster.redis.ask("PUBSUB", "NUMSUB", "confab:main:n").split()[-1:] == [heard],
                 what="its ear", step=0.001)
        before = published()
        wait_for(lambda: published() > before + NEWS, what="news", step=0.001)
        for node in dying:
            node.process.kill()
        for node in dying:
            node.kill9()
        young.await_ready()

    async def story(town):
        callers = [Voice(node.host, node.port, f"caller-{node.name}-{i}") for node in dying for i in range(CALLERS)]
        calling = asyncio.ensure_future(call(callers))
        names = [caller.name for caller in callers]
        try:
            await asyncio.gather(*[caller.ready.wait() for caller in callers])
            await apart(young.kill9)
            await apart(begin)
            for node in (young, stays):
                await until(lambda node=node: gone(town.pulse.voices[node], names), f"end of who was there for {node.name}")
        finally:
            calling.cancel()
            await asyncio.gather(*[caller.end() for caller in callers])
        for node in dying:
            await apart(node.start)
        await town.pulse.heals()
        await apart(cluster.wait_ready)

    async def call(callers):
        while True:
            for caller in callers:
                if caller.ready.is_set():
                    caller.hang_up()
                await asyncio.sleep(0.002)

    async def gone(voice, names):
        users = (await voice.insist("presence.get", users=names))["users"]
        return {user["state"] for user in users} == {"offline"}

    play(cluster, story)


async def until(condition, what):
    deadline = time.monotonic() + LIVES
    while not await condition():
        assert time.monotonic() < deadline, f"no {what}"
        await asyncio.sleep(0.02)
