# SPDX-License-Identifier: MIT
"""The Python client loses nothing: kills, cuts, lost answers, restores, slow applications."""

import asyncio
import contextlib
import os
import shutil
import ssl
import subprocess

import pytest
from lib.fixtures import PASSWORD, new_name
from lib.server import run_tool

import confab
import confab.client
import confab.stream
from helpers import PATIENCE, Proxy, apart, client, play, take, until


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    home = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-keyout", home / "key.pem", "-out", home / "cert.pem"], check=True, capture_output=True)
    context = ssl.create_default_context(cafile=home / "cert.pem")
    return {"tls_cert": home / "cert.pem", "tls_key": home / "key.pem"}, context


@pytest.mark.parametrize("scheme", ["tcp", "tls", "ws", "wss"])
def test_nothing_is_lost_when_the_server_is_killed(confabd, certificate, tmp_path, scheme):
    files, context = certificate
    server = confabd(config=files)

    async def story():
        received, sent, seqs = [], [], []
        async with Proxy(server.port) as proxy:
            options = {"scheme": scheme, "tls": context}
            async with client(proxy, "alice", state=tmp_path / "alice.db", **options) as alice, \
                    client(proxy, "bob", state=tmp_path / "bob.db", **options) as bob:
                async def listen():
                    async for message in bob.messages():
                        received.append(message)

                async def speak():
                    for i in range(400):
                        sent.append(await alice.post("@bob", f"message {i}"))
                        if i % 20 == 0:
                            await asyncio.sleep(0.02)
                    for outgoing in sent:
                        seqs.append((await outgoing).seq)

                listening, speaking = asyncio.ensure_future(listen()), asyncio.ensure_future(speak())
                for least in (100, 250):
                    await until(lambda: len(received) >= least)
                    await apart(server.restart, True)
                    proxy.target = server.port
                    proxy.cut()
                await asyncio.wait_for(speaking, PATIENCE)
                await until(lambda: len(received) >= 400)
                history = (await bob.history("@alice", limit=200, after=0)).messages
                history += (await bob.history("@alice", limit=200, after=200)).messages
                listening.cancel()
                assert alice.unsent == 0
            # Every answered one is there once; the receiver has each once, in order.
            assert [m.cmid for m in history] == [m.cmid for m in received]
            assert [m.seq for m in received] == list(range(1, 401))
            assert sorted(m.cmid for m in received) == sorted(one.cmid for one in sent)
            assert sorted(seqs) == list(range(1, 401))

    play(story())


def test_one_at_a_time_keeps_the_order_whatever_happens(confabd):
    server = confabd()

    async def story():
        async with Proxy(server.port) as proxy, client(proxy, window=1) as alice, client(server) as bob:
            sent = [await alice.post(f"@{bob.user}", str(i)) for i in range(60)]
            messages = bob.messages()
            got = await take(messages, 20)
            proxy.cut()
            got += await take(messages, 40)
            assert [m.body for m in got] == [str(i) for i in range(60)]
            assert [(await one).seq for one in sent] == list(range(1, 61))

    play(story())


def test_lost_answers_are_asked_for_again(server, tmp_path):
    async def story():
        async with Proxy(server.port) as proxy, client(server) as bob:
            to = f"@{bob.user}"
            async with client(proxy, state=tmp_path / "alice.db") as alice:
                await alice.send(to, "first")
                proxy.deaf = True
                sent = [await alice.post(to, f"m{i}") for i in range(20)]
                await take(bob.messages(), 21)
                assert alice.unsent == 20
                proxy.deaf = False
                proxy.cut()
                answers = [await asyncio.wait_for(one, PATIENCE) for one in sent]
                assert [a.seq for a in answers] == list(range(2, 22))
                assert all(a.dup for a in answers)
                assert [a.cmid for a in answers] == [one.cmid for one in sent]
                assert (await bob.history(f"@{alice.user}")).head == 21

    play(story())


