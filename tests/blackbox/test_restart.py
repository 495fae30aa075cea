# SPDX-License-Identifier: MIT
"""Going and coming back: the drain in waves, and a restart that refuses nobody."""

import asyncio
import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from lib.client import Client
from lib.fixtures import PASSWORD, new_name
from lib.server import CONFABD, TIED, TOP, Server, sanitizer_environment, wait_for

sys.path.insert(0, str(TOP / "python"))

import confab  # noqa: E402

MANY = 500


@pytest.fixture
def node(tmp_path):
    made = []

    def make(**options):
        made.append(Server(tmp_path / f"node{len(made)}", **options).start())
        return made[-1]

    yield make
    for server in made:
        server.finish()


class Line:
    """One connection in lines."""

    @classmethod
    async def open(cls, port):
        self = cls()
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        return self

    async def call(self, method, **params):
        self.writer.write(json.dumps({"id": 1, "method": method, "params": params}).encode() + b"\n")
        return json.loads(await self.reader.readline())

    async def until_goaway(self):
        """(when, its parameters), and the end of the connection after it."""
        line = await self.reader.readline()
        when, frame = time.monotonic(), json.loads(line)
        assert frame["method"] == "goaway", frame
        assert await self.reader.readline() == b"", "nothing comes after goaway"
        self.writer.close()
        return when, frame["params"]


# --- SIGTERM ---

async def drained(server, count):
    """SIGTERM with so many clients: when each was told to go, after how long it may come back, how long it took."""
    lines = []
    for first in range(0, count, 50):
        lines += await asyncio.gather(*(Line.open(server.port) for _ in range(first, min(first + 50, count))))
    for line in lines:
        assert "result" in await line.call("hello")
    began = time.monotonic()
    server.terminate()
    told = await asyncio.gather(*(line.until_goaway() for line in lines))
    code = await asyncio.get_running_loop().run_in_executor(None, server.wait)
    assert code == 0
    return [when - began for when, _ in told], [params for _, params in told], time.monotonic() - began


def test_sigterm_sends_many_away_in_waves(node):
    server = node(config={"drain_ms": 6000})
    told, params, took = asyncio.run(drained(server, MANY))
    assert all(p["reason"] == "shutdown" for p in params)
    told.sort()
    waves = 1 + sum(1 for before, after in zip(told, told[1:]) if after - before > 0.05)
    assert 4 <= waves <= 16, f"{waves} waves"
    largest = max(sum(1 for t in told if at <= t < at + 0.05) for at in told)
    assert largest <= MANY / 2, f"{largest} of {MANY} were told at once"
    assert took < 20, "drain_ms, and what a busy machine adds"
    back = [p["reconnect_ms"] for p in params]
    assert min(back) >= 1 and max(back) - min(back) > 100 and len(set(back)) > MANY / 10, "they come back spread"
    assert "waves=16" in server.log()


def test_sigterm_sends_a_few_away_at_once(node):
    server = node(config={"drain_ms": 60000})
    told, _, took = asyncio.run(drained(server, 5))
    assert took < 20 and max(told) < 15


def test_a_second_sigterm_cuts_the_waves_short(node):
    server = node(config={"drain_ms": 600000})

    async def scenario():
        lines = await asyncio.gather(*(Line.open(server.port) for _ in range(100)))
        for line in lines:
            await line.call("hello")
        server.terminate()
        await asyncio.wait([asyncio.create_task(line.reader.readline()) for line in lines],
                           return_when=asyncio.FIRST_COMPLETED)
        server.terminate()
        assert await asyncio.get_running_loop().run_in_executor(None, server.wait) == 0
        for line in lines:
            line.writer.close()

    asyncio.run(scenario())


