# SPDX-License-Identifier: MIT
"""confab-bench finds what is wrong, and nothing where all is well."""
import asyncio
import concurrent.futures
import contextlib
import os
import signal
import sqlite3
import threading
import time

import pytest

from lib.server import wait_for

MEMBERS = 20  # of the group that the fixture makes

SCENARIOS = {
    "fanout": ["--members", MEMBERS, "--burst", 8, "--rounds", 20],
    "fanout, open loop": ["--members", MEMBERS, "--burst", 4, "--rate", 400, "--seconds", 0.5],
    "direct": ["--pairs", 10, "--window", 4, "--messages", 400],
    "ingest": ["--authors", 4, "--messages", 500, "--window", 8],
    "idle": ["--connections", 40, "--from", 10, "--hold", 0.2, "--rest", 0.1],
    "resume-storm": ["--pairs", 5, "--connections", 30, "--rounds", 2, "--seconds", 0.5],
    "resume-storm, with gaps": ["--pairs", 10, "--connections", 5, "--rounds", 3, "--seconds", 0.5, "--rate", 2000,
                                "--backlog", 0, "--away", 0.1],
    "slow-readers": ["--members", MEMBERS, "--slow", 3, "--pause", 0.5, "--rate", 200, "--seconds", 0.8],
    "mixed": ["--connections", 40, "--large", 40, "--rate", 800, "--messages", 800],
}