def test_what_was_not_sent_goes_out_in_the_next_run(server, tmp_path):
    async def story():
        path, name = tmp_path / "alice.db", new_name("alice")
        async with client(server) as bob:
            async with Proxy(server.port) as proxy:
                async with client(proxy, name, state=path) as alice:
                    proxy.target = 1
                    proxy.cut()
                    await until(lambda: alice.state != "ready")
                    waiting = await alice.post(f"@{bob.user}", "from before", data={"n": 1})
                    with pytest.raises(confab.NotFound):
                        proxy.target = server.port
                        await alice.send("@nobody-at-all", "x")
                    await waiting
                    proxy.target = 1
                    proxy.cut()
                    await until(lambda: alice.state != "ready")
                    kept = [await alice.post(f"@{bob.user}", f"kept {i}") for i in range(5)]
                for one in kept:
                    with pytest.raises(confab.Closed):
                        await one
            async with client(server, name, state=path, register=False) as alice:
                assert await alice.flush(PATIENCE)
                settled = []
                while len(settled) < 5:
                    event = await alice.next_event(PATIENCE)
                    if isinstance(event, confab.Settled):
                        settled.append(event)
                assert [s.cmid for s in settled] == [one.cmid for one in kept]
                assert [s.sent.seq for s in settled] == [2, 3, 4, 5, 6]
            bodies = [m.body for m in await take(bob.messages(), 6)]
            assert bodies == ["from before", *(f"kept {i}" for i in range(5))]

    play(story())


def test_the_next_run_goes_on_behind_what_was_dealt_with(server, tmp_path):
    async def story():
        path, name = tmp_path / "bob.db", new_name("bob")
        async with client(server) as alice:
            async with client(server, name, state=path) as bob:
                for i in range(10):
                    await alice.send(f"@{name}", str(i))
                assert [m.body for m in await take(bob.messages(), 4)] == list("0123")
            with contextlib.suppress(ZeroDivisionError):
                async with client(server, name, state=path, register=False) as bob:
                    assert [m.body for m in await take(bob.messages(), 2)] == list("45")
                    raise ZeroDivisionError
            # Another device's read mark must not move this one's place.
            async with client(server, name, register=False) as other:
                await other.mark(f"@{alice.user}", read=10)
            async with client(server, name, state=path, register=False) as bob:
                assert [m.body for m in await take(bob.messages(), 5)] == list("56789")

    play(story())


def test_gaps_are_filled_in_their_place(server):
    async def story():
        name = new_name("bob")
        async with client(server, name):
            pass
        async with client(server) as alice:
            for outgoing in [await alice.post(f"@{name}", str(i)) for i in range(230)]:
                last = await outgoing
            async with client(server, name, register=False, backlog=5, delivered=False) as bob:
                messages = bob.messages()
                got = await take(messages, 230)
                await alice.send(f"@{name}", "live")
                got += await take(messages, 1)
                assert [m.seq for m in got] == list(range(1, 232))
            async with client(server, name, register=False, backlog=0) as bob:
                gaps = [e for e in [await bob.next_event(2) for _ in range(4)] if isinstance(e, confab.Gap)]
                assert gaps == [confab.Gap(last.cid, 1, 231)]

    play(story())


def test_a_slow_application_gets_all_and_its_own_calls_are_answered(server, monkeypatch):
    monkeypatch.setattr(confab.stream, "QUEUE_MOST", 50)
    monkeypatch.setattr(confab.stream, "QUEUE_ROOM", 10)
    monkeypatch.setattr(confab.client, "FULL_SECONDS", 0.05)

    async def story():
        async with client(server) as alice, client(server) as bob:
            for outgoing in [await alice.post(f"@{bob.user}", str(i)) for i in range(300)]:
                await outgoing
            messages, got = bob.messages(own=False), []
            while len(got) < 300:
                got += await take(messages, 1)
                if len(got) % 100 == 1:
                    await bob.reply(got[-1], "noted")
            assert [m.body for m in got] == [str(i) for i in range(300)]

    play(story())


def test_a_store_that_went_back_gets_its_messages_again(confabd, tmp_path):
    server = confabd()

    async def story():
        async with Proxy(server.port) as proxy, client(proxy, "alice", state=tmp_path / "a.db") as alice, \
                client(proxy, "bob", state=tmp_path / "b.db") as bob:
            for i in range(5):
                await alice.send("@bob", f"before {i}")
            code, _, errors = await apart(run_tool, "backup", tmp_path / "copy.db", server=server)
            assert code == 0, errors
            cid = (await alice.send("@bob", "after 0")).cid
            for i in range(1, 5):
                await alice.send(cid, f"after {i}")
            await bob.send("@alice", "heard")
            assert len(await take(bob.messages(), 11)) == 11
            proxy.target = 1
            await apart(server.stop)
            proxy.cut()
            late = await alice.post(cid, "while it was away")
            unknown = asyncio.ensure_future(alice.edit(cid, 1, "who knows what 1 is now"))
            await asyncio.sleep(0.05)
            restored = confabd(name="restored", started=False)
            os.rename(tmp_path / "copy.db", restored.data / "confab.db")
            await apart(restored.start)
            proxy.target = restored.port
            await asyncio.wait_for(late, PATIENCE)
            with pytest.raises(confab.EpochChanged):
                await unknown
            assert await alice.flush(PATIENCE) and await bob.flush(PATIENCE)
            kinds, bodies = [], []
            while len(bodies) < 12:
                event = await bob.next_event(PATIENCE, fill=True)
                assert event is not None
                kinds.append(type(event))
                if isinstance(event, confab.Message):
                    bodies.append((event.seq, event.body))
            assert confab.Reset in kinds and kinds.index(confab.Reset) < kinds.index(confab.Message)
            assert [seq for seq, _ in bodies] == list(range(1, 13))
            said = [body for _, body in bodies if body != "heard"]
            assert said == [*(f"before {i}" for i in range(5)), *(f"after {i}" for i in range(5)), "while it was away"]
            bob.done()
        again = confab.SqliteVault(tmp_path / "b.db")
        assert list(again.open().cursors.values()) == [12]
        again.close()

    play(story())


