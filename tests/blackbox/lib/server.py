"""A real confabd process under test: started on a port of its own, ended by its pid."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import select
import signal
import sqlite3
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parents[3]
CONFABD = os.environ.get("CONFABD", str(TOP / "build/dev/bin/confabd"))
CONFABD_RELEASE = os.environ.get("CONFABD_RELEASE", str(TOP / "build/release/bin/confabd"))

CHEAP = {"password_mem_kib": 1024, "password_passes": 1, "drain_ms": 2000}
PATIENCE = 60  # seconds that anything may take on a loaded machine before a test fails
ALARMS = re.compile(
    r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer|runtime error:"
    r"|\bpanic\b|[Aa]ssertion|stack smashing|buffer overflow detected", re.M)

# The child goes when the test process goes, however that ends; the pid is that of the program itself.
# What servers store in unless a test says otherwise: "sqlite", on disk, "memory", or "mysql": each in a database of
# its own on one MariaDB.
STORE = os.environ.get("CONFAB_TEST_STORE", "sqlite")
TIED = ["setpriv", "--pdeathsig", "KILL", "--"]


def sanitizer_environment(leaks=True):
    env = dict(os.environ)
    for key in [k for k in env if k.startswith("CONFAB")]:
        del env[key]
    env["ASAN_OPTIONS"] = f"detect_leaks={int(leaks)}:abort_on_error=0:exitcode=99"
    env["UBSAN_OPTIONS"] = "print_stacktrace=1:halt_on_error=1:exitcode=99"
    env["TSAN_OPTIONS"] = "halt_on_error=0:exitcode=99"
    return env


def wait_for(condition, timeout=PATIENCE, what="a condition", step=0.02):
    """Polls until the condition is true and gives its value; an event with a deadline, not a pause.

    It waits for PATIENCE at least: what is usual is no matter of time-outs.
    """
    timeout = max(timeout, PATIENCE)
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {timeout} s")
        time.sleep(step)


class Metrics(dict):
    """Parsed Prometheus text: (name, frozenset of label pairs) -> value."""

    @classmethod
    def parse(cls, text):
        found = cls()
        found.types, found.helps = {}, {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                name, kind = line[7:].split(" ", 1)
                assert name not in found.types, f"metric {name} is declared twice"
                found.types[name] = kind
            elif line.startswith("# HELP "):
                name, _, words = line[7:].partition(" ")
                found.helps[name] = words
            elif line and not line.startswith("#"):
                got = re.fullmatch(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", line)
                assert got, f"not a line of Prometheus text: {line!r}"
                labels = frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', got[2] or ""))
                key = (got[1], labels)
                assert key not in found, f"{line!r} is there twice"
                found[key] = float(got[3])
        return found

    def total(self, metric, **labels):
        """The sum over all rows of this metric that carry these labels; a missing metric is a failure."""
        rows = [v for (n, have), v in self.items() if n == metric and labels.items() <= dict(have).items()]
        assert rows or any(n == metric for n, _ in self), f"there is no metric {metric}"
        return sum(rows)


def usual_store():
    if STORE == "memory":
        return {"store": "memory:"}
    if STORE == "mysql":
        from .mariadb import shared
        return {"store": shared().database()[1]}
    return {}


@contextlib.contextmanager
def finishing(servers):
    """Finishes all of them, then what they needed is taken away; the first problem is raised at the end."""
    problems = []
    for server in servers:
        try:
            server.finish()
        except AssertionError as error:
            problems.append(error)
    yield
    if problems:
        raise problems[0]


class Server:
    """One data directory and, most of the time, one process on it."""

    host = "127.0.0.1"

    def __init__(self, home, workers=3, config=None, args=(), listen=("127.0.0.1:0",), binary=None,
                 leaks=True, env=None, wrap=()):
        self.home = pathlib.Path(home)
        self.home.mkdir(parents=True, exist_ok=True)
        self.data = self.home / "data"
        self.data.mkdir(exist_ok=True)
        self.workers, self.args, self.listen = workers, list(args), tuple(listen)
        self.config = {**CHEAP, **usual_store(), **(config or {})}
        self.binary = str(binary or CONFABD)
        self.leaks, self.env, self.wrap = leaks, env or {}, list(wrap)
        self.config_file = self.home / "confabd.conf"
        self.log_file = self.home / "stderr.log"
        self.process = None
        self.ready_line = ""
        self.addresses = []
        self.expected_exit = True
        self.write_config()

    # --- Starting and ending ---

    def write_config(self, **changes):
        self.config.update(changes)
        lines = []
        for key, value in self.config.items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                lines.append(f"{key} = {one}\n")
        self.config_file.write_text("".join(lines))

    def command(self):
        command = [*TIED, *self.wrap, self.binary, "-c", str(self.config_file), "--data", str(self.data),
                   "--workers", str(self.workers)]
        for address in self.listen:
            command += ["--listen", address]
        return command + self.args

    def environment(self):
        return {**sanitizer_environment(self.leaks), **self.env}

    def spawn(self):
        """Starts the process without waiting for anything."""
        assert os.access(self.binary, os.X_OK), f"there is no server at {self.binary}: build it first"
        assert self.process is None or self.process.poll() is not None
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env=self.environment(), cwd=self.home)
        return self.process

    def start(self, timeout=PATIENCE):
        self.spawn()
        return self.await_ready(timeout)

    def await_ready(self, timeout=PATIENCE):
        self.ready_line = self._read_ready(timeout)
        got = re.fullmatch(r"ready((?: listen=\S+)+) node=(\S+)\n", self.ready_line)
        assert got, f"not a ready line: {self.ready_line!r}\n{self.log()}"
        self.addresses = re.findall(r"listen=(\S+)", got[1])
        self.node = got[2]
        return self

    def _read_ready(self, timeout):
        line, deadline = b"", time.monotonic() + timeout
        out = self.process.stdout
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([out], [], [], left)[0]:
                raise AssertionError(f"confabd was not ready within {timeout} s\n{self.log()}")
            byte = os.read(out.fileno(), 1)
            if not byte:
                raise AssertionError(f"confabd ended with {self.process.wait()} before it was ready\n{self.log()}")
            line += byte
        return line.decode()

    @property
    def pid(self):
        return self.process.pid

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    def port_of(self, index):
        return int(self.addresses[index].split("/")[0].rsplit(":", 1)[1])

    @property
    def port(self):
        return self.port_of(0)

    def deal(self, others=0, beside=None):
        """The port for a client; the same for all (see across.py)."""
        return self.port

    def settle(self, cid):
        """What was answered is known everywhere at once, on one node."""

    def kill9(self):
        self.process.kill()
        self.process.wait(PATIENCE)
        self.process.stdout.close()

    def terminate(self):
        os.kill(self.pid, signal.SIGTERM)

    def hang_up(self):
        os.kill(self.pid, signal.SIGHUP)

    def wait(self, timeout=PATIENCE):
        code = self.process.wait(timeout)
        self.process.stdout.close()
        return code

    def stop(self, timeout=PATIENCE):
        """SIGTERM, and 0 is expected."""
        self.terminate()
        self.drained(timeout)

    def drained(self, timeout=PATIENCE):
        """It was told to end, and does."""
        try:
            code = self.wait(timeout)
        except subprocess.TimeoutExpired:
            stacks = self.stacks()
            self.kill9()
            raise AssertionError(f"confabd did not drain within {timeout} s\n{stacks}\n{self.log()}") from None
        assert code == 0, f"confabd ended with {code}\n{self.log()}"

    def restart(self, hard=False):
        self.kill9() if hard else self.stop()
        return self.start()

    def finish(self):
        """What every test owes at its end: no process, no report of a sanitizer, no panic."""
        problem = None
        if self.alive:
            try:
                self.stop()
            except AssertionError as error:
                problem = error
        if self.process is not None and self.process.stdout and not self.process.stdout.closed:
            self.process.stdout.close()
        self.check_log()
        if problem:
            raise problem

    def stacks(self):
        lines = []
        for task in pathlib.Path(f"/proc/{self.pid}/task").glob("*"):
            with contextlib.suppress(OSError):
                lines.append(f"{task.name} {(task / 'comm').read_text().strip()}: "
                             f"{(task / 'wchan').read_text()} {(task / 'syscall').read_text().strip()}")
        return "\n".join(lines)

    # --- Looking at it ---

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def check_log(self):
        text = self.log()
        found = ALARMS.search(text)
        if found:
            start = max(0, found.start() - 500)
            raise AssertionError(f"the server's log holds an alarm:\n{text[start:start + 8000]}")

    def wait_log(self, pattern, timeout=PATIENCE):
        return wait_for(lambda: re.search(pattern, self.log(), re.M), timeout, f"{pattern!r} in the log")

    def http(self, path, method="GET", headers=None, body=None, port=None):
        """(status, headers, body) of one request on a connection of its own."""
        connection = http.client.HTTPConnection(self.host, port or self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
        finally:
            connection.close()

    def metrics(self):
        status, _, text = self.http("/metrics")
        assert status == 200
        return Metrics.parse(text)

    @property
    def db(self):
        found = [p for p in self.data.iterdir() if p.is_file() and p.read_bytes()[:15] == b"SQLite format 3"]
        assert len(found) == 1, f"which is the database? {sorted(p.name for p in self.data.iterdir())}"
        return found[0]

    def sql(self, query, *args, many=None):
        """Runs one statement on the database file and gives the rows."""
        with contextlib.closing(sqlite3.connect(self.db, timeout=20)) as db:
            with db:
                if many is not None:
                    db.executemany(query, many)
                    return []
                return db.execute(query, args).fetchall()

    def rss(self):
        """Resident anonymous memory in bytes: what it cost, without the files that are mapped."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"^RssAnon:\s+(\d+) kB", status, re.M)[1]) * 1024

    def cpu(self):
        """Seconds of user and system time so far."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def shards(self):
        """Which reactor watches which connection: {client's port: epoll descriptor}."""
        inodes = {}
        for table in ("tcp", "tcp6"):
            for line in pathlib.Path(f"/proc/{self.pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                inodes[int(fields[9])] = (int(fields[1].rsplit(":", 1)[1], 16), int(fields[2].rsplit(":", 1)[1], 16))
        found = {}
        for fd in pathlib.Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if "eventpoll" not in os.readlink(fd):
                    continue
                info = pathlib.Path(f"/proc/{self.pid}/fdinfo/{fd.name}").read_text()
                for inode in re.findall(r"^tfd:.*\bino:([0-9a-f]+)", info, re.M):
                    _, remote = inodes.get(int(inode, 16), (0, 0))
                    if remote:
                        found[remote] = int(fd.name)
        return found


def run_tool(*words, server=None, stdin="", config=None, data=None, timeout=120, env=None, binary=None):
    """A subcommand of confabd, or a start that is expected to fail: (exit code, stdout, stderr)."""
    command = [*TIED, str(binary or CONFABD)]
    if server is not None:
        command += ["-c", str(server.config_file), "--data", str(server.data)]
    if config is not None:
        command += ["-c", str(config)]
    if data is not None:
        command += ["--data", str(data)]
    done = subprocess.run(command + [str(w) for w in words], input=stdin, text=True, capture_output=True,
                          timeout=timeout, env={**sanitizer_environment(), **(env or {})})
    assert not ALARMS.search(done.stderr), done.stderr
    return done.returncode, done.stdout, done.stderr


def dumps(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
