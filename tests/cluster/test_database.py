# SPDX-License-Identifier: MIT
"""What happens to the database under load: killed, restarted, read-only, full, and rows that somebody holds."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time

from heal import Voice
from people import apart, on_nodes


def test_is_killed(cluster, database, play):
    cluster = cluster()

    async def story(town):
        os.kill(database.pid, signal.SIGKILL)
        await town.pulse.heals(apart(database.restart))
        await apart(cluster.wait_ready)

    play(cluster, story, where=on_nodes(cluster))


def test_is_restarted(cluster, database, play):
    cluster = cluster()

    async def story(town):
        await apart(database.shut_down)
        await town.pulse.heals(apart(database.restart))
        await apart(cluster.wait_ready)

    play(cluster, story, where=on_nodes(cluster))


def test_connections_are_killed(cluster, database, play):
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
            await town.pulse.goes_on()
            await town.until_answered(40)

    play(cluster, story, where=on_nodes(cluster))


def test_is_read_only_for_a_while(cluster, database, play):
    """Nothing can be stored, and who asks is told so; what is there can be read."""
    cluster = cluster()

    async def story(town):
        await apart(database.sql, "SET GLOBAL read_only = 1")
        try:
            for voice in town.pulse.voices.values():
                assert await voice.until_refused("send", to=town.pulse.cid, body="now?") == "unavailable"
                assert (await voice.insist("history", cid=town.pulse.cid))["head"] > 0
            assert not any([node.serves for node in cluster.nodes])
        finally:
            await apart(database.sql, "SET GLOBAL read_only = 0")
        await town.pulse.heals()
        await apart(cluster.wait_ready)

    play(cluster, story, where=on_nodes(cluster))


def test_has_no_room_for_a_while(small_database, cluster, play):
    """The disk is full: what can't be stored is refused, and goes on when there is room."""
    cluster = cluster(on=small_database)
    ballast = small_database.inside / "ballast"

    async def story(town):
        voice = town.pulse.voices[cluster.nodes[0]]
        fill(ballast)
        refused = await voice.until_refused("send", to=town.pulse.cid, body="x" * 16000)
        assert refused == "unavailable"
        ballast.unlink(missing_ok=True)
        keeping = asyncio.ensure_future(kept(small_database))
        await town.pulse.heals()
        await apart(cluster.wait_ready)
        keeping.cancel()

    play(cluster, story, where=on_nodes(cluster))


def fill(ballast):
    """Takes all the room there is; others take of it meanwhile."""
    while not ballast.exists() or ballast.stat().st_size == 0:
        room = os.statvfs(ballast.parent)
        if room.f_bavail == 0:
            return
        with open(ballast, "wb") as file, contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_bsize)


async def kept(database):
    """InnoDB gives up where it has no room to roll back; then it is started again, as by its service manager."""
    while True:
        if not database.runs:
            await apart(database.restart)
        await asyncio.sleep(0.1)


HELD_S = 10


def test_a_row_is_held(cluster, database, play):
    """Somebody holds the row of a conversation: all the others go on, also where one connection writes for all."""
    cluster = cluster(pool=1)
    node, other = cluster.nodes[:2]

    async def story(town):
        voice, peer = Voice(node.host, node.port, "voice"), Voice(other.host, other.port, "peer")
        try:
            await asyncio.gather(voice.ready.wait(), peer.ready.wait())
            cid = (await voice.insist("send", to="@peer", body="first", cmid="first"))["cid"]
            with holder(database, cluster.name, cid):
                saying = asyncio.ensure_future(voice.insist("send", to=cid, body="held", cmid="held"))
                began = time.monotonic()
                while time.monotonic() < began + HELD_S:
                    await town.pulse.goes_on()
                    await town.until_answered(60)
                assert not saying.done()
            await town.pulse.heals(saying)
            assert saying.result()["seq"] == 2
        finally:
            await voice.end()
            await peer.end()

    play(cluster, story, where=on_nodes(cluster))


@contextlib.contextmanager
def holder(database, name, cid):
    """Holds a conversation's row, as a person who looks at it in a transaction would."""
    command = [*database.client(name), "--unbuffered"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        client.stdin.write(f"BEGIN; SELECT cid FROM conv WHERE cid = {cid} FOR UPDATE;\n")
        client.stdin.flush()
        assert client.stdout.readline() == f"{cid}\n"
        yield
        client.stdin.close()
