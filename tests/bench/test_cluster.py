# SPDX-License-Identifier: MIT
"""The bars and figures of clusters can be measured, on a real MariaDB and a real Redis: not what comes out."""
import functools
import os
import pathlib
import re

import pytest

import cluster_bars
import cluster_figures
import nodes
from lab import Lab, Rounds

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CONFABD_RELEASE", TOP / "build/release/bin/confabd")).resolve().parent.parent
LINE = re.compile(r"(B\d+) [\d.]+ (<=|>=) [\d.]+ (ok|MISSED) \[[\d.]+\.\.[\d.]+\]( [^ =]+=[^ ]+)+")


@pytest.fixture
def lab(tmp_path, monkeypatch):
    for module in ("lab", "cluster_bars"):
        monkeypatch.setattr(f"{module}.SERVER_CORE", "0-1")
        monkeypatch.setattr(f"{module}.GENERATOR_CORE", "0-1")
    monkeypatch.setattr(nodes, "ROOM", ())
    monkeypatch.setattr(cluster_bars, "Rounds", functools.partial(Rounds, wanted=1, limit_s=0.01, least=1))
    lab = Lab(BUILD, str(tmp_path), True)
    yield lab
    lab.stop_all()


def test_the_bar_on_mariadb(lab, monkeypatch):
    monkeypatch.setattr(cluster_bars, "ROWS", (800, 800))
    line = cluster_bars.b8(lab)
    assert LINE.fullmatch(str(line)) and str(line).startswith("B8 ")
    assert set(line.data["cost_us"]) == {"ours", "floor", "confabd", "mariadb"}
    assert all(cost > 0 for cost in line.data["cost_us"].values())


def test_the_bar_across_nodes(lab, monkeypatch):
    monkeypatch.setattr(cluster_bars, "MEMBERS", 21)
    monkeypatch.setattr(cluster_bars, "BURSTS", (5, 5))
    line = cluster_bars.b14(lab)
    assert LINE.fullmatch(str(line)) and str(line).startswith("B14 ")
    # 5 bursts and the one to warm up: each at least a batch, and each batch rung.
    assert line.data["batches"] >= 6 and line.data["publishes"] >= 6
    assert all(cost > 0 for cost in line.data["cost_us"].values())


def test_the_figures_of_a_cluster(lab, monkeypatch, capsys):
    monkeypatch.setattr(cluster_figures, "LATENCY_S", (1, 1))
    monkeypatch.setattr(cluster_figures, "LOAD", (1000, 1000))
    monkeypatch.setattr(cluster_figures, "ALONE", (30, 30))
    monkeypatch.setattr(cluster_figures, "PAIRS", 4)
    monkeypatch.setattr(cluster_figures, "IDLE_S", 0.5)
    monkeypatch.setattr(cluster_figures, "SETTLE_S", 0.2)
    monkeypatch.setattr(cluster_figures, "RATE", 100)
    found = cluster_figures.measure(lab)
    printed = capsys.readouterr().out.strip()
    assert printed == cluster_figures.all_tables(found)
    assert len([line for line in printed.splitlines() if line.startswith("|")]) == 3 * (2 + 2)
    for row in found["latency"].values():
        assert 0 < row["p50_us"] <= row["p99_us"] and 0 < row["delivery_p50_us"] <= row["delivery_p99_us"]
    for row in found["throughput"].values():
        assert row["units_per_s"] > 0 and row["confabd_us"] > 0 and row["mariadb_us"] > 0
    alone = found["traffic"]["one at a time"]
    assert alone["messages"] >= 30 and alone["batch"] >= 1
    # What is heard while nobody speaks is taken off; on a busy machine that may be as much.
    assert all(value >= 0 for row in found["traffic"].values() for value in row.values())
