# SPDX-License-Identifier: MIT
"""Addresses of databases and of Redis hold passwords: whatever is wrong with them, these are said nowhere."""

import pytest

from lib.server import run_tool

SECRET = "hush-hush"
STORES = [
    "mysq://ann:{}@127.0.0.1:1/chat", "mysql:/ann:{}@127.0.0.1:1/chat", "mysql:ann:{}@127.0.0.1/chat", "mysql//ann:{}@db/chat",
    "mariadb://ann:{}@db/chat", "MYSQL://ann:{}@db/chat", "ann:{}@127.0.0.1/chat", "{}@db:3306/chat", "mysq://ann:{}",
    "mysql://ann:{}@127.0.0.1:1/chat?pol=3", "mysql://ann:{}@127.0.0.1:1/chat?pool=99", "mysql://ann:{}@127.0.0.1:1/chat?tls=perhaps",
    "mysql://ann:{}@127.0.0.1:99999/chat", "mysql://ann:{}@127.0.0.1:1", "mysql://ann:{}@127.0.0.1:1/", "mysql://ann:{}@/chat",
    "mysql://ann:{}/chat", "mysql://ann:{}", "mysql://ann;{}@127.0.0.1:1/chat", "mysql://ann@{}@127.0.0.1:1/chat",
    "mysql://ann:{}%zz@127.0.0.1:1/chat", "mysql://ann:{}@127.0.0.1:1/chat", "mysql://ann:{}@[::1/chat", "mysql://:{}@127.0.0.1:1/chat",
    "mysql://ann:{}@127.0.0.1:1/chat?ca=/no/such&tls=verify", " mysql ://ann:{}@db/chat",
]
BUSES = [
    "redi://ann:{}@127.0.0.1:1", "redis:/ann:{}@127.0.0.1:1", "redis//ann:{}@h", "redis://ann:{}@127.0.0.1:99999",
    "redis://ann:{}@", "redis://ann:{}", "redis://:{}@127.0.0.1:1/7", "redis://ann:{}@127.0.0.1:1?sentinel_password={}&x=y",
    "rediss://ann:{}@127.0.0.1:1", "redis://ann:{}%zz@127.0.0.1:1", "redis://a:1,b:2?sentinel_password={}",
]


def silent(*words, **more):
    code, said, errors = run_tool(*words, **more)
    assert code != 0 and errors.startswith("confabd: "), (code, said, errors)
    assert SECRET not in said + errors, (words, said, errors)


@pytest.mark.parametrize("key, address", [("store", a) for a in STORES] + [("bus", a) for a in BUSES])
def test_a_broken_address_is_not_repeated(tmp_path, key, address):
    address = address.replace("{}", SECRET)
    rest = ["--listen", "127.0.0.1:0", "--data", tmp_path / "data"]
    silent("--check", f"--{key}", address, *rest)
    silent("--check", f"--{key}={address}", *rest)
    config = tmp_path / "confabd.conf"
    for line in (f"{key} = {address}", f"{key}: {address}", f"[{address}]", f"node = {address}"):
        config.write_text(line + "\n")
        silent("--check", *rest, config=config)
    silent("--check", *rest, env={f"CONFAB_{key.upper()}": address})
    silent(f"--{key}s={address}", *rest)
    silent(address, *rest)
    silent("user", address, "ann", *rest)
    silent("user", "disable", address, *rest)
    if key == "store":
        silent("--store", address, *rest)
        silent("user", "disable", "ann", "--store", address, *rest)
        silent("backup", tmp_path / "copy", "--store", address, *rest)
        silent("--import", "sqlite:/no/such", "--store", address, *rest)
        silent("--import", address, "--store", "mysql://ann@127.0.0.1:1/chat", *rest)