def test_those_whose_wave_has_not_come_are_served(node):
    server = node(config={"drain_ms": 600000})

    async def scenario():
        lines = await asyncio.gather(*(Line.open(server.port) for _ in range(200)))
        for line in lines:
            await line.call("hello")
        server.terminate()
        ends = {asyncio.create_task(line.reader.readline()): line for line in lines}
        done, waiting = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        assert waiting
        served = 0
        for task in waiting:
            ends[task].writer.write(b'{"id":2,"method":"ping"}\n')
        for task in waiting:
            served += b'"result"' in await asyncio.wait_for(task, 20)
        assert served >= 100, "those of later waves"
        with pytest.raises(OSError):
            await Line.open(server.port)
        server.terminate()
        assert await asyncio.get_running_loop().run_in_executor(None, server.wait) == 0
        for line in lines:
            line.writer.close()

    asyncio.run(scenario())


# --- SIGUSR2 ---

def again(server):
    """Asks for a restart; returns the line with which the next program is ready."""
    os.kill(server.pid, signal.SIGUSR2)
    return server._read_ready(60)


def refused(server, why):
    """Asks for a restart that is refused, for this reason."""
    before = server.log().count("restart_refused")
    os.kill(server.pid, signal.SIGUSR2)
    wait_for(lambda: server.log().count("restart_refused") > before, 30, "a refusal")
    assert why in server.log().split("restart_check")[-1], server.log()[-2000:]
    assert server.alive and server.http("/readyz")[0] == 200


class Knocking:
    """Connects all the time, and asks one thing on each connection."""

    def __init__(self, port):
        self.port, self.served, self.sent_away, self.cut, self.refused = port, 0, 0, 0, []
        self.stopping = False

    async def run(self):
        while not self.stopping:
            try:
                line = await Line.open(self.port)
            except OSError as error:
                self.refused.append(error)
                continue
            try:
                answer = await line.call("hello")
                self.served += "result" in answer
                self.sent_away += answer.get("method") == "goaway"
            except (OSError, ValueError):
                self.cut += 1  # accepted a moment before the end, it had not said anything yet
            line.writer.close()


class Locking:
    """Tries to get the lock of a data directory all the time."""

    def __init__(self, path):
        self.path, self.tries, self.got = path, 0, 0
        self.stopping = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopping:
            with open(self.path, "rb") as file:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self.got += 1
            self.tries += 1
            time.sleep(0.001)

    def stop(self):
        self.stopping = True
        self.thread.join()


async def restarts_under_load(server, home, rounds):
    loop = asyncio.get_running_loop()
    address = f"127.0.0.1:{server.port}"
    knocking = [Knocking(server.port) for _ in range(4)]
    names = [new_name("restart") for _ in range(4)]
    sent, stopping, got = [0, 0], False, [[], []]

    async def sender(client, to, pair):
        pending = set()
        while not stopping:
            message = await client.post("@" + to, f"{pair} {sent[pair]}")
            sent[pair] += 1
            pending = {p for p in pending if not p.done()} | {asyncio.ensure_future(message)}
            if len(pending) >= 32:
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for outcome in await asyncio.gather(*pending):
            assert outcome.seq > 0

    async def reader(client, pair):
        async for message in client.messages(own=False):
            got[pair].append(message.body)

    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(confab.Client(
            address, name, PASSWORD, register=True, state=home / f"{name}.db")) for name in names]
        readers = [asyncio.create_task(reader(clients[i + 2], i)) for i in range(2)]
        senders = [asyncio.create_task(sender(clients[i], names[i + 2], i)) for i in range(2)]
        knocks = [asyncio.create_task(one.run()) for one in knocking]
        for _ in range(rounds):
            before = list(sent), sum(one.served for one in knocking)
            await loop.run_in_executor(None, again, server)
            while min(s - b for s, b in zip(sent, before[0])) < 50 or sum(one.served for one in knocking) == before[1]:
                await asyncio.sleep(0.01)
        stopping = True
        for one in knocking:
            one.stopping = True
        await asyncio.gather(*senders, *knocks)
        while [len(g) for g in got] != sent:
            await asyncio.sleep(0.01)
            assert all(len(g) <= s for g, s in zip(got, sent)), "nothing comes twice"
        for task in readers:
            task.cancel()
    for pair in range(2):
        assert got[pair] == [f"{pair} {n}" for n in range(sent[pair])], "each once, in order"
    return sum(sent), knocking


