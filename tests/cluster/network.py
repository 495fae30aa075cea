# SPDX-License-Identifier: MIT
"""Machines that are network namespaces, joined by a router that is the tests' own namespace, and can be cut apart.

What is cut is dropped, not refused: both sides hear nothing, until something of theirs runs out.
"""

import itertools
import os
import pathlib
import re
import socket
import subprocess

from lib.nginx import free_port
from lib.server import TIED, wait_for

TABLE = """
table ip {name} {{
	set cut {{ type ipv4_addr . ipv4_addr; }}
	chain forward {{ type filter hook forward priority 0; ip saddr . ip daddr @cut drop; }}
}}
"""


_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
_ports = itertools.count(10000 + 1000 * _worker)   # below those that are given to who connects


def port():
    """One to listen on, which nobody else takes: also not between two programs on it."""
    return next(_ports) if Network.possible() else free_port()


def run(*words, stdin=None):
    done = subprocess.run([str(word) for word in words], input=stdin, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{' '.join(map(str, words))}: {done.stderr}"


class Here:
    """This machine."""

    host, wrap, far = "127.0.0.1", [], False


class Place:
    """A machine of its own: its address, and what a command begins with that is run there."""

    far = True

    def __init__(self, network, name, number):
        self.name, self.host = name, f"10.77.{network.first + number}.2"
        router, device = f"10.77.{network.first + number}.1", f"cf{network.first + number}"
        self.holder = subprocess.Popen([*TIED, "unshare", "--net", "sleep", "infinity"])
        path = pathlib.Path(f"/proc/{self.holder.pid}/ns/net")
        wait_for(lambda: os.readlink(path) != os.readlink("/proc/self/ns/net"), what="a network namespace")
        self.wrap = ["nsenter", f"--net={path}"]
        run("ip", "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", self.holder.pid)
        run("ip", "addr", "add", f"{router}/24", "dev", device)
        run("ip", "link", "set", device, "up")
        for words in (["link", "set", "lo", "up"], ["addr", "add", f"{self.host}/24", "dev", "eth0"],
                      ["link", "set", "eth0", "up"], ["route", "add", "default", "via", router]):
            run(*self.wrap, "ip", *words)

    def end(self):
        self.holder.kill()
        self.holder.wait(60)


class Network:
    """The machines of one process of tests; others have others."""

    def __init__(self):
        self.first, self.table = 16 * _worker, f"confab{_worker}"
        self.places = {}
        assert _worker < 15
        pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        run("nft", "-f", "-", stdin=TABLE.format(name=self.table))

    @staticmethod
    def possible():
        """Only as root in a network that is nobody's."""
        return os.getuid() == 0 and all(re.fullmatch(r"lo|cf\d+", name) for _, name in socket.if_nameindex())

    def place(self, name):
        if name not in self.places:
            self.places[name] = Place(self, name, len(self.places))
        return self.places[name]

    def _change(self, verb, one, other):
        pairs = f"{one.host} . {other.host}, {other.host} . {one.host}"
        run("nft", verb, "element", "ip", self.table, "cut", f"{{ {pairs} }}")

    def cut(self, one, other):
        self._change("add", one, other)

    def join(self, one, other):
        self._change("delete", one, other)

    def end(self):
        for place in self.places.values():
            place.end()
        run("nft", "delete", "table", "ip", self.table)
