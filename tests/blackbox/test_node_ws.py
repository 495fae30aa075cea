"""A third independent client: npm's `ws`, as Debian packages it (node-ws)."""

import os
import pathlib
import subprocess

from lib.fixtures import new_name

CLIENT = pathlib.Path(__file__).with_name("client.js")


def test_npm_ws(server):
    done = subprocess.run(["node", CLIENT, f"ws://127.0.0.1:{server.port}/ws", new_name("npm")],
                          env={**os.environ, "NODE_PATH": "/usr/share/nodejs:/usr/lib/nodejs"},
                          capture_output=True, text=True, timeout=90)
    assert done.returncode == 0 and done.stdout == "ok\n", done.stdout + done.stderr
