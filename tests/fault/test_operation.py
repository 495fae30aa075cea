"""Running it: options, signals, locks, accounts, backup."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from lib.client import Client
from lib.fixtures import PASSWORD
from lib.load import Load, Sender
from lib.raw import Plain, Raw
from lib.server import CONFABD, TIED, run_tool, sanitizer_environment, wait_for


def register(server, name, transport="tcp", **params):
    client = Client(server.port, transport)
    client.login_as(client.call("register", user=name, password=PASSWORD, **params))
    return client


# --- Start ---

def test_the_ready_line_names_the_ports_it_got(confabd):
    server = confabd(listen=["127.0.0.1:0", "[::1]:0"], args=["--node", "alpha"])
    assert server.node == "alpha"
    assert len(server.addresses) == 2 and all(server.port_of(i) > 0 for i in (0, 1))
    for host, port in (("127.0.0.1", server.port_of(0)), ("::1", server.port_of(1))):
        with socket.create_connection((host, port), timeout=10) as connection:
            connection.sendall(b'{"id":1,"method":"hello"}\n')
            assert b'"server":"alpha"' in connection.recv(65536)
    client = Client(server.port, "tcp")
    assert client.call("hello")["server"] == "alpha"
    client.close()


def test_stdout_holds_the_ready_line_and_nothing_else(confabd):
    server = confabd(args=["--log-level", "debug"])
    register(server, "alice").close()
    server.terminate()
    out = server.process.stdout.read()
    assert server.process.wait(30) == 0 and out == b""


def test_options_beat_environment_beats_file(confabd):
    server = confabd(config={"node": "from-file", "limit_body": 100, "limit_data": 200},
                     env={"CONFAB_NODE": "from-env", "CONFAB_LIMIT_BODY": "300"}, args=["--node", "from-option"])
    assert server.node == "from-option"
    client = Client(server.port, "tcp")
    limits = client.call("hello")["limits"]
    assert (limits["body"], limits["data"]) == (300, 200)
    client.close()


def test_closed_standard_descriptors_are_given_to_nobody_else(tmp_path):
    """Otherwise the ready line and what is logged would be written into a socket, a lock, a database."""
    command = [*TIED, CONFABD, "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0", "--log-file", str(tmp_path / "log")]
    process = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command], env=sanitizer_environment())
    try:
        wait_for(lambda: (tmp_path / "log").exists() and " ready " in (tmp_path / "log").read_text(), 30, "a server")
        held = [os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in range(3)]
        assert held == ["/dev/null"] * 3
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_the_limit_of_file_sizes_is_a_full_disk(confabd):
    """As `ulimit -f` and LimitFSIZE= set it; by default its signal would end the process."""
    server = confabd(wrap=["prlimit", f"--fsize={256 * 1024}"])
    client, fine = register(server, "alice"), register(server, "bob")
    answers = [client.frame(client.post("send", to="@bob", body="x" * 16000, cmid=f"c{i}")) for i in range(40)]
    names = {answer["error"]["data"]["name"] for answer in answers if "error" in answer}
    assert names and names <= {"unavailable", "unknown_outcome"}, names
    assert fine.call("ping")["ts"] and server.alive
    client.close(), fine.close()


def test_stop_with_nobody_there(confabd):
    start = time.monotonic()
    confabd().stop()
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("line,words", [
    ("limit_bodyy = 100", ["limit_bodyy", "limit_body"]), ("workers = many", ["workers", "many"]), ("workers = -1", ["workers"]),
    ("idle_ms = 99999999999999999999", ["idle_ms"]), ("listen = 127.0.0.1:99999", ["99999"]), ("listen = nonsense", ["nonsense"]),
    ("store = postgres://x", ["postgres"]), ("just words", ["just words"]), ("registration = maybe", ["registration", "maybe"])])
def test_mistakes_in_the_file_are_named(tmp_path, line, words):
    config = tmp_path / "some.conf"
    config.write_text(f"# a comment\n\nnode = n1\n{line}\n")
    for extra in (["--check"], []):
        code, out, errors = run_tool(*extra, config=config, data=tmp_path / "data")
        assert code not in (0, 99) and out == ""
        assert str(config) in errors and re.search(r":4\b|line 4\b", errors), errors
        for word in words:
            assert word in errors, errors


def test_all_mistakes_are_told_at_once(tmp_path):
    config = tmp_path / "some.conf"
    config.write_text("nodee = a\nworkers = x\nidle_mss = 5\n")
    code, _, errors = run_tool("--check", config=config, data=tmp_path / "data")
    assert code != 0 and len(errors.splitlines()) == 3


@pytest.mark.parametrize("options", [["--nope"], ["--workers"], ["--workers", "x"], ["--listen", "x:y:z"], ["--store", "nope:"],
                                     ["user"], ["user", "add"], ["user", "nope", "x"], ["backup"], ["frobnicate"]])
def test_mistakes_on_the_command_line(tmp_path, options):
    code, out, errors = run_tool(*options, data=tmp_path / "data")
    assert code not in (0, 99) and out == "" and errors


def test_missing_config_file(tmp_path):
    code, _, errors = run_tool("--check", config=tmp_path / "nope.conf")
    assert code != 0 and "nope.conf" in errors


def test_check(tmp_path, confabd):
    config = tmp_path / "fine.conf"
    config.write_text("workers = 2\nlisten = 127.0.0.1:0\n")
    code, _, errors = run_tool("--check", config=config, data=tmp_path / "new")
    assert code == 0, errors
    assert not list((tmp_path / "new").glob("*.db")), "a check changes nothing"
    server = confabd()
    register(server, "alice").close()
    code, _, errors = run_tool("--check", server=server)
    assert code == 0, errors
    server.stop()
    before = {p.name: p.read_bytes() for p in server.data.iterdir() if p.suffix == ".db"}
    assert run_tool("--check", server=server)[0] == 0
    assert before == {p.name: p.read_bytes() for p in server.data.iterdir() if p.suffix == ".db"}
    assert run_tool("--help")[0] == 0 and run_tool("--version")[0] == 0


def test_a_listener_beyond_loopback_without_tls_must_be_asked_for(tmp_path):
    code, _, errors = run_tool("--check", "--listen", "0.0.0.0:0", data=tmp_path / "d")
    assert code != 0 and "allow_plain" in errors.replace("-", "_")
    assert run_tool("--check", "--listen", "0.0.0.0:0", "--allow-plain", data=tmp_path / "d")[0] == 0


# --- One at a time ---

def test_a_second_instance_says_what_to_do(confabd):
    server = confabd()
    code, out, errors = run_tool("--listen", "127.0.0.1:0", server=server)
    assert code not in (0, 99) and out == ""
    assert str(server.data) in errors and str(server.pid) in errors, errors
    register(server, "alice").close()


def test_the_lock_ends_with_the_process(confabd):
    server = confabd()
    server.kill9()
    server.start()


def test_a_port_in_use(tmp_path, confabd):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, errors = run_tool("--listen", f"127.0.0.1:{port}", data=tmp_path / "data")
        assert code not in (0, 99) and out == "" and str(port) in errors and "in use" in errors, errors


@contextlib.contextmanager
def mounted(target, *options):
    target.mkdir(exist_ok=True)
    subprocess.run(["mount", *options, str(target)], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", str(target)], check=True)


def test_a_read_only_directory(tmp_path):
    with mounted(tmp_path / "ro", "-t", "tmpfs", "-o", "ro", "tmpfs") as directory:
        for data in (directory, directory / "sub"):
            code, out, errors = run_tool("--listen", "127.0.0.1:0", data=data)
            assert code not in (0, 99) and out == "" and str(directory) in errors, errors


def test_a_directory_of_somebody_else(tmp_path):
    """As nobody, who may not write there."""
    home = tmp_path / "private"
    home.mkdir(mode=0o755)
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o055) if str(parent).startswith("/tmp/") else None
    done = subprocess.run([*TIED, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", CONFABD, "--data",
                           str(home / "data"), "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=30,
                          env=sanitizer_environment())
    assert done.returncode not in (0, 99) and str(home) in done.stderr, done.stderr


def test_a_store_of_another_program(confabd, tmp_path):
    server = confabd(started=False)
    (server.data / "confab.db").write_bytes(b"this is no database at all, " * 400)
    code, _, errors = run_tool("--listen", "127.0.0.1:0", server=server)
    assert code not in (0, 99) and "confab.db" in errors
    assert (server.data / "confab.db").read_bytes().startswith(b"this is no database")


def test_a_newer_schema_is_refused(confabd):
    server = confabd()
    server.stop()
    server.sql("UPDATE meta SET schema_version = 9999")
    code, _, errors = run_tool("--listen", "127.0.0.1:0", server=server)
    assert code not in (0, 99) and "9999" in errors and "newer" in errors


# --- Signals ---

@pytest.mark.parametrize("transport", ["tcp", "ws"])
def test_sigterm_drains(confabd, transport):
    """What was read is answered, everyone is told when to come back, exit 0, nothing is lost."""
    server = confabd(config={"drain_ms": 8000})
    alice, bob = register(server, "alice", transport), register(server, "bob", transport, sync=True)
    idle = Client(server.port, transport)
    idle.call("hello")
    ids = alice.post_all([("send", {"to": "@bob", "body": f"m{i}", "cmid": f"c{i}"}) for i in range(60)])
    alice.answer(ids[0])
    start = time.monotonic()
    server.terminate()
    for client in (bob, idle):
        assert client.gone_away("shutdown")["reconnect_ms"] > 0
    seqs = [alice.answers[i]["result"]["seq"] for i in ids if alice.wait_closed() and i in alice.answers]
    assert alice.taken("goaway")[0]["reason"] == "shutdown"
    count = len(seqs)
    assert count >= 1 and seqs == list(range(1, count + 1)), "what was read before is answered, in order"
    assert server.wait() == 0 and time.monotonic() - start < 30
    server.check_log()
    assert server.sql("SELECT count(*), max(seq) FROM msg") == [(count, count)], "and nothing else was stored"
    for client in (alice, bob, idle):
        client.close()


def test_who_begins_to_speak_during_the_drain_is_told_too(confabd):
    server = confabd(config={"drain_ms": 15000, "password_mem_kib": 65536, "password_passes": 2, "hash_threads": 1})
    busy, late = [Raw(server.port) for _ in range(3)], Plain(server.port)
    for one in busy:
        one.post("login", user="nobody", password=PASSWORD)
    wait_for(lambda: server.metrics().total("confab_hash_queue_jobs") >= 2, 10, "logins that wait")
    server.terminate()
    assert busy[0].next()["params"]["reason"] == "shutdown"
    assert late.upgrade()[0] == 101
    gone = late.next()
    assert gone["method"] == "goaway" and gone["params"]["reason"] == "shutdown" and gone["params"]["reconnect_ms"] > 0
    assert late.closed_with() == 1001
    for one in [*busy, late]:
        one.close()
    assert server.wait() == 0


def test_sigterm_under_load(confabd):
    server = confabd(config={"drain_ms": 8000})
    people = [register(server, f"user{i}") for i in range(8)]
    for client in people:
        client.close()
    load = Load([Sender(server.port, ("tcp", "ws")[i % 2], me.token, f"@user{i ^ 1}", window=16, prefix=f"s{i}")
                 for i, me in enumerate(people)]).start()
    load.wait_answered(500)
    server.terminate()
    load.wait(30)
    assert server.wait() == 0
    assert all(s.goaway and s.goaway["reason"] == "shutdown" and s.goaway["reconnect_ms"] > 0 for s in load.senders)
    stored = {cmid: (cid, seq, ts) for cid, seq, ts, cmid in server.sql("SELECT cid, seq, ts, cmid FROM msg")}
    for sender in load.senders:
        for cmid, place in sender.answered.items():
            assert stored[cmid] == place, "never a false answer"
        assert not sender.errors


def test_sigterm_does_not_wait_for_ever(confabd):
    """Clients that ignore goaway and do not read are cut off when the time is over."""
    server = confabd(config={"drain_ms": 1000})
    client = register(server, "alice", sync=True)
    sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(5)]
    start = time.monotonic()
    server.stop()
    assert time.monotonic() - start < 30
    client.gone_away("shutdown")
    client.close()
    for one in sockets:
        one.close()


def test_no_new_connection_while_it_drains(confabd):
    server = confabd(config={"drain_ms": 5000})
    client = register(server, "alice")
    server.terminate()
    client.expect("goaway")

    def refused():
        try:
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as one:
                one.settimeout(5)
                one.sendall(b'{"id":1,"method":"ping"}\n')
                return one.recv(100) == b""
        except OSError:
            return True

    wait_for(refused, 10, "no connection")
    client.close()
    assert server.wait() == 0


def test_a_second_sigterm_and_sigint(confabd):
    server = confabd()
    os.kill(server.pid, signal.SIGINT)
    assert server.wait() == 0
    server.start()
    for _ in range(3):
        with contextlib.suppress(ProcessLookupError):
            server.terminate()
    assert server.wait() == 0


def test_sighup_takes_over_a_good_file(confabd):
    server = confabd()
    old = register(server, "alice")
    server.write_config(registration="closed", limit_body=50)
    server.hang_up()
    client = Client(server.port, "tcp")
    wait_for(lambda: client.call("hello")["registration"] == "closed", 10, "the new configuration")
    client.fails("forbidden", "register", user="bob", password=PASSWORD)
    wait_for(lambda: old.call("hello")["limits"]["body"] == 50, 10, "the new configuration on the old connection")
    old.fails("too_large", "send", to="@alice2", body="x" * 51)
    server.write_config(registration="open")
    server.hang_up()
    wait_for(lambda: client.call("hello")["registration"] == "open", 10, "the new configuration")
    client.call("register", user="bob", password=PASSWORD)
    client.close(), old.close()


def test_sighup_keeps_the_old_one_on_any_mistake(confabd):
    server = confabd(config={"registration": "closed"})
    client = Client(server.port, "tcp")
    server.config_file.write_text("registration = open\nregistratoin = closed\n")
    server.hang_up()
    got = server.wait_log(r".*registratoin.*")
    assert "registration" in got[0]
    assert client.call("hello")["registration"] == "closed"
    server.config_file.unlink()
    size = len(server.log())
    server.hang_up()
    wait_for(lambda: "confabd.conf" in server.log()[size:], 10, "a word about the missing file")
    assert client.call("hello")["registration"] == "closed"
    client.close()


def test_sighup_opens_the_log_anew(confabd, tmp_path):
    log = tmp_path / "confabd.log"
    server = confabd(config={"log_file": log})
    wait_for(log.exists, 10, "the log file")
    log.rename(tmp_path / "confabd.log.1")
    server.hang_up()
    wait_for(lambda: log.exists() and log.read_text(), 10, "a new log file")
    for line in (log.read_text() + (tmp_path / "confabd.log.1").read_text()).splitlines():
        assert re.search(r"\blevel=\w+|\w+=", line), f"not logfmt: {line!r}"


def test_signals_under_load_do_no_harm(confabd):
    server = confabd()
    people = [register(server, f"user{i}") for i in range(4)]
    load = Load([Sender(server.port, "tcp", me.token, f"@user{i ^ 1}", window=8, prefix=f"s{i}") for i, me in enumerate(people)])
    load.start()
    for round_ in range(20):
        server.write_config(limit_sessions=10 + round_ % 3, idle_ms=60_000 + round_)
        server.hang_up()
        load.wait_answered(load.answered + 20)
    load.stop()
    assert not any(s.errors for s in load.senders)
    for client in people:
        client.close()


# --- Accounts from the shell ---

def test_user_add_passwd_disable(confabd):
    server = confabd(config={"registration": "closed"})
    assert run_tool("user", "add", "Alice", "--password-stdin", server=server, stdin=PASSWORD + "\n")[0] == 0
    alice = Client(server.port, "tcp")
    alice.login_as(alice.call("login", user="alice", password=PASSWORD))
    for name, password, why in (("alice", PASSWORD, "alice"), ("no way", PASSWORD, "no way"), ("server", PASSWORD, "server"),
                                ("bob", "short", "8")):
        code, _, errors = run_tool("user", "add", name, "--password-stdin", server=server, stdin=password + "\n")
        assert code not in (0, 99) and why in errors, errors
    # Another password: its sessions end, the old password is void.
    second = Client(server.port, "ws")
    second.login_as(second.call("login", user="alice", password=PASSWORD))
    assert run_tool("user", "passwd", "alice", "--password-stdin", server=server, stdin="another passphrase\n")[0] == 0
    start = time.monotonic()
    for client in (alice, second):
        client.gone_away("session_revoked", timeout=10)
    assert time.monotonic() - start < 15, "within 5 s, and what a busy machine adds"
    probe = Client(server.port, "tcp")
    probe.fails("token_invalid", "resume", token=alice.token)
    probe.fails("bad_credentials", "login", user="alice", password=PASSWORD)
    probe.login_as(probe.call("login", user="alice", password="another passphrase"))
    # Disabled: live connections end, no login, no resume.
    assert run_tool("user", "disable", "alice", server=server)[0] == 0
    probe.gone_away("session_revoked", timeout=10)
    late = Client(server.port, "tcp")
    late.fails("bad_credentials", "login", user="alice", password="another passphrase")
    late.fails("token_invalid", "resume", token=probe.token)
    for command in (["disable", "nobody"], ["passwd", "nobody", "--password-stdin"]):
        code, _, errors = run_tool("user", *command, server=server, stdin=PASSWORD + "\n")
        assert code not in (0, 99) and "nobody" in errors
    for client in (alice, second, probe, late):
        client.close()
    # The same without a server.
    server.stop()
    assert run_tool("user", "add", "carol", "--password-stdin", server=server, stdin=PASSWORD + "\n")[0] == 0
    server.start()
    carol = Client(server.port, "tcp")
    carol.login_as(carol.call("login", user="carol", password=PASSWORD))
    carol.close()


def test_sends_to_and_from_the_disabled(confabd):
    server = confabd()
    alice, bob = register(server, "alice"), register(server, "bob")
    alice.send("@bob", "x")
    assert run_tool("user", "disable", "bob", server=server)[0] == 0
    bob.gone_away("session_revoked", timeout=10)
    assert alice.call("history", cid="@bob")["head"] == 1, "what was said stays"
    alice.close(), bob.close()


# --- Backup ---

def test_backup_under_load_announces_itself_as_another_life(confabd, tmp_path):
    server = confabd()
    alice, bob = register(server, "alice"), register(server, "bob")
    cid = alice.send("@bob", "before", cmid="c0")["cid"]
    load = Load([Sender(server.port, "tcp", alice.token, cid, window=16, prefix="a")]).start()
    load.wait_answered(100)
    copy = tmp_path / "copy.db"
    code, _, errors = run_tool("backup", copy, server=server)
    assert code == 0, errors
    load.wait_answered(load.answered + 50)
    load.stop()
    assert run_tool("backup", copy, server=server)[0] != 0, "it does not overwrite"
    head = alice.call("history", cid=cid, limit=1)["head"]
    epoch = alice.epoch
    alice.close(), bob.close()

    restored = confabd(name="restored", started=False)
    os.rename(copy, restored.data / "confab.db")
    restored.start()
    assert restored.sql("PRAGMA integrity_check") == [("ok",)]
    back = Client(restored.port, "ws")
    result = back.call("resume", token=bob.token, sync={"epoch": epoch, "cursors": {str(cid): head}})
    assert result["reset"] is True and result["epoch"] not in (epoch, "")
    (view,) = result["conversations"]
    assert view["next"] == 1 and 100 <= view["head"] <= head
    new_epoch = result["epoch"]
    # §8: he sends his own messages again; what the store lost comes back, what it has is dup.
    again = Client(restored.port, "tcp")
    again.call("resume", token=alice.token)
    sender = load.senders[0]
    dups = lost = 0
    for number in again.post_all([("send", {"to": cid, "body": body, "cmid": cmid}) for cmid, body in sender.sent.items()]):
        answer = again.answer(number, timeout=60)
        dups, lost = dups + answer.get("dup", False), lost + (not answer.get("dup", False))
    assert dups == view["head"] - 1 and lost == len(sender.sent) - dups
    again.close(), back.close()
    restored.restart()
    third = Client(restored.port, "tcp")
    assert third.call("resume", token=bob.token)["epoch"] == new_epoch, "a start alone is no other life"
    third.close()
    # The original still lives its own life.
    first = Client(server.port, "tcp")
    assert first.call("resume", token=bob.token)["epoch"] == epoch
    first.close()


def test_backup_errors(confabd, tmp_path):
    server = confabd()
    code, _, errors = run_tool("backup", tmp_path / "no/such/dir/x.db", server=server)
    assert code not in (0, 99) and "no/such/dir" in errors
    assert run_tool("backup", tmp_path / "fine.db", server=server)[0] == 0
