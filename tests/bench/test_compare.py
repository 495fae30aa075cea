# SPDX-License-Identifier: MIT
"""bench/compare: what it prints, writes and ends with, of bars that are measured in no time."""
import importlib.machinery
import importlib.util
import json
import pathlib
import signal
import sys
import time

import pytest

from bench_server import TOP
from lab import Failed, Line

BENCH = TOP / "bench"
NAMES = [f"B{i}" for i in range(1, 18)]


@pytest.fixture
def compare(monkeypatch, tmp_path):
    """The program, with a build that has everything and bars that are all kept."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = importlib.machinery.SourceFileLoader("bench_compare", str(BENCH / "compare"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_compare", loader))
    loader.exec_module(module)
    module.drivers = set(module.ALL)
    monkeypatch.setattr(module, "prepare", lambda build: pathlib.Path("/nowhere"))
    monkeypatch.setattr(module, "versions", lambda build: "confabd 0")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in NAMES:
        monkeypatch.setitem(module.ALL, name, lambda lab, name=name: Line(name, (1.0, 0.9, 1.1), 1.5).say(ours="1us"))
    before = {which: signal.getsignal(which) for which in (signal.SIGALRM, signal.SIGTERM)}
    yield module
    for which, handler in before.items():
        signal.signal(which, handler)


@pytest.fixture
def run(compare, monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["bench/compare", *map(str, words)])
        code = compare.main()
        return code, capsys.readouterr()
    return run


def missed(lab):
    return Line("B2", 3.0, 2.2)


def impossible(lab):
    raise Failed("redis-server is missing: apt-get install redis-server")


def broken(lab):
    raise FileNotFoundError("no such program")


def test_all_is_a_table_and_a_missed_bar_is_no_failure_of_it(compare, run, monkeypatch):
    monkeypatch.setitem(compare.ALL, "B2", missed)
    code, said = run("--quick")
    rows = said.out.splitlines()
    assert code == 0 and rows[0].startswith("| bar |") and len(rows) == 2 + len(NAMES)
    assert [row.split(" ")[1] for row in rows[2:]] == NAMES
    assert rows[2] == "| B1 | 1.00 | <= 1.50 | ok | [0.90..1.10] | ours=1us |" and "MISSED" in rows[3]
    assert "17 bars take about" in said.err


@pytest.mark.parametrize("why", [impossible, broken])
def test_what_cannot_be_measured_is_told_and_the_others_are_measured(compare, run, monkeypatch, why):
    monkeypatch.setitem(compare.ALL, "B4", why)
    code, said = run("--quick")
    rows = said.out.splitlines()
    assert code == 3 and len(rows) == 2 + len(NAMES)
    assert "not measured" in rows[5] and rows[5].count("|") == rows[6].count("|")


def test_one_bar_ends_with_its_verdict(compare, run, monkeypatch):
    monkeypatch.setitem(compare.ALL, "B2", missed)
    monkeypatch.setitem(compare.ALL, "B4", impossible)
    assert run("B1")[1].out == "B1 1.00 <= 1.50 ok [0.90..1.10] ours=1us\n"
    assert [run(*names)[0] for names in (["B1"], ["B2"], ["B4"], ["B4", "B2"], ["B1", "B4"])] == [0, 1, 3, 1, 3]


def test_what_takes_too_long_is_given_up(compare, run, monkeypatch):
    monkeypatch.setattr(compare, "PATIENCE_S", (4, 4))
    monkeypatch.setitem(compare.ALL, "B3", lambda lab: time.sleep(60))
    code, said = run("--quick", "B3", "B1")
    assert code == 3 and "too long" in said.out and "B1 1.00" in said.out


def test_the_file_keeps_what_it_has_of_others(run, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"bars": {"B9": {"verdict": "ok"}}, "cluster": {"kept": 1}}))
    assert run("--quick", "--json", path, "B16", "B1")[0] == 0
    kept = json.loads(path.read_text())
    assert list(kept["bars"]) == ["B1", "B9", "B16"] and kept["cluster"] == {"kept": 1}
    assert kept["bars"]["B1"]["figure"] == 1.0 and kept["bars"]["B1"]["quick"] is True
    assert kept["machine"]["cores"] >= 1


def test_there_is_a_time_and_a_driver_for_each(compare):
    assert set(NAMES) <= compare.drivers and set(compare.EXPECTED_S) == compare.drivers


def test_an_unknown_bar_is_refused(run):
    with pytest.raises(SystemExit) as ended:
        run("B18")
    assert ended.value.code == 2
