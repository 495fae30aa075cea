# SPDX-License-Identifier: MIT
"""Programs on their cores, the generator, and rounds of both in turns."""
import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

import world

TICK = os.sysconf("SC_CLK_TCK")
QUIET_CORES = 0.2   # what other processes may use during a round that counts
LEAST_ROUNDS = 5
FEW_ROUNDS = 3
START_S = 60        # a server that doesn't serve after so long has failed
SERVER_CORE, GENERATOR_CORE = "0", "1"


class Failed(Exception):
    """A program did not do what it should: what and why."""


def free_port():
    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def process_tree(pid):
    """It and all that descend from it."""
    found = [int(pid)]
    for one in found:
        for path in pathlib.Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, path.read_text().split())
    return found


def cpu_clock_s(pid):
    """User and system time of all its threads, ended ones too, to the nanosecond: clock_getcpuclockid(3)."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


# --- Programs ---

class Program:
    """A server on its cores; it serves when it has written `ready`, or, without that, when `port` accepts. A session of its
    own, as an init gives it: the kernel shares cores out between sessions (sched_autogroup)."""

    def __init__(self, scratch, args, ready=None, cores=SERVER_CORE, port=None, env=None):
        self.log_path = os.path.join(scratch, os.path.basename(args[0]) + ".log")
        self.port, self.core = str(port) if port else None, cores
        begun = time.perf_counter()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(["taskset", "-c", cores, *args], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE if ready else log, stderr=log, cwd=scratch,
                                            env={**os.environ, **(env or {})}, start_new_session=True)
        self.pid = str(self.process.pid)
        if ready:
            self.wait_for_line(ready)
        else:
            self.wait_for_port()
        self.start_s = time.perf_counter() - begun

    def wait_for_line(self, ready):
        for line in self.process.stdout:
            if ready in line:
                break
        else:
            raise Failed(f"{self.process.args[3]} did not start: see {self.log_path}")
        found = re.search(rb"listen=\S*:(\d+)", line)
        if found:
            self.port = found.group(1).decode()

    def wait_for_port(self):
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.closing(socket.socket()) as s:
                if s.connect_ex(("127.0.0.1", int(self.port))) == 0:
                    return
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                tail = pathlib.Path(self.log_path).read_text(errors="replace").strip().splitlines()[-1:]
                raise Failed(f"{self.process.args[3]} did not start: {' '.join(tail) or self.log_path}")
            time.sleep(0.05)

    def cpu_s(self):
        return sum(map(cpu_clock_s, process_tree(self.pid)))

    def private_dirty(self):
        total = 0
        for pid in process_tree(self.pid):
            with contextlib.suppress(OSError):
                text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
                total += int(re.search(r"^Private_Dirty:\s+(\d+) kB", text, re.M).group(1)) * 1024
        return total

    def bytes_written(self):
        return int(re.search(r"^write_bytes: (\d+)", pathlib.Path(f"/proc/{self.pid}/io").read_text(), re.M).group(1))

    def metric(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
            text = answer.read().decode()
        return sum(float(v) for v in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


class Crowd:
    """A generator that stays connected between its runs, and is told on stdin what to do."""

    def __init__(self, lab, program, scenario, style, **options):
        self.lab = lab
        self.process = subprocess.Popen(lab.command(program, scenario, style, options), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        lab.running.append(self)

    def cpu_s(self):
        return cpu_clock_s(self.pid)

    def tell(self, *lines):
        """What it answers to the last of them."""
        self.process.stdin.write("".join(line + "\n" for line in lines))
        self.process.stdin.flush()
        return self.heard()

    def heard(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"the generator failed: {' '.join(self.process.args[3:])}")
        return json.loads(line) if line.startswith("{") else line.strip()

    def run(self, rounds):
        return self.tell(f"run {rounds}")

    def stop(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Lab:
    """Programs, data directories and the generator of one run."""

    def __init__(self, build, scratch, quick):
        self.bin, self.scratch, self.quick = build / "bin", scratch, quick
        self.running = []

    def path(self, name):
        path = os.path.join(self.scratch, name)
        for old in (path, path + "-wal", path + "-shm"):
            shutil.rmtree(old, ignore_errors=True)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(old)
        return path

    def start(self, args, ready=None, cores=SERVER_CORE, **more):
        program = Program(self.scratch, args, ready, cores, **more)
        self.running.append(program)
        return program

    def confabd(self, data, workers=1, cores=SERVER_CORE, **options):
        more = [x for key, value in options.items() for x in ("--" + key.replace("_", "-"), str(value))]
        return self.start([str(self.bin / "confabd"), "--listen", "127.0.0.1:0", "--data", data, "--workers",
                           str(workers), *more], b"ready", cores)

    def floor(self, name, *args):
        return self.start([str(self.bin / ("floor_" + name)), *args], b"ready")

    def redis(self, cores=SERVER_CORE):
        if shutil.which("redis-server") is None:
            raise Failed("redis-server is missing: apt-get install redis-server")
        port = free_port()
        return self.start(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly",
                           "no", "--maxclients", "12000", "--client-output-buffer-limit", "pubsub", "0", "0", "0",
                           "--dir", self.scratch], b"eady to accept connections", cores, port=port)

    def peer(self, peer):
        home = self.path("peer-" + re.sub(r"\W+", "-", peer.name))
        os.mkdir(home)
        port = free_port()
        args = peer.config(home, port)
        program = Program(home, args, port=port, env=peer.env)
        self.running.append(program)
        return program

    def certificate(self):
        """(certificate, key) of this run."""
        cert, key = os.path.join(self.scratch, "cert.pem"), os.path.join(self.scratch, "key.pem")
        if not os.path.exists(cert):
            if shutil.which("openssl") is None:
                raise Failed("openssl is missing: apt-get install openssl")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                            "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", cert], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return cert, key

    def stop(self, program):
        self.running.remove(program)
        program.stop()

    def stop_all(self):
        for program in reversed(self.running[:]):
            self.stop(program)

    def command(self, program, scenario, style, options):
        words = [f"{key}={value}" for key, value in options.items() if value is not None]
        return ["taskset", "-c", GENERATOR_CORE, str(self.bin / "bench_drive"), scenario, style, f"port={program.port}",
                f"pid={program.pid}", *words]

    def generate(self, program, style, scenario, **options):
        """One run of the generator, a dict from its JSON comes back."""
        done = subprocess.run(self.command(program, scenario, style, options), stdout=subprocess.PIPE)
        if done.returncode != 0:
            raise Failed(f"the generator failed ({scenario}, {style}): a delivery was wrong or missing")
        return json.loads(done.stdout)

    def confab_bench(self, program, scenario, tokens, **options):
        """One run of confab-bench, which verifies all that comes; its report."""
        words = [x for key, value in options.items() for x in ("--" + key.replace("_", "-"), str(value))]
        done = subprocess.run(["taskset", "-c", GENERATOR_CORE, str(self.bin / "confab-bench"), scenario, "--server",
                               f"127.0.0.1:{program.port}", "--pid", program.pid, "--tokens", tokens, *words],
                              stdout=subprocess.PIPE)
        if done.returncode != 0:
            raise Failed(f"confab-bench failed ({scenario}): it ended with {done.returncode}, its words are above")
        return json.loads(done.stdout)

    def crowd(self, program, style, scenario="fanout", **options):
        """A fan-out that is run by Crowd.run(); returns when all members are there."""
        crowd = Crowd(self, program, scenario, style, **options)
        if scenario == "fanout":
            crowd.heard()
        return crowd

    def store(self, name, users, groups=(), directs=(), messages=0):
        """A data directory with users that have a session each, groups, direct conversations, and messages in them."""
        data = self.path(name)
        self.stop(self.confabd(data))
        tokens = os.path.join(self.scratch, name + ".tokens")
        world.populate(data, tokens, users, groups, directs, messages)
        return data, tokens


# --- Rounds ---

def busy_s():
    """What all processes, interrupts and other guests used of all cores so far."""
    with open("/proc/stat") as f:
        user, nice, system, _idle, _wait, irq, softirq, steal = map(int, f.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICK


def own_s(lab):
    me, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return (me.ru_utime + me.ru_stime + children.ru_utime + children.ru_stime
            + sum(program.cpu_s() for program in lab.running))


class Rounds:
    """A B A B ... : the rounds that count, and how quiet they were."""

    def __init__(self, lab, sides, wanted=None, limit_s=None, least=LEAST_ROUNDS):
        self.lab, self.sides, self.least = lab, sides, least
        self.wanted = wanted or (LEAST_ROUNDS if lab.quick else 9)
        self.limit_s = limit_s or (40 if lab.quick else 150)
        self.run()

    def one(self):
        busy, own, begun = busy_s(), own_s(self.lab), time.monotonic()
        cost = {name: side() for name, side in self.sides.items()}
        others = busy_s() - busy - (own_s(self.lab) - own)
        return max(0.0, others) / (time.monotonic() - begun), cost

    def run(self):
        """Noisy rounds are dropped and repeated while there is time; then the quietest of them fill the gap. On a machine
        so busy that there is no time for enough of them, a few have to do."""
        begun, seen = time.monotonic(), []
        self.one()
        while True:
            seen.append(self.one())
            self.clean = sum(noise <= QUIET_CORES for noise, _ in seen)
            spent_s = time.monotonic() - begun
            if self.clean >= self.wanted or (spent_s > self.limit_s and len(seen) >= self.least) or (
                    spent_s > 3 * self.limit_s and len(seen) >= FEW_ROUNDS):
                break
        seen.sort(key=lambda r: r[0])
        used = seen[:max(self.clean, self.least)]
        self.noise, self.costs = used[-1][0], [cost for _, cost in used]

    def cost(self, name):
        return statistics.median(cost[name] for cost in self.costs)

    def all_costs(self):
        return {name: self.cost(name) for name in self.sides}

    def ratio(self, over, under):
        """Median, least and greatest of the rounds' ratios."""
        all_of_them = sorted(cost[over] / cost[under] for cost in self.costs)
        return statistics.median(all_of_them), all_of_them[0], all_of_them[-1]


