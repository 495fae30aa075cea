# SPDX-License-Identifier: MIT
"""The shape of the tree: who may include whom, and what every file owes.

A room is a folder of src/ (or an app).  What belongs to the product is what confab_room() and
add_executable() name, with all headers that these include; the rest are tests and their helpers,
which may look into any room but the server.
"""

import functools
import pathlib
import re
import shlex
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
SRC = TOP / "src"

# Who may include whom, beside itself.
ROOMS = {
    "base": set(),
    "wire": {"base"},
    "net": {"base"},
    "chat": {"base"},
    "store": {"base", "chat"},
    "bus": {"base", "chat"},
    "gate": {"base", "wire", "net", "chat"},
    "client": {"base", "wire"},
    "server": {"base", "wire", "net", "chat", "store", "bus", "gate"},
    "apps": {"base", "wire", "client"},
    "bench": {"base", "wire", "client"},
}

# Headers of the system and of libraries that only some rooms may see.
ONLY = {
    "sqlite3.h": {"store", "bench"},
    "mysql.h": {"store", "base"},
    "utf8proc.h": {"store", "chat", "base"},
    "sodium.h": {"base", "server"},
    "hiredis/": {"bus"},
    "openssl/": {"net", "wire", "client", "bench"},
    "sys/epoll.h": {"net", "bench"},
    "pthread.h": {"base", "store", "bus", "server", "bench", "net"},
    "unistd.h": {"base", "net", "store", "bus", "server", "client", "apps", "bench"},
    "fcntl.h": {"base", "net", "store", "bus", "server", "client", "apps", "bench"},
}

HEADER_LINES_MAX = 200
# These describe what a whole room promises; they may shrink, not grow.
HEADERS_LONGER = {"chat/api.h": 220, "chat/op.h": 250}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def source_files():
    found = []
    for top in ("src", "apps", "bench", "tests"):
        for pattern in ("*.c", "*.h"):
            found += [p for p in (TOP / top).rglob(pattern) if "node_modules" not in p.parts]
    return sorted(found)


def name_of(path):
    return str(path.relative_to(TOP))


def room_of(path):
    parts = path.relative_to(TOP).parts
    if parts[:2] == ("apps", "confab-bench"):
        return "bench"
    return parts[1] if parts[0] == "src" else parts[0]


def includes(path):
    return INCLUDE.findall(path.read_text())


@functools.cache
def product():
    """Every file that the programs are made of."""
    todo, seen = [], set()
    for lists in [*SRC.rglob("CMakeLists.txt"), *(TOP / "apps").rglob("CMakeLists.txt")]:
        text = re.sub(r"#.*", "", lists.read_text())
        for call in re.findall(r"(?:confab_room|add_executable)\s*\(([^)]*)\)", text):
            todo += [lists.parent / word for word in call.split() if word.endswith(".c")]
    while todo:
        path = todo.pop().resolve()
        if path in seen or not path.exists():
            continue
        seen.add(path)
        for kind, name in includes(path):
            if kind == '"':
                todo += [p for p in (SRC / name, path.parent / name) if p.exists()][:1]
    return seen


def files():
    return pytest.mark.parametrize("path", source_files(), ids=name_of)


def product_files(suffix=""):
    chosen = [p for p in sorted(product()) if p.name.endswith(suffix)]
    return pytest.mark.parametrize("path", chosen, ids=name_of)


def test_the_product_is_found():
    assert SRC / "server/main.c" in product()
    assert SRC / "base/slice.h" in product()


def test_every_room_is_known():
    assert {p.name for p in SRC.iterdir() if p.is_dir()} <= ROOMS.keys()


@files()
def test_includes_follow_the_arrows(path):
    room = room_of(path)
    if path not in product():
        allowed = set(ROOMS) - {"server"} | {room}
    else:
        allowed = ROOMS[room] | {room}
    for kind, name in includes(path):
        if kind == "<":
            continue
        target = SRC / name
        if not target.exists():
            target = (path.parent / name).resolve()
        assert target.exists(), f'{name_of(path)} includes "{name}", which is not there'
        other = room_of(target)
        assert other in allowed, f"{name_of(path)}: {room} must not include {name}"


