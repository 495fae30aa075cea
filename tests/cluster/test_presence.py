# SPDX-License-Identifier: MIT
"""Who is there, as nodes die: whoever is gone is shown as gone, whoever is back at once was never away."""

import asyncio
import time

from heal import LIVES, Voice
from lib.server import wait_for
from people import apart


def told(voice, name):
    return [note["state"] for note in voice.noted if note["user"] == name]


def test_of_a_node_that_is_killed(cluster, play):
    cluster = cluster()
    here, dying, there = cluster.nodes
    for node in cluster.nodes:   # one that was never heard to live is not heard to die
        wait_for(lambda node=node: node.metrics().total("confab_bus_peers") == 2, 60, "the others to be heard")

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


async def until(condition, what):
    deadline = time.monotonic() + LIVES
    while not await condition():
        assert time.monotonic() < deadline, f"no {what}"
        await asyncio.sleep(0.02)