# --- What is printed ---

class Line:
    """The bar's ratio first, then what else must hold or is worth knowing; `data` is for pictures and models."""

    def __init__(self, bar, ratio, limit, at_least=False):
        value, low, high = ratio if isinstance(ratio, tuple) else (ratio, ratio, ratio)
        self.bar, self.kept, self.parts, self.data = bar, True, [], {}
        self.number, self.bounds = value, (low, high)
        self.value, self.limit = figure(value), (">= " if at_least else "<= ") + figure(limit)
        if figure(value) == figure(limit):
            self.value = f"{value:.4f}"
        self.spread = f"[{figure(low)}..{figure(high)}]"
        self.must(value >= limit if at_least else value <= limit)

    def must(self, holds):
        self.kept = self.kept and holds

    def also(self, name, value, limit, unit=""):
        self.must(value <= limit)
        self.parts.append(f"{name}={figure(value)}{unit}{'<=' if value <= limit else '>'}{figure(limit)}{unit}")
        return self

    def say(self, **figures):
        self.parts += [f"{name}={value}" for name, value in figures.items()]
        return self

    def keep(self, **data):
        self.data.update(data)
        return self

    def noise(self, rounds):
        if rounds.clean < rounds.least:
            self.parts.append(f"NOISY={rounds.noise:.2f}cores({rounds.clean}_clean_of_{len(rounds.costs)})")
        else:
            self.parts.append(f"rounds={len(rounds.costs)}")
        return self

    def verdict(self):
        return "ok" if self.kept else "MISSED"

    def record(self):
        """As JSON has it."""
        return {"figure": self.number, "limit": self.limit, "verdict": self.verdict(), "spread": list(self.bounds),
                "more": self.parts, "data": self.data}

    def __str__(self):
        return " ".join([self.bar, self.value, self.limit, self.verdict(), self.spread, *self.parts])


def figure(value):
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"


def us(value):
    return f"{value:.3f}us"
