# SPDX-License-Identifier: MIT
"""A server with users and groups made beforehand, and a run of confab-bench against it."""
import json
import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "blackbox"))
sys.path.insert(0, str(TOP / "bench"))

from lib.server import Server, sanitizer_environment  # noqa: E402
import world  # noqa: E402

CONFAB_BENCH = os.environ.get("CONFAB_BENCH", str(TOP / "build/dev/bin/confab-bench"))
USERS, MEMBERS = 60, 20  # as the tests expect


class Run:
    def __init__(self, done):
        self.code, self.errors = done.returncode, done.stderr.decode()
        self.result = json.loads(done.stdout) if done.stdout else None
        self.complaints = [line for line in self.errors.splitlines() if line.startswith("violation: ")]


class Bench:
    def __init__(self, home, **server):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-subj", "/CN=localhost", "-keyout", home / "key.pem", "-out", home / "cert.pem"],
                       check=True, capture_output=True)
        self.tokens = home / "tokens"
        self.server = Server(home, config={"tls_cert": home / "cert.pem", "tls_key": home / "key.pem"}, workers=2, **server)
        self.server.start().stop()
        self.cid, = world.populate(self.server.data, self.tokens, USERS, [range(1, MEMBERS + 1)])
        self.server.start()

    def run(self, scenario, *options, port=None, pid=True, tokens=None, timeout=300):
        command = [CONFAB_BENCH, scenario, "--server", f"127.0.0.1:{port or self.server.port}",
                   "--tokens", str(tokens or self.tokens), "--stall", "20", *map(str, options)]
        if pid:
            command += ["--pid", str(self.server.pid)]
        return Run(subprocess.run(command, capture_output=True, timeout=timeout, env=sanitizer_environment()))
