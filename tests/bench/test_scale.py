# SPDX-License-Identifier: MIT
"""docs/scale.md, bench/RESULTS.md and the pictures say what bench/results.json says."""
import json
import pathlib
import subprocess
import xml.etree.ElementTree

import pytest

BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"


def run(program, *args):
    return subprocess.run([BENCH / program, *map(str, args)], capture_output=True, text=True)


def row(text, name, column=-1):
    line = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return line.strip("| ").split(" | ")[column].strip()


def test_the_document_has_the_tables_that_the_program_prints():
    done = run("scale", "--check", BENCH.parent / "docs" / "scale.md")
    assert done.returncode == 0, done.stderr


def test_another_table_is_noticed(tmp_path):
    text = (BENCH.parent / "docs" / "scale.md").read_text()
    other = tmp_path / "other.md"
    other.write_text(text.replace("| `node_cores` | 16 |", "| `node_cores` | 17 |"))
    assert run("scale", "--check", other).returncode == 1
    assert run("scale", "--write", other).returncode == 0 and other.read_text() == text


def test_the_results_are_those_of_the_file(tmp_path):
    done = run("results", "--check", BENCH / "RESULTS.md")
    assert done.returncode == 0, done.stderr
    results = json.loads((BENCH / "results.json").read_text())
    results["bars"]["B1"] = {"figure": 1.234, "limit": "<= 1.50", "verdict": "ok", "spread": [1, 2], "more": ["a|b"],
                             "quick": True, "date": "2026-01-01"}
    results["bars"].pop("B2", None)
    results["bars"]["B3"] = {"verdict": "B3 not measured: no core", "quick": True, "date": "2026-01-01"}
    changed = tmp_path / "results.json"
    changed.write_text(json.dumps(results))
    assert run("results", "--results", changed, "--check", BENCH / "RESULTS.md").returncode == 1
    text = run("results", "--results", changed).stdout
    assert row(text, "B1", 2) == "1.23" and row(text, "B1", 4) == "ok"
    assert row(text, "B2", 4) == "not measured" and "no core" in row(text, "B3")


def test_more_work_needs_more():
    def nodes(*options):
        return int(row(run("scale", "--users", "100e6", *options).stdout, "nodes").split()[0])

    usual = nodes()
    assert nodes("--set", "online_share=0.3") > usual
    assert nodes("--set", "node_connections=100000") > usual
    assert nodes("--set", "delivery_us=500") > usual
    assert nodes("--set", "messages_a_day=0.001", "--set", "node_connections=1e9") < usual


def test_what_is_measured_is_used(tmp_path):
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"bars": {"B3": {"data": {"cost_us": {"ours": 77.0}}},
                                            "B10": {"data": {"cost_us": {"100000": 5.0, "1000000": 88.0}}}}}))
    text = run("scale", "--results", results).stdout
    assert row(text, "`delivery_us`", 1) == "77 µs" and row(text, "`delivery_us`", 2) == "B3"
    assert row(text, "`spread_us`", 1) == "88 µs"
    assert row(text, "`resume_us`", 2) == "assumed"


def test_an_unknown_figure_is_refused():
    assert run("scale", "--set", "nonsense=1").returncode != 0


def points(*names):
    return {name: [[0, 2e6], [100, 3e6], [1000, 9e6]] for name in names}


SAMPLE = {"bars": {
    "B4": {"data": {"cost_us": {"1000": {"confabd": 0.1, "NATS": 0.7}, "100": {"confabd": 0.2, "NATS": 0.5, "Prosody": 40}},
                    "memory": points("confabd", "NATS", "a < b & c")}},
    "B10": {"data": {"cost_us": {"100000": 5.0, "1000000": 8.0}, "floor_us": 2.0}},
    "B13": {"data": {"latency": {"confabd": [{"rate": rate, "p50_us": 200, "p99_us": 900.0, "p999_us": 5000}
                                            for rate in (1000, 2000)]}}}}}


def test_pictures_are_drawn(tmp_path):
    results = tmp_path / "results.json"
    results.write_text(json.dumps(SAMPLE))
    done = run("pictures", results, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for name in ("cost", "latency", "memory", "growth"):
        root = xml.etree.ElementTree.parse(tmp_path / "out" / f"{name}.svg").getroot()
        words = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
        assert any("confabd" in word for word in words), f"{name} has {words}"


@pytest.mark.parametrize("bar", ["B4", "B10", "B13"])
def test_what_was_not_measured_is_not_drawn(bar, tmp_path):
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"bars": {name: data for name, data in SAMPLE["bars"].items() if name != bar}}))
    done = run("pictures", results, tmp_path / "out")
    assert done.returncode == 0 and "not drawn" in done.stdout


def test_the_pictures_are_of_the_results(tmp_path):
    assert run("pictures", BENCH / "results.json", tmp_path).returncode == 0
    drawn, kept = ({path.name: path.read_text() for path in where.glob("*.svg")} for where in (tmp_path, BENCH / "charts"))
    assert drawn == kept, "bench/pictures draws them anew"