# --- Logging in ---

def test_an_invalid_token_asks_the_callback(server, tmp_path):
    async def story():
        path, name = tmp_path / "alice.db", new_name("alice")
        async with client(server, name, state=path) as alice:
            await alice.send(f"@{(await _somebody(server))}", "x")
        async with client(server, name, register=False) as other:
            await other.password_change(PASSWORD, "another horse battery")
        asked = []

        async def login(error):
            asked.append(type(error))
            return confab.Credentials(name, "wrong one" if len(asked) == 1 else "another horse battery")

        where = f"127.0.0.1:{server.port}"
        shutil.copy(path, tmp_path / "copy.db")
        async with confab.Client(where, state=path, login=login) as alice:
            assert alice.user == name
        assert asked == [confab.TokenInvalid, confab.BadCredentials]
        with pytest.raises(confab.LoginNeeded):
            async with confab.Client(where, state=tmp_path / "copy.db"):
                pass
        async with confab.Client(where, state=path) as alice:
            assert alice.state == "ready"

    play(story())


async def _somebody(server):
    async with client(server) as somebody:
        return somebody.user


def test_refused_logins_say_why(server, tmp_path):
    async def story():
        where = f"127.0.0.1:{server.port}"
        name = await _somebody(server)
        for error, user, password, register in ((confab.BadCredentials, name, "no such horse", False),
                                                (confab.NameTaken, name, PASSWORD, True),
                                                (confab.WeakPassword, new_name(), "short", True),
                                                (confab.InvalidParams, "no such name!", PASSWORD, True)):
            with pytest.raises(error) as caught:
                async with confab.Client(where, user, password, register=register):
                    pass
            assert caught.value.retry is False
        # A client that is refused can try again.
        eve = confab.Client(where)
        with pytest.raises(confab.LoginNeeded):
            await eve.start()
        with pytest.raises(confab.BadCredentials):
            await eve.login(name, "no such horse")
        assert (await eve.login(name, PASSWORD)).user == name
        with pytest.raises(confab.AlreadyLoggedIn):
            await eve.login(name, PASSWORD)
        await eve.logout()
        with pytest.raises(confab.ConfabError):
            await eve.who()
        with pytest.raises(confab.SentAway):
            await eve.start()
        await eve.close()
        with pytest.raises(confab.Disconnected):
            await confab.Client("127.0.0.1:1", name, PASSWORD).start(timeout=0.5)
        # The state of one is not another's.
        async with client(server, name, register=False, state=tmp_path / "state.db") as first:
            await first.logout()
        with pytest.raises(confab.StateError):
            async with client(server, new_name(), state=tmp_path / "state.db"):
                pass

    play(story())


def test_a_revoked_session_ends_the_iteration(server):
    async def story():
        name = new_name()
        async with client(server, name) as first, client(server, name, register=False) as second:
            waiting = asyncio.ensure_future(take(first.messages(), 1))
            await second.session_revoke(first.session)
            with pytest.raises(confab.SentAway, match="session_revoked"):
                await waiting
            assert first.state == "offline"
            with pytest.raises(confab.SentAway):
                await first.who()
            await first.start()  # whoever says so expressly, with a password, is let in
            assert first.state == "ready"

    play(story())


def test_a_draining_server_is_followed(confabd):
    server = confabd()

    async def story():
        async with Proxy(server.port) as proxy, client(proxy) as alice, client(proxy) as bob:
            await apart(server.restart)
            proxy.target = server.port
            await alice.send(f"@{bob.user}", "after the restart")
            assert (await take(bob.messages(), 1))[0].body == "after the restart"

    play(story())