@pytest.mark.disk
def test_ten_restarts_under_load(node, tmp_path):
    server = node()
    pid, ready = server.pid, server.ready_line
    lock = Locking(server.data / "confabd.lock")
    try:
        count, knocking = asyncio.run(asyncio.wait_for(restarts_under_load(server, tmp_path, 10), 240))
    finally:
        lock.stop()
    assert server.pid == pid and server.alive and f"ready {ready[6:]}" == ready
    assert server.log().count(" server restarting") == 10
    assert not any(one.refused for one in knocking), knocking[0].refused[:3]
    assert lock.tries > 100 and lock.got == 0, "the data directory is nobody else's for a moment"
    assert server.sql("SELECT count(*), count(DISTINCT cmid) FROM msg WHERE kind IS NOT NULL")[0][0] >= count


@pytest.mark.disk
def test_clients_are_told_to_come_back(node, tmp_path):
    server = node()
    client = Client(server.port, "tcp")
    client.login_as(client.call("register", user=new_name("alice"), password=PASSWORD, sync=True))
    line = again(server)
    assert line == server.ready_line
    assert client.gone_away("shutdown")["reconnect_ms"] > 0
    back = Client(server.port, "tcp")
    assert back.call("resume", token=client.token)["user"] == client.name
    for one in (client, back):
        one.close()


def copy_of_confabd(path):
    """In the place of what is there, as an installation does it."""
    shutil.copy2(CONFABD, f"{path}.new")
    os.rename(f"{path}.new", path)
    return path


def running(server):
    return os.stat(f"/proc/{server.pid}/exe").st_ino


def test_the_program_that_is_there_now_is_executed(node, tmp_path):
    program = copy_of_confabd(tmp_path / "confabd")
    server = node(binary=program)
    old = running(server)
    copy_of_confabd(program)
    again(server)
    assert running(server) == program.stat().st_ino != old
    client = Client(server.port, "tcp")
    client.call("hello")
    client.close()


def test_without_a_program_the_old_one_goes_on(node, tmp_path):
    program = copy_of_confabd(tmp_path / "confabd")
    server = node(binary=program)
    client = Client(server.port, "tcp")
    program.unlink()
    refused(server, "cannot be executed: No such file")
    program.write_text("not a program")
    refused(server, "cannot be executed: Permission denied")
    program.chmod(0o755)
    refused(server, "cannot be executed: Exec format error")
    program.write_text("#!/bin/sh\nexit 1\n")
    refused(server, "--check failed")
    program.write_text("#!/bin/sh\necho it is not my day\nkill -9 $$\n")
    refused(server, "it is not my day")
    client.call("hello")
    program.unlink()
    copy_of_confabd(program)
    again(server)
    client.gone_away("shutdown")
    client.close()


def test_a_program_that_does_not_say_whether_it_can_is_not_waited_for(node, tmp_path):
    """SIGTERM is obeyed while the check goes on."""
    program = copy_of_confabd(tmp_path / "confabd")
    server = node(binary=program)
    program.unlink()
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    os.kill(server.pid, signal.SIGUSR2)
    children = pathlib.Path(f"/proc/{server.pid}/task/{server.pid}/children")
    (child,) = wait_for(lambda: children.read_text().split(), 20, "the check")
    server.stop()
    assert not os.path.exists(f"/proc/{child}")


def test_a_broken_configuration_is_refused(node):
    server = node()
    good = server.config_file.read_text()
    server.config_file.write_text("log_lewel = info\n")
    refused(server, "log_level")
    server.config_file.write_text(good + "registration = closed\n")
    again(server)
    client = Client(server.port, "tcp")
    assert client.call("hello")["registration"] == "closed"
    client.close()


def test_addresses_may_change_and_those_that_stay_refuse_nobody(node):
    """What cannot be had is said before anybody is sent away."""
    server = node(listen=(), config={"listen": ["127.0.0.1:0"]})
    port = server.port
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server.write_config(listen=["127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}"])
        refused(server, "Address already in use")
    server.write_config(listen=["127.0.0.2:0", "127.0.0.1:0"])
    line = again(server)
    assert line.count("listen=") == 2 and line.endswith(f" listen=127.0.0.1:{port} node=n1\n")
    server.write_config(listen=["127.0.0.2:0"])
    line = again(server)
    assert line.startswith("ready listen=127.0.0.2:") and line.count("listen=") == 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


