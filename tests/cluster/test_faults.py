# SPDX-License-Identifier: MIT
"""Whatever dies under load: what was answered is there once, everybody has everything in one order."""

import asyncio
import os
import signal
import subprocess
import time

import pytest

from cluster import Town, apart

PATIENCE = 240
STOPPED_S = 30   # longer than others take a silent node for dead


def play(cluster, tmp_path, story, **options):
    """People talk, `story(town)` happens, they go on; then all is compared with the log."""
    async def whole():
        async with Town(cluster, tmp_path, **options) as town:
            town.talk()
            await town.until_answered(100)
            await story(town)
            await town.until_answered(100)
            await town.settle()

    asyncio.run(asyncio.wait_for(whole(), PATIENCE))


def on_nodes(cluster):
    """Everybody on a node of his own in turn, not behind nginx."""
    return lambda i: f"127.0.0.1:{cluster.nodes[i % len(cluster.nodes)].port}"


def test_nothing_happens(cluster, tmp_path):
    cluster = cluster()

    async def story(town):
        await town.until_answered(300)

    play(cluster, tmp_path, story, where=on_nodes(cluster))


def test_each_node_is_killed_in_turn(cluster, tmp_path):
    cluster = cluster()

    async def story(town):
        for node in cluster.nodes:
            await apart(node.kill9)
            await town.until_answered(60)
            await apart(node.start)
            await apart(cluster.wait_ready)

    play(cluster, tmp_path, story)


def test_a_node_is_stopped_for_a_while(cluster, tmp_path):
    """It may come back believing what was: it must not answer or show anything that is not so."""
    cluster = cluster()

    async def story(town):
        os.kill(cluster.nodes[0].pid, signal.SIGSTOP)
        try:
            stopped = time.monotonic()
            while time.monotonic() < stopped + STOPPED_S:
                await town.until_answered(20)
        finally:
            os.kill(cluster.nodes[0].pid, signal.SIGCONT)

    play(cluster, tmp_path, story)


@pytest.mark.parametrize("how", ["kill", "flushall", "client-kill", "pause"])
def test_redis(cluster, tmp_path, how):
    cluster = cluster()

    async def story(town):
        if how == "kill":
            await apart(cluster.redis.kill9)
            await town.until_answered(100)
            await apart(cluster.redis.start)
            await apart(cluster.wait_ready)
        for _ in range(5):
            if how == "flushall":
                await apart(cluster.redis.ask, "FLUSHALL")
            elif how == "client-kill":
                await apart(cluster.redis.ask, "CLIENT", "KILL", "TYPE", "pubsub")
            elif how == "pause":
                await apart(cluster.redis.ask, "CLIENT", "PAUSE", "1000")
            await town.until_answered(40)

    play(cluster, tmp_path, story, where=on_nodes(cluster))


def test_the_database_is_killed(cluster, database, tmp_path):
    cluster = cluster()

    async def story(town):
        os.kill(database.pid, signal.SIGKILL)
        await apart(database.restart)
        await apart(cluster.wait_ready)

    play(cluster, tmp_path, story, where=on_nodes(cluster))


def test_connections_to_the_database_are_killed(cluster, database, tmp_path):
    cluster = cluster()

    async def story(town):
        for _ in range(5):
            rows = await apart(database.sql, "SELECT id FROM information_schema.processlist WHERE db = "
                               f"'{cluster.name}'")
            for row in rows:
                try:
                    await apart(database.sql, f"KILL {row[0]}")
                except subprocess.CalledProcessError:  # it may have gone by itself
                    pass
            await town.until_answered(40)

    play(cluster, tmp_path, story, where=on_nodes(cluster))


def test_nginx_is_reloaded_and_killed(cluster, tmp_path):
    cluster = cluster()

    async def story(town):
        for _ in range(3):
            await apart(cluster.nginx.reload)
            await town.until_answered(30)
        port = cluster.nginx.port
        await apart(cluster.nginx.kill9)
        await apart(lambda: cluster.nginx.start(port))

    play(cluster, tmp_path, story)


def test_all_nodes_are_restarted_one_after_the_other(cluster, tmp_path):
    cluster = cluster()

    async def story(town):
        for node in cluster.nodes:
            await apart(node.stop)
            await town.until_answered(30)
            await apart(node.start)
            await apart(cluster.wait_ready)

    play(cluster, tmp_path, story)