@pytest.mark.parametrize("transport", ["tcp", "ws", "tls"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_clean(bench, scenario, transport):
    options = [*SCENARIOS[scenario], "--transport", transport]
    if scenario == "ingest":
        options += ["--cid", bench.cid]
    run = bench.run(scenario.split(",")[0], *options)
    assert run.code == 0 and not run.complaints, run.errors
    result = run.result
    assert result["transport"] == transport and not any(result["violations"].values())
    assert result["loop"] == ("open" if "--rate" in options or scenario in ("mixed", "resume-storm") else "closed")
    assert result["machine"]["cores"] >= 1 and result["versions"]["server"]
    assert {"reactor-0", "reactor-1"} <= {thread["name"] for thread in result["threads"]}
    assert result["rss"] > 0 and result["private_dirty"] > 0
    if scenario == "fanout":
        assert (result["sends"], result["deliveries"]) == (160, 160 * MEMBERS)
        assert result["delivery_us"]["count"] == result["deliveries"]
    if scenario == "direct":
        assert (result["sends"], result["deliveries"]) == (400, 800)
    if scenario == "ingest":
        assert result["deliveries"] == 0 and result["total"]["from_history"] == result["total"]["answers"] >= 500
    if "--backlog" in options:
        assert result["total"]["gaps"] and result["total"]["from_history"], "nothing came by way of history"
    if scenario == "resume-storm":
        assert result["resume_us"]["count"] == 2 * 35
    if scenario == "mixed":
        total = result["total"]
        assert all(total[what] > 0 for what in ("signals", "marks", "presences")), total
        assert total["resumes"] > 40, "some reconnect"
        assert result["deliveries"] > 2 * result["sends"], "some goes to groups"
    if scenario != "idle":
        times = result["ack_us"]
        assert 0 < times["p50"] <= times["p90"] <= times["p99"] <= times["p99.9"] <= times["max"]


class FaultyProxy:
    """Between clients and server; does one thing to one `message` line, the first at or after `at` that another
    follows in the same piece of the same stream."""

    def __init__(self, port, fault, at):
        self.port_behind, self.fault, self.at, self.seen, self.done = port, fault, at, 0, None
        self.ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.ready.wait(60)

    def _run(self):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._client, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        self.loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.close()

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(60)

    async def _client(self, reader, writer):
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self.port_behind)
        try:
            await asyncio.gather(self._pump(reader, behind_writer, lambda lines: lines),
                                 self._pump(behind_reader, writer, self._spoil))
        except (OSError, asyncio.CancelledError):
            pass
        writer.transport.abort()
        behind_writer.transport.abort()

    async def _pump(self, reader, writer, change):
        rest = b""
        while piece := await reader.read(1 << 18):
            *lines, rest = (rest + piece).split(b"\n")
            writer.write(b"".join(line + b"\n" for line in change(lines)))
            await writer.drain()
        writer.close()

    def _spoil(self, lines):
        if self.fault == "drop an answer":
            answers = [i for i, line in enumerate(lines) if b'"result":{"cid":' in line]
            self.seen += len(answers)
            if not self.done and self.seen >= self.at and answers:
                self.done = lines.pop(answers[0]).decode()
            return lines
        messages = [i for i, line in enumerate(lines) if b'"method":"message"' in line]
        self.seen += len(messages)
        if self.fault == "drop exactly this":
            if self.seen - len(messages) < self.at <= self.seen:
                self.done = lines.pop(messages[self.at - self.seen - 1]).decode()
            return lines
        if self.done or self.seen < self.at or len(messages) < 2:
            return lines
        first, second = messages[0], messages[1]
        self.done = lines[first].decode()
        if self.fault == "drop":
            del lines[first]
        elif self.fault == "repeat":
            lines.insert(first, lines[first])
        elif self.fault == "swap":
            lines[first], lines[second] = lines[second], lines[first]
        else:
            old, new = self.fault
            assert old in lines[first]
            lines[first] = lines[first].replace(old, new, 1)
        return lines


FAULTS = {
    "drop": ("drop", "lost"),
    "repeat": ("repeat", "twice"),
    "swap": ("swap", "out of order"),
    "alter the body": ((b'","cmid"', b'Z","cmid"'), "altered"),
    "alter the sender": ((b'"from":"user00', b'"from":"user10'), "altered"),
    "alter the addressee": ((b',"ts":', b'0,"ts":'), "altered"),
    "alter the kind": ((b'"kind":"text"', b'"kind":"x-ex"'), "altered"),
    "alter the cmid": ((b'"cmid":"0', b'"cmid":"1'), "altered"),
}


@pytest.mark.parametrize("scenario", ["fanout", "direct"])
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault(bench, fault, scenario):
    """One fault among thousands of deliveries, and exactly one complaint: that one, at that place."""
    what, complaint = FAULTS[fault]
    options = {"fanout": ["--members", MEMBERS, "--burst", 8, "--rounds", 40],
               "direct": ["--pairs", 10, "--window", 16, "--messages", 3000]}[scenario]
    proxy = FaultyProxy(bench.server.port, what, at=4000)
    try:
        run = bench.run(scenario, *options, port=proxy.port)
    finally:
        proxy.stop()
    assert proxy.done, "the fault was not planted"
    assert run.code == 1 and len(run.complaints) == 1, run.errors
    assert run.complaints[0].startswith(f"violation: {complaint}: ")
    seq = proxy.done.split('"seq":')[1].split(",")[0]
    assert f"seq {seq}:" in run.complaints[0], (run.complaints, proxy.done)
    assert {k: v for k, v in run.result["violations"].items() if v} == {complaint: 1}


def test_the_last_delivery_is_missed_too(bench):
    """Nothing comes after it that would show the hole: 500 messages to two, and a tenth and one to warm up."""
    proxy = FaultyProxy(bench.server.port, "drop exactly this", at=2 * (500 + 51))
    try:
        run = bench.run("direct", "--pairs", 1, "--messages", 500, "--stall", 6, port=proxy.port)
    finally:
        proxy.stop()
    assert run.code == 1 and len(run.complaints) == 1, run.errors
    seq = proxy.done.split('"seq":')[1].split(",")[0]
    assert run.complaints[0].startswith("violation: lost: ") and f"seq {seq}:" in run.complaints[0]


def test_an_answer_that_does_not_come(bench):
    proxy = FaultyProxy(bench.server.port, "drop an answer", at=300)
    try:
        run = bench.run("direct", "--pairs", 5, "--messages", 1000, "--stall", 6, port=proxy.port)
    finally:
        proxy.stop()
    assert run.code == 1 and len(run.complaints) == 1, run.errors
    assert run.complaints[0].startswith("violation: unanswered: ")
    assert {k: v for k, v in run.result["violations"].items() if v} == {"unanswered": 1}


def test_no_fault_through_the_proxy(bench):
    proxy = FaultyProxy(bench.server.port, "none", at=1 << 60)
    try:
        run = bench.run("direct", "--pairs", 10, "--window", 16, "--messages", 1000, port=proxy.port)
    finally:
        proxy.stop()
    assert run.code == 0, run.errors
    assert proxy.seen > 2000


def test_a_broken_connection_is_a_violation(bench):
    """The proxy goes in the middle of it."""
    proxy = FaultyProxy(bench.server.port, "none", at=1 << 60)
    timer = threading.Timer(1, proxy.stop)
    timer.start()
    run = bench.run("direct", "--pairs", 5, "--rate", 100, "--seconds", 10, "--stall", 1, port=proxy.port)
    timer.join()
    assert run.code in (1, 3) and (run.complaints or "connect" in run.errors), run.errors


def test_registers_and_resumes(bench, tmp_path):
    tokens = tmp_path / "new"
    first = bench.run("direct", "--pairs", 2, "--messages", 50, "--register", tokens=tokens)
    assert first.code == 0, first.errors
    lines = tokens.read_text().split("\n")
    assert len(lines) == 5 and tokens.stat().st_mode & 0o77 == 0
    again = bench.run("direct", "--pairs", 2, "--messages", 50, tokens=tokens)
    assert again.code == 0, again.errors
    assert tokens.read_text().split("\n") == lines
    more = bench.run("direct", "--pairs", 3, "--messages", 50, "--register", tokens=tokens)
    assert more.code == 0 and tokens.read_text().split("\n")[:4] == lines[:4], more.errors


@pytest.mark.parametrize("scenario, options", [
    ("fanout", ["--members", 130, "--rounds", 4]), ("ingest", ["--authors", 3, "--messages", 100]),
    ("slow-readers", ["--members", 12, "--slow", 2, "--pause", 0.2, "--seconds", 0.4]),
    ("mixed", ["--connections", 24, "--small", 5, "--large", 24, "--rate", 400, "--messages", 200])])
def test_makes_the_groups_that_it_needs(bench, tmp_path, scenario, options):
    """On new users, who have none; the next run finds those of the first."""
    for register in (["--register"], []):
        run = bench.run(scenario, *options, *register, tokens=tmp_path / "new", timeout=300)
        assert run.code == 0 and not run.complaints, run.errors
    if scenario == "fanout":
        assert run.result["deliveries"] == 4 * 32 * 130
    if scenario != "ingest":
        with contextlib.closing(sqlite3.connect(bench.server.data / "confab.db")) as db:
            name = (tmp_path / "new").read_text().split()[0]
            groups, = db.execute("SELECT count(*) FROM member JOIN conv USING (cid) JOIN user ON user.id = member.user "
                                 "WHERE user.name = ? AND conv.kind = 2", (name,)).fetchone()
        assert groups == (2 if scenario == "mixed" else 1)


def test_latencies_in_full(bench):
    run = bench.run("direct", "--pairs", 2, "--messages", 300, "--histogram")
    times = run.result["ack_us"]
    assert sum(count for _, count in times["buckets"]) == times["count"] == 300
    tops = [top for top, _ in times["buckets"]]
    assert tops == sorted(tops) and tops[-1] >= times["max"] * 0.98


def test_a_stall_is_seen_in_full(bench):
    """In open loop all that was due while the server stood still is late, not just the one message that met it first."""
    rate, messages, stood_s = 500, 2500, 0.6
    for _ in range(6):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            begun = bench.server.metrics().total("confab_store_batch_operations_total")
            running = pool.submit(bench.run, "direct", "--pairs", 5, "--rate", rate, "--messages", messages, "--histogram")
            sent = wait_for(lambda begun=begun: (
                count := bench.server.metrics().total("confab_store_batch_operations_total") - begun) > 500 and count, timeout=50)
            os.kill(bench.server.pid, signal.SIGSTOP)
            time.sleep(stood_s)
            os.kill(bench.server.pid, signal.SIGCONT)
            run = running.result()
        assert run.code == 0, run.errors
        if sent < messages / 2:
            break
    late = sum(count for top, count in run.result["ack_us"]["buckets"] if top >= 200000)
    assert late >= rate * (stood_s - 0.3), run.result["ack_us"]


@pytest.mark.parametrize("options", [["nothing"], ["direct", "--window", "x"], ["direct", "--body", "10"],
                                     ["direct", "--transport", "udp"], ["direct", "--unknown"], ["direct", "more"]])
def test_usage(bench, options):
    run = bench.run(*options, pid=False)
    assert run.code == 2 and run.errors and run.result is None


def test_what_cannot_be_run(bench, tmp_path):
    assert "users" in (run := bench.run("idle", "--connections", 1000)).errors and run.code == 3
    assert bench.run("idle", tokens=tmp_path / "none").code == 3
    assert bench.run("fanout", "--members", MEMBERS + 1, "--cid", bench.cid).code == 3, "not all are members"
    assert bench.run("direct", "--pairs", 1, port=1).code == 3
    wrong = tmp_path / "wrong"
    wrong.write_text("somebody " + "A" * 43 + "\n" + "another " + "B" * 43 + "\n")
    assert "token_invalid" in (run := bench.run("direct", "--pairs", 1, tokens=wrong)).errors and run.code == 3
    assert bench.run("direct", "--pairs", 5, "--rate", 10, "--seconds", 60, "--deadline", 1).code == 3


def test_a_progress_line_each_second(bench):
    run = bench.run("idle", "--connections", 5, "--hold", 5, "--rest", 0, "--progress")
    assert run.code == 0
    assert len([line for line in run.errors.splitlines() if "5 connections" in line]) >= 2, run.errors