@pytest.mark.disk
def test_another_data_directory(node, tmp_path):
    """The lock goes with the directory."""
    server = node(args=["--store", f"sqlite:{tmp_path}/apart.db"])
    again(server)
    for lock in (server.data / "confabd.lock", tmp_path / "apart.db.lock"):
        with open(lock, "rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    server.stop()
    for lock in (server.data / "confabd.lock", tmp_path / "apart.db.lock"):
        with open(lock, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_sigterm_during_a_restart_ends_it(node):
    server = node(config={"drain_ms": 60000})
    silent = socket.create_connection(("127.0.0.1", server.port))  # is waited for a while
    client = Client(server.port, "tcp")
    client.call("hello")
    os.kill(server.pid, signal.SIGUSR2)
    client.gone_away("shutdown")
    server.stop()
    silent.close()
    client.close()


def test_who_does_not_go_is_not_waited_for_long(node):
    server = node(config={"drain_ms": 600000})
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
    again(server)
    for one in silent:
        one.close()


def test_systemds_sockets_stay(tmp_path):
    """They came in an order, and go on in it."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    fds = [one.fileno() for one in sockets]
    ports = [one.getsockname()[1] for one in sockets]
    place = "".join(f" {3 + i}<&{fd}" for i, fd in enumerate(fds))
    shell = f'LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=confabd.socket:confabd.socket exec "$0" "$@"{place}'
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(tmp_path / "notify"))
    notify.settimeout(60)
    process = subprocess.Popen([*TIED, "bash", "-c", shell, CONFABD, "--data", tmp_path / "data"], pass_fds=fds, text=True,
                               stdout=subprocess.PIPE, env={**sanitizer_environment(), "NOTIFY_SOCKET": notify.getsockname()})
    for one in sockets:
        one.close()
    line = process.stdout.readline()
    assert line == "ready " + "".join(f"listen=127.0.0.1:{port} " for port in ports) + "node=n1\n"
    assert notify.recv(1000) == b"READY=1"
    for _ in range(2):
        process.send_signal(signal.SIGUSR2)
        assert process.stdout.readline() == line
        assert notify.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert notify.recv(1000) == b"READY=1"
        for port in ports:
            client = Client(port, "tcp")
            client.call("hello")
            client.close()
    process.terminate()
    assert process.wait(60) == 0 and notify.recv(1000) == b"STOPPING=1"
    process.stdout.close()
    notify.close()


# --- The scripts ---

def script(name, home, program, *options, code=0):
    got = subprocess.run([TOP / "scripts" / name, *options, "--data", home, "--listen", "127.0.0.1:0"], text=True,
                         capture_output=True, timeout=120, env={**sanitizer_environment(), "CONFABD": str(program)})
    assert got.returncode == code, (got.returncode, got.stdout, got.stderr)
    return got


@pytest.mark.disk
def test_scripts_start_restart_and_stop(tmp_path):
    program, home = copy_of_confabd(tmp_path / "confabd"), tmp_path / "data"
    config = tmp_path / "confabd.conf"
    config.write_text("")
    first = script("restart", home, program, "-c", config)
    try:
        assert first.stdout.startswith("ready listen=127.0.0.1:")
        pid = int((home / "confabd.lock").read_text())
        copy_of_confabd(program)
        assert script("restart", home, program, "-c", config).stdout == first.stdout
        assert os.stat(f"/proc/{pid}/exe").st_ino == program.stat().st_ino
        config.write_text("nonsense = 1\n")
        assert "nonsense" in script("restart", home, program, "-c", config, code=2).stderr, "its own check"
        assert "nonsense" in script("restart", home, program, code=1).stderr, "the server's check"
    finally:
        stopped = script("stop", home, program, "-c", os.devnull)
    assert f"(pid {pid}) has ended" in stopped.stdout
