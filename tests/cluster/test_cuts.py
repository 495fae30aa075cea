# SPDX-License-Identifier: MIT
"""A node that can't reach Redis, or the database, or either: what is sent to them vanishes, and nothing comes back.

The other nodes go on.  So does the node itself where only Redis is away; where the database is, it says so to whoever
asks, within the time that every request has.
"""

import asyncio
import time

import pytest

from lib.server import wait_for
from people import apart, half_on_nodes

CUT_S = 13   # longer than a connection to the database waits for an answer, and than others take a node for dead


@pytest.mark.parametrize("what", ["redis", "database", "both"])
def test_a_node_is_cut_off_from(cluster, far, play, what):
    cluster = cluster(network=far)
    node, others = cluster.nodes[0], cluster.nodes[1:]
    away = {"redis": [cluster.redis], "database": [cluster.database], "both": [cluster.redis, cluster.database]}[what]

    async def story(town):
        for one in away:
            far.cut(node.place, one.place)
        began = time.monotonic()
        try:
            if what == "redis":
                await asyncio.gather(town.pulse.goes_on(), town.until_answered(100))
            else:
                voice = town.pulse.voices[node]
                _, refused = await asyncio.gather(
                    town.pulse.goes_on(others), voice.until_refused("send", to=town.pulse.cid, body="now?"))
                assert refused in ("unavailable", "unknown_outcome")
            await apart(lambda: wait_for(lambda: not node.serves, 60, what="/readyz to say so"))
            elsewhere = [person for i, person in enumerate(town.people) if i in (1, 2)]
            while time.monotonic() < began + CUT_S:
                await town.until_answered(20, people=elsewhere)
        finally:
            for one in away:
                far.join(node.place, one.place)
        await town.pulse.heals()
        await apart(cluster.wait_ready)

    play(cluster, story, where=half_on_nodes(cluster))
