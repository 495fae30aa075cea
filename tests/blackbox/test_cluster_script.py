# SPDX-License-Identifier: MIT
"""scripts/cluster, on a machine of its own: a private network, and process numbers that nobody else has."""

import contextlib
import pathlib
import shutil
import signal
import subprocess
import tempfile

import pytest

from lib.confab import CONFAB
from lib.fixtures import PASSWORD, new_name
from lib.server import ALARMS, CONFABD, TIED, TOP, sanitizer_environment, wait_for

SCRIPT = str(TOP / "scripts/cluster")


class Machine:
    """Commands run inside; all that they leave running ends with it."""

    def __init__(self, home):
        self.home = home
        self.data = home / "cluster"
        self.holder = subprocess.Popen(
            [*TIED, "unshare", "--net", "--pid", "--fork", "--mount-proc", "--propagation",
             "unchanged", "--kill-child", "bash", "-c",
             "ip link set lo up && echo && exec sleep infinity"], stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"\n", "no private network"
        children = f"/proc/{self.holder.pid}/task/{self.holder.pid}/children"
        (self.inside,) = pathlib.Path(children).read_text().split()

    def command(self, *words):
        return [*TIED, "nsenter", "-t", self.inside, "-n", "-p", "-m", "-r", f"--wd={self.home}", "--", *map(str, words)]

    def run(self, *words, code=0, stdin=""):
        env = {**sanitizer_environment(), "CONFABD": CONFABD, "XDG_STATE_HOME": str(self.home / "state")}
        got = subprocess.run(self.command(*words), input=stdin, text=True, capture_output=True, timeout=150, env=env,
                             cwd=self.home)
        assert got.returncode == code, (words, got.returncode, got.stdout, got.stderr, self.logs())
        return got

    def cluster(self, verb, *options, code=0):
        return self.run(SCRIPT, verb, "--data", self.data, *options, code=code)

    def logs(self):
        return "\n".join(f"--- {path}\n{path.read_text(errors='replace')[-2000:]}" for path in self.data.glob("*/log"))

    def parts(self):
        """{part: (state, pid)} as told by status."""
        got = subprocess.run(self.command(SCRIPT, "status", "--data", self.data), text=True, capture_output=True)
        rows = [line.rsplit(None, 2) for line in got.stdout.splitlines() if line.endswith("/log")]
        return {row[0].split()[0]: (" ".join(row[0].split()[1:]), row[1]) for row in rows}

    def processes(self):
        """Those that have not ended; nobody asks here how they did."""
        rows = [line.split() for line in self.run("ps", "-eo", "stat=,comm=").stdout.splitlines()]
        return [row[1] for row in rows if row[0][0] != "Z"]

    def close(self):
        self.holder.kill()
        self.holder.wait(30)
        self.holder.stdout.close()


@pytest.fixture
def machine():
    home = pathlib.Path(tempfile.mkdtemp(prefix="confab-cluster-", dir="/var/tmp"))
    home.chmod(0o711)  # the database is another user's
    one = Machine(home)
    try:
        yield one
        alarm = ALARMS.search("\n".join(path.read_text(errors="replace") for path in one.data.glob("n*/log")))
        assert not alarm, one.logs()
    finally:
        one.close()
        shutil.rmtree(home)


@pytest.mark.slow
@pytest.mark.disk
def test_up_status_down(machine):
    machine.cluster("status", code=1)
    said = machine.cluster("up").stdout
    assert "127.0.0.1:8000" in said and str(machine.data) in said
    up = machine.parts()
    assert sorted(up) == ["mariadb", "n1", "n2", "n3", "nginx", "redis"]
    assert all(state == "ready" for state, _ in up.values()), up
    machine.cluster("status")

    alice, bob = new_name("alice"), new_name("bob")
    for name in (alice, bob):
        machine.run(CONFAB, "-s", "127.0.0.1:8000", "register", name, "--password-stdin", stdin=PASSWORD + "\n")
    machine.run(CONFAB, "-s", "127.0.0.1:8000", "-u", alice, "send", "@" + bob, "through all of it")
    assert "through all of it" in machine.run(CONFAB, "-s", "127.0.0.1:8000", "-u", bob, "history", "@" + alice).stdout

    machine.cluster("up")
    assert machine.parts() == up, "once more does no harm"
    assert "runs already" in machine.cluster("up", "--nodes", "2", code=1).stderr

    machine.run("kill", "-9", up["n2"][1])
    assert machine.parts()["n2"][0] == "stopped"
    machine.cluster("status", code=1)
    machine.cluster("up")
    after = machine.parts()
    assert after["n2"][0] == "ready" and {**after, "n2": up["n2"]} == up, "what was missing is started"

    machine.cluster("down")
    assert machine.processes() == ["sleep", "ps"], "nothing is left"
    assert all(state == "stopped" for state, _ in machine.parts().values())
    machine.cluster("down")
    # A pid that is another program's by now is left alone.
    (machine.data / "n1/pid").write_text("1 1\n")
    machine.cluster("down")
    assert machine.processes() == ["sleep", "ps"]

    machine.cluster("up", "--nodes", "1", "--port", "9100")
    assert sorted(machine.parts()) == ["mariadb", "n1", "nginx", "redis"]
    machine.run(CONFAB, "-s", "127.0.0.1:9100", "login", bob, "--password-stdin", stdin=PASSWORD + "\n")
    assert "through all of it" in machine.run(CONFAB, "-s", "127.0.0.1:9100", "-u", bob, "history", "@" + alice).stdout
    machine.cluster("down")


@pytest.mark.slow
@pytest.mark.disk
def test_rolling_restart_under_load(machine, tmp_path):
    """Each node in turn, in place and then by ending and starting it: everything once, in order, and all are there."""
    machine.cluster("up")
    before, stop = machine.parts(), tmp_path / "stop"
    pair = subprocess.Popen(machine.command("/usr/bin/python3", TOP / "tests/blackbox/lib/pair.py", 8000, tmp_path, stop),
                            stdout=subprocess.PIPE, text=True)
    try:
        assert pair.stdout.readline() == "ready\n", machine.logs()
        for name in ("n1", "n2", "n3"):
            log = machine.data / name / "log"
            machine.run("kill", "-USR2", before[name][1])
            wait_for(lambda: log.read_text().count("ready listen=") == 2, 60, f"{name} in place")
        assert machine.parts() == before, "the same processes"
        for name in ("n1", "n2", "n3"):
            machine.run("kill", "-TERM", before[name][1])
            wait_for(lambda: machine.parts()[name][0] == "stopped", 60, f"the end of {name}")
            assert " server ended" in (machine.data / name / "log").read_text()
            machine.cluster("up")
        stop.write_text("")
        said = pair.communicate(timeout=120)[0]
        assert pair.returncode == 0 and int(said) > 100, (said, machine.logs())
    finally:
        if pair.poll() is None:
            pair.kill()
            pair.communicate()
    machine.cluster("down")


@pytest.mark.parametrize("port, what", [(8000, "nginx"), (8002, "node n2"), (8379, "Redis")])
def test_a_port_in_use_is_said_before_anything_is_started(machine, port, what):
    listen = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); print(flush=True); time.sleep(600)"
    with subprocess.Popen(machine.command("/usr/bin/python3", "-c", listen), stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"\n"
        error = machine.cluster("up", code=1).stderr
        assert f"port {port}, for {what}, is in use" in error
        assert not any(p.startswith(("mariadbd", "redis", "nginx", "confabd")) for p in machine.processes())
        with contextlib.suppress(ProcessLookupError):
            other.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("words", [
    ("sideways",), (), ("up", "--nodes"), ("up", "--nodes", "0"), ("up", "--nodes", "many"), ("up", "--port", "80"),
    ("up", "--data", "/tmp/a b"), ("up", "--data", "/tmp/" + "x" * 100), ("up", "--what", "1"),
])
def test_wrong_words(words):
    got = subprocess.run([SCRIPT, *words], capture_output=True, text=True)
    assert got.returncode in (1, 2) and got.stderr and not got.stdout
