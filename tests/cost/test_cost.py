#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What fixed scenarios cost in instructions, and how large the hot structures are, against numbers.json.

    ./test structure                     runs it
    tests/cost/test_cost.py              prints what is, beside what was
    tests/cost/test_cost.py --update     takes it down: with the change that is the reason, which says why

The program (cost.c) is built as a release is and runs under callgrind, so that neither the machine's speed nor what
else runs on it matters.  Profiles stay in build/cost, one a scenario.  CONFAB_COST names a program built elsewhere.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
NUMBERS = pathlib.Path(__file__).with_name("numbers.json")
PROFILES = TOP / "build" / "cost"

TOLERANCE = 0.03
# Another compiler or library does the same in another number of instructions.
TOLERANCE_ELSEWHERE = 0.20

# The C library's functions for the oldest processors: what is chosen must not depend on the machine.
PLAIN = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,-BMI1,-BMI2,-LZCNT,-MOVBE,-RTM,-ERMS,-FSRM,-SSE4_2"


def built():
    if "CONFAB_COST" in os.environ:
        return pathlib.Path(os.environ["CONFAB_COST"])
    subprocess.run([TOP / "scripts/lib/build", "release", "confab-cost"], check=True)
    return TOP / "build/release/bin/confab-cost"


def made_with():
    def said(*command):
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    return {"machine": os.uname().machine, "gcc": said("gcc", "-dumpfullversion"),
            "libc": os.confstr("CS_GNU_LIBC_VERSION"), "sqlite": said("pkg-config", "--modversion", "sqlite3")}


def measure():
    """Sizes in bytes, and instructions per unit of each scenario."""
    shutil.rmtree(PROFILES, ignore_errors=True)
    PROFILES.mkdir(parents=True)
    got = subprocess.run(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={PROFILES / 'part'}",
         "--toggle-collect=cost_measured", "--dump-after=cost_measured",
         "--compress-strings=no", "--compress-pos=no", built()],
        env={**os.environ, "GLIBC_TUNABLES": PLAIN}, capture_output=True, text=True)
    if got.returncode != 0:
        raise RuntimeError(f"confab-cost ended with {got.returncode}:\n{got.stdout}{got.stderr}")
    found = {"sizes": {}, "instructions": {}}
    parts = 0
    for line in got.stdout.splitlines():
        what, name, number = line.split()
        if what == "size":
            found["sizes"][name] = int(number)
            continue
        parts += 1
        profile = (PROFILES / f"part.{parts}").rename(PROFILES / name)
        total = int(re.search(r"^summary: (\d+)", profile.read_text(), re.M)[1])
        found["instructions"][name] = round(total / int(number), 1)
    (PROFILES / "part").unlink(missing_ok=True)
    return found


def changes(found, known, tolerance):
    """A line for each number that is not as it was."""
    lines = []
    for kind, unit in (("sizes", "bytes"), ("instructions", "instructions")):
        for name in sorted(found[kind].keys() | known[kind].keys()):
            new, old = found[kind].get(name), known[kind].get(name)
            if new is None or old is None:
                lines.append(f"{name}: {'is not measured any more' if new is None else f'{new} {unit}, new'}")
            elif kind == "sizes" and new != old:
                lines.append(f"{name}: {'grew' if new > old else 'fell'} from {old} to {new} bytes")
            elif kind == "instructions" and abs(new - old) > tolerance * old:
                lines.append(f"{name}: {'grew' if new > old else 'fell'} by {abs(new / old - 1):.1%}, from {old} to {new} "
                             f"instructions; callgrind_annotate --threshold=100 {PROFILES / name}")
    return lines


def tolerance_for(known):
    return TOLERANCE if known["made_with"] == made_with() else TOLERANCE_ELSEWHERE


HOW = """
For what was there before: git worktree add the commit, tests/cost/test_cost.py there, and compare the profiles
(callgrind_annotate --threshold=100, with --inclusive=yes or --tree=both).  Where the new number is worth it, or better:
tests/cost/test_cost.py --update, and numbers.json goes with the change that is the reason."""


@pytest.fixture(scope="module")
def found():
    return measure()


@pytest.mark.parametrize("kind", ["sizes", "instructions"])
def test_nothing_costs_more(found, kind):
    known = json.loads(NUMBERS.read_text())
    lines = changes({"sizes": {}, "instructions": {}, kind: found[kind]},
                    {"sizes": {}, "instructions": {}, kind: known[kind]}, tolerance_for(known))
    assert not lines, "\n".join(["what things cost has changed:", *lines]) + "\n" + HOW


def test_a_change_is_said():
    before = {"sizes": {"a": 8, "gone": 4}, "instructions": {"x": 100.0, "y": 100.0, "z": 100.0}}
    after = {"sizes": {"a": 16, "new": 4}, "instructions": {"x": 102.9, "y": 103.1, "z": 96.0}}
    said = changes(after, before, TOLERANCE)
    assert [line.split(";")[0] for line in said] == [
        "a: grew from 8 to 16 bytes", "gone: is not measured any more", "new: 4 bytes, new",
        "y: grew by 3.1%, from 100.0 to 103.1 instructions", "z: fell by 4.0%, from 100.0 to 96.0 instructions"]
    assert changes(before, before, TOLERANCE) == []


def main():
    parser = argparse.ArgumentParser(description="What fixed scenarios cost, beside what numbers.json says.")
    parser.add_argument("--update", action="store_true", help="take the numbers down")
    arguments = parser.parse_args()
    got = measure()
    known = json.loads(NUMBERS.read_text()) if NUMBERS.exists() else {"sizes": {}, "instructions": {}}
    for kind in ("sizes", "instructions"):
        for name, number in got[kind].items():
            old = known[kind].get(name)
            change = f"{number / old - 1:+7.1%}" if old else ""
            print(f"{name:24} {old if old is not None else '':>10} {number:>10} {change}")
    if arguments.update:
        NUMBERS.write_text(json.dumps({"made_with": made_with(), **got}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