@product_files()
def test_libraries_stay_in_their_rooms(path):
    for kind, name in includes(path):
        if kind == "<":
            for header, rooms in ONLY.items():
                if name == header or (header.endswith("/") and name.startswith(header)):
                    assert room_of(path) in rooms, f"{name_of(path)} must not include <{name}>"


@files()
def test_licence_line(path):
    assert path.read_text().startswith("/* SPDX-License-Identifier: MIT */\n")


@product_files(".c")
def test_own_header_first(path):
    """Its own, or the one that the files of its room share: so each is compiled with nothing before it."""
    if path.with_suffix(".h").exists():
        kind, first = includes(path)[0]
        beside = (SRC / first).parent == path.parent or (path.parent / first).exists()
        assert kind == '"' and beside, f"{name_of(path)} includes {first} first"


def code_lines(text):
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return sum(1 for line in text.splitlines() if line.strip())


@product_files(".h")
def test_header_is_short(path):
    """Comments and empty lines are free: contracts belong there."""
    most = HEADERS_LONGER.get(str(path.relative_to(TOP)).removeprefix("src/"), HEADER_LINES_MAX)
    assert code_lines(path.read_text()) <= most


@product_files(".h")
def test_header_is_guarded(path):
    text = path.read_text()
    guard = re.search(r"^#ifndef (\w+)\n#define (\w+)\n", text, re.M)
    assert guard and guard[1] == guard[2]
    if TOP / "src" in path.parents:
        assert guard[1] == re.sub(r"\W", "_", str(path.relative_to(SRC))).upper()


@functools.cache
def compile_flags():
    def package(name):
        got = subprocess.run(["pkg-config", "--cflags", name], capture_output=True, text=True)
        return shlex.split(got.stdout) if got.returncode == 0 else []

    flags = ["-std=c17", "-D_GNU_SOURCE", '-DCONFAB_VERSION="0"', "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
             "-I", str(SRC), "-include", str(SRC / "base/banned.h")]
    for name in ("libsodium", "sqlite3", "openssl", "libutf8proc"):
        flags += package(name)
    return flags


@product_files(".h")
def test_header_compiles_alone(path, tmp_path):
    one = tmp_path / "one.c"
    one.write_text(f'#include "{path}"\nint nothing_else;\n')
    got = subprocess.run(["gcc", *compile_flags(), str(one)], capture_output=True, text=True)
    assert got.returncode == 0, got.stderr


@product_files()
def test_no_conditional_code(path):
    """Choices are made in base/ and in server/wiring.c, not by #if all over."""
    name = str(path.relative_to(TOP)).removeprefix("src/")
    if name.startswith("base/") or name == "server/wiring.c":
        return
    text = path.read_text()
    guard = re.search(r"^#ifndef (\w+)\n#define \1\n", text, re.M)
    for line in re.findall(r"^[ \t]*#[ \t]*(?:if|ifdef|ifndef|elif)\b.*", text, re.M):
        assert guard and line == f"#ifndef {guard[1]}", f"{name}: {line}"


def test_python_files_compile():
    for top in ("tests", "python", "bench", "scripts"):
        for path in (TOP / top).rglob("*.py"):
            if "node_modules" not in path.parts:
                compile(path.read_text(), str(path), "exec")


def test_shell_scripts_parse():
    for path in [TOP / "run", TOP / "test", TOP / ".ci/run", *(TOP / "scripts").iterdir()]:
        if path.is_file() and path.read_text(errors="replace").startswith("#!/usr/bin/env bash"):
            assert subprocess.run(["bash", "-n", str(path)]).returncode == 0, path
            assert path.stat().st_mode & 0o111, f"{path} is not executable"


def test_version_is_one():
    """The change log knows the version that CMake builds."""
    version = re.search(r"project\(confab VERSION (\S+)", (TOP / "CMakeLists.txt").read_text())[1]
    log = (TOP / "CHANGELOG.md").read_text()
    assert f"## [{version}]" in log or "## [Unreleased]" in log


def test_the_design_has_a_line_for_every_file():
    text = (TOP / "docs/design.md").read_text()
    listed = set(re.findall(r"`([a-z_0-9]+)(?:\.[ch])?`", text[text.index("## Every file in a line"):]))
    stems = {p.stem for p in source_files() if p.parts[len(TOP.parts)] in ("src", "apps") and not p.stem.endswith("_test")}
    assert sorted(stems - listed) == [], "files without a line in docs/design.md"
