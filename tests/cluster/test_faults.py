# SPDX-License-Identifier: MIT
"""Whatever dies under load: what was answered is there once, everybody has everything in one order."""

import asyncio
import os
import signal
import time

from cluster import Watched
from lib.server import wait_for
from people import apart, on_nodes
import pytest

STOPPED_S = 30   # longer than others take a silent node for dead


def test_nothing_happens(cluster, play):
    cluster = cluster()

    async def story(town):
        await town.until_answered(300)
        await town.pulse.goes_on()

    play(cluster, story, where=on_nodes(cluster))


def test_each_node_is_killed_in_turn(cluster, play):
    cluster = cluster()

    async def story(town):
        for node in cluster.nodes:
            await apart(node.kill9)
            await town.pulse.goes_on(cluster.others(node))
            await town.until_answered(60)
            await town.pulse.heals(apart(node.start))
            await apart(cluster.wait_ready)

    play(cluster, story)


def test_a_node_is_stopped_for_a_while(cluster, play):
    """It may come back believing what was: it must not answer or show anything that is not so."""
    cluster = cluster()

    async def story(town):
        node = cluster.nodes[0]
        os.kill(node.pid, signal.SIGSTOP)
        try:
            stopped = time.monotonic()
            await town.pulse.goes_on(cluster.others(node))
            while time.monotonic() < stopped + STOPPED_S:
                await town.until_answered(20)
        finally:
            os.kill(node.pid, signal.SIGCONT)
        await town.pulse.heals()

    play(cluster, story)


@pytest.mark.parametrize("how", ["kill", "flushall", "client-kill", "pause"])
def test_redis(cluster, play, how):
    cluster = cluster()

    async def story(town):
        if how == "kill":
            await apart(cluster.redis.kill9)
            await town.pulse.goes_on()
            await town.until_answered(100)
            await town.pulse.heals(apart(cluster.redis.start))
            await apart(cluster.wait_ready)
            return
        for _ in range(5):
            if how == "flushall":
                await apart(cluster.redis.ask, "FLUSHALL")
            elif how == "client-kill":
                await apart(cluster.redis.ask, "CLIENT", "KILL", "TYPE", "pubsub")
            elif how == "pause":
                await apart(cluster.redis.ask, "CLIENT", "PAUSE", "1000")
            await town.pulse.goes_on()
            await town.until_answered(40)

    play(cluster, story, where=on_nodes(cluster))


def test_redis_fails_over_to_its_replica(cluster, play, tmp_path):
    """Sentinels choose the replica; the old one comes back and must not be taken for the master again."""
    redis = Watched(tmp_path / "redis")
    cluster = cluster(redis=redis)

    async def story(town):
        await apart(redis.first.kill9)
        await town.pulse.goes_on()
        await town.until_answered(100)
        await apart(lambda: wait_for(lambda: redis.second.ask("ROLE").startswith("master"), 120, what="a new master"))
        await town.pulse.heals()
        await apart(cluster.wait_ready)
        await apart(redis.first.start)
        await apart(lambda: wait_for(lambda: redis.first.ask("ROLE").startswith("slave"), 120, what="its demotion"))
        await town.pulse.heals()
        await apart(cluster.wait_ready)

    play(cluster, story, where=on_nodes(cluster))


def test_nginx_is_reloaded_again_and_again(cluster, play):
    cluster = cluster()

    async def story(town):
        for _ in range(5):
            await apart(cluster.nginx.reload)
            await asyncio.gather(town.until_answered(30), asyncio.sleep(1))
        await town.pulse.goes_on()

    play(cluster, story)


def test_nginx_is_killed(cluster, play):
    cluster = cluster()

    async def story(town):
        for _ in range(2):
            port = cluster.nginx.port
            await apart(cluster.nginx.kill9)
            await town.pulse.goes_on()
            await town.pulse.heals(apart(lambda: cluster.nginx.start(port)))
            await town.until_answered(60)

    play(cluster, story)
