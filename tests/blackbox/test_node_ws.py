"""A third independent client: the npm package `ws`."""

import subprocess

from lib.fixtures import new_name


def test_npm_ws(server, node_modules):
    done = subprocess.run(["node", node_modules / "client.js", f"ws://127.0.0.1:{server.port}/ws", new_name("npm")],
                          capture_output=True, text=True, timeout=90)
    assert done.returncode == 0 and done.stdout == "ok\n", done.stdout + done.stderr
