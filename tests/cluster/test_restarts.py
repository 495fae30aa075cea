# SPDX-License-Identifier: MIT
"""Nodes that are restarted one after the other, as for a new version: nobody loses anything."""

import asyncio

from heal import AGAIN
from people import apart, on_nodes


class Knocking:
    """Connects to a node all the time, and asks one thing on each connection."""

    def __init__(self, node):
        self.node, self.served, self.refused, self.stopping = node, 0, [], False

    async def run(self):
        while not self.stopping:
            try:
                reader, writer = await asyncio.open_connection(self.node.host, self.node.port)
            except OSError as error:
                self.refused.append(error)
                continue
            try:
                writer.write(b'{"id":1,"method":"hello"}\n')
                self.served += b'"result"' in await reader.readline()
            except OSError:
                pass   # accepted a moment before the end, it had not said anything yet
            writer.close()
            await asyncio.sleep(AGAIN)


def test_in_place(cluster, play):
    """By SIGUSR2: who connects to the node meanwhile waits, and is refused nothing."""
    cluster = cluster()

    async def story(town):
        for node in cluster.nodes:
            knocking = Knocking(node)
            task = asyncio.ensure_future(knocking.run())
            await town.pulse.heals(apart(node.renew))
            await apart(cluster.wait_ready)
            served = knocking.served
            while knocking.served < served + 3:
                await asyncio.sleep(AGAIN)
            knocking.stopping = True
            await task
            assert not knocking.refused, knocking.refused[0]

    play(cluster, story)


def test_in_place_where_clients_are(cluster, play):
    """The same, with clients that know only the node that restarts."""
    cluster = cluster()

    async def story(town):
        for node in cluster.nodes:
            await town.pulse.heals(apart(node.renew))
            await apart(cluster.wait_ready)
            await town.until_answered(30)

    play(cluster, story, where=on_nodes(cluster))


def test_stopped_and_started(cluster, play):
    cluster = cluster()

    async def story(town):
        for node in cluster.nodes:
            await apart(node.stop)
            await town.pulse.goes_on(cluster.others(node))
            await town.until_answered(30)
            await town.pulse.heals(apart(node.start))
            await apart(cluster.wait_ready)

    play(cluster, story)
