# SPDX-License-Identifier: MIT
"""nginx with the configuration that is shipped, its addresses and paths replaced."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

from .server import PATIENCE, TIED, wait_for

SHIPPED = pathlib.Path(__file__).resolve().parents[3] / "deploy" / "nginx.conf"
BINARY = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def runs(pid):
    """Not so what has ended and waits for somebody to ask after it."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


class Nginx:
    """nodes: listeners that expect PROXY headers, ports or addresses; tls: (certificate, key), the variant that ends TLS;
    host: its own address; wrap: what runs it."""

    def __init__(self, home, nodes, tls=None, host="127.0.0.1", wrap=()):
        self.home = pathlib.Path(home)
        self.home.mkdir(parents=True, exist_ok=True)
        self.nodes = [node if isinstance(node, str) else f"127.0.0.1:{node}" for node in nodes]
        self.tls, self.host, self.wrap = tls, host, list(wrap)
        self.process = None
        self.port = self.tls_port = 0

    def write(self):
        text = SHIPPED.read_text()
        head, _, rest = text.partition("\t\tserver 10.0.0.11:7001")
        servers = "".join(f"\t\tserver {node} max_fails=2 fail_timeout=5s;\n" for node in self.nodes)
        text = head + servers + rest[rest.index("\t}\n"):]
        text, count = re.subn(r"listen 8000 ", f"listen {self.host}:{self.port} ", text)
        assert count == 1
        if self.tls:
            text = re.sub(r"^\t#(server \{|\t.*|\})$", r"\t\1", text, flags=re.M)
            text, count = re.subn(r"listen 8443 ", f"listen {self.host}:{self.tls_port} ", text)
            assert count == 1
            text = text.replace("/etc/confab/tls.crt", str(self.tls[0])).replace("/etc/confab/tls.key", str(self.tls[1]))
        text = text.replace("/run/nginx.pid", str(self.home / "nginx.pid"))
        text = text.replace("/var/log/nginx/error.log", str(self.home / "error.log"))
        text = text.replace("worker_processes auto;", "worker_processes 2;\ndaemon off;")
        text = text.replace("worker_rlimit_nofile 65536;", "worker_rlimit_nofile 8192;")
        (self.home / "nginx.conf").write_text(text.replace("worker_connections 32000;", "worker_connections 4000;"))

    def start(self, port=None):
        """On ports that are free; another program may take them first, so it is tried again."""
        for _ in range(5):
            self.port, self.tls_port = port or free_port(), free_port()
            self.write()
            with open(self.home / "said.log", "wb") as said:
                self.process = subprocess.Popen(
                    [*TIED, *self.wrap, BINARY, "-p", str(self.home), "-c", str(self.home / "nginx.conf")],
                    stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            wait_for(lambda: self.process.poll() is not None or self._answers(), what="nginx")
            if self.process.poll() is None:
                return self
        raise AssertionError("nginx does not start: " + (self.home / "said.log").read_text())

    def _answers(self):
        try:
            socket.create_connection((self.host, self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def workers(self):
        path = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def reload(self):
        """New workers serve, the old ones go on with the connections that they have."""
        old = set(self.workers())
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(set(self.workers()) - old) >= 2, what="new workers of nginx")

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)

    def kill9(self):
        pids = self.workers()
        self.process.kill()
        self.process.wait(PATIENCE)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_for(lambda: not any(runs(pid) for pid in pids), what="the end of nginx")
