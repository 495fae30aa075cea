# SPDX-License-Identifier: MIT
"""Presence: the library, blocking too, and the chat client, against a real server."""

import asyncio
import re

import confab
import confab.blocking
from lib.fixtures import PASSWORD, new_name
from test_python_chat import clients, event_of
from test_python_programs import DONE, Terminal, home  # noqa: F401 - a fixture

from helpers import Proxy, client, play, until


def test_presence(server):
    async def story():
        async with clients(server, "ann", "bob") as (ann, bob):
            (one,) = await ann.presence_watch([bob.user])
            assert (one.user, one.state) == (bob.user, "online")
            await bob.presence_set("busy", "in a meeting")
            told = await event_of(ann, confab.Presence, lambda e: e.state == "busy")
            assert (told.user, told.text) == (bob.user, "in a meeting")
            assert [(p.state, p.text) for p in await ann.presence_get([bob.user])] == [("busy", "in a meeting")]
            await bob.presence_set("online", "")
            told = await event_of(ann, confab.Presence, lambda e: e.state == "online")
            assert not told.text
            await bob.presence_set("away")
            await event_of(ann, confab.Presence, lambda e: e.state == "away")
            await bob.presence_set("invisible")
            told = await event_of(ann, confab.Presence, lambda e: e.state == "offline")
            assert told.seen is None
            await bob.presence_set("online")
            await event_of(ann, confab.Presence, lambda e: e.state == "online")

    play(story())


def test_what_is_the_connections_is_told_again_on_the_next(server):
    async def story():
        async with clients(server, "ann") as (ann,), Proxy(server.port) as proxy, client(proxy) as bob:
            await ann.presence_watch([bob.user])
            await bob.presence_set("away")
            await event_of(ann, confab.Presence, lambda e: e.state == "away")
            await bob.presence_watch([ann.user])
            opened = proxy.opened
            proxy.cut()
            await until(lambda: proxy.opened > opened and bob.state == "ready")
            await until_state(ann, bob.user, "away")
            await ann.presence_set("busy")
            await event_of(bob, confab.Presence, lambda e: (e.user, e.state) == (ann.user, "busy"))

    play(story())


async def until_state(asker, name, state):
    for _ in range(200):
        (one,) = await asker.presence_get([name])
        if one.state == state:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{name} is {one.state}")


def test_presence_blocking(server):
    where = f"127.0.0.1:{server.port}"
    with confab.blocking.Client(where, new_name(), PASSWORD, register=True) as ann, \
            confab.blocking.Client(where, new_name(), PASSWORD, register=True) as bob:
        ann.presence_set("busy", "at work")
        (one,) = bob.presence_watch([ann.user])
        assert (one.user, one.state, one.text) == (ann.user, "busy", "at work")
        assert [p.state for p in bob.presence_get([ann.user])] == ["busy"]


def test_presence_by_the_chat_client(home):  # noqa: F811
    ann, bob = home.register("ann"), home.register("bob")
    home.run("-u", bob, "presence", "busy", "in", "a", "meeting")
    assert re.fullmatch(rf"{bob}  offline.*\n", home.run("-u", ann, "presence", bob))
    screen, other = Terminal(home, "-u", ann), Terminal(home, "-u", bob)
    other.wait("> ")
    screen.wait("> ")
    screen.type(f"/watch {bob}\n")
    screen.wait(rf"{bob}  busy  in a meeting")
    other.type("/presence online back at noon\n")
    screen.wait(rf"\* {bob} is online back at noon")
    other.type("/presence aw\t\n")
    screen.wait(rf"\* {bob} is away")
    for one in (screen, other):
        one.type("/quit\n")
        assert one.end() == DONE
