# SPDX-License-Identifier: MIT
"""confab-bench against a confabd that is built to spoil one delivery in ten thousand: it names exactly those."""
import os
import pathlib
import re
import subprocess

import pytest

from bench_server import TOP, Bench

PLANTED = pathlib.Path(os.environ.get("CONFABD", TOP / "build/dev/bin/confabd")).with_name("confabd_planted")
EVERY, MEMBERS = 10000, 20
KINDS = {"drop": "lost", "repeat": "twice", "swap": "out of order", "alter": "altered"}
LOADS = {
    "fanout": ["--members", MEMBERS, "--window", 16, "--messages", 1600],
    "direct": ["--pairs", 10, "--window", 16, "--messages", 16000],
}


@pytest.fixture(scope="module", params=KINDS)
def spoilt(request, tmp_path_factory):
    """(what is planted, how that is called, a server that does it)"""
    if not PLANTED.exists():
        pytest.fail(f"{PLANTED} is missing: build the target confabd_planted")
    bench = Bench(tmp_path_factory.mktemp("planted"), binary=PLANTED,
                  env={"CONFAB_PLANT": request.param, "CONFAB_PLANT_EVERY": str(EVERY)})
    yield request.param, KINDS[request.param], bench
    bench.server.finish()


def planted(bench, before):
    """[(cid, seq)] of what the server spoilt after so many."""
    said = re.findall(r"^planted \w+ cid=(\d+) seq=(\d+)$", bench.server.log(), re.M)
    return [tuple(map(int, pair)) for pair in said][before:]


@pytest.mark.parametrize("transport", ["tcp", "ws", "tls"])
@pytest.mark.parametrize("scenario", LOADS)
def test_one_in_ten_thousand(spoilt, scenario, transport):
    what, name, bench = spoilt
    before = len(planted(bench, 0))
    run = bench.run(scenario, *LOADS[scenario], "--transport", transport, "--stall", 6)
    faults = planted(bench, before)
    assert len(faults) in (3, 4), "32,000 deliveries and some to warm up, behind those of the runs before"
    assert run.code == 1, run.errors
    assert {kind: count for kind, count in run.result["violations"].items() if count} == {name: len(faults)}, run.errors
    named = [re.match(r"violation: (.*?): to \S+, conversation (\d+), seq (\d+): ", line) for line in run.complaints]
    assert all(match and match[1] == name for match in named), run.complaints
    assert sorted((int(match[2]), int(match[3])) for match in named) == sorted(faults)


def test_the_plain_server_knows_nothing_of_it(bench):
    text = subprocess.run(["grep", "-c", "CONFAB_PLANT", bench.server.binary], capture_output=True, text=True)
    assert text.stdout.strip() == "0"
