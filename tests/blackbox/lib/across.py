# SPDX-License-Identifier: MIT
"""Three nodes in the place of a server: the suite of one node runs again on them, and everybody sees the same.

CONFAB_TEST_STORE=across        who comes first in a test is on node 1, all others are on node 3, and another
                                connection of somebody is on the node where he is not
CONFAB_TEST_STORE=across-nginx  all come through nginx, which deals them out to the three in turn

Each server of a test is a cluster with a database, a Redis name and an nginx of its own; MariaDB and Redis are one
for each process of the tests.  `LEFT_OUT` says what does not run so, and why.
"""

import functools
import itertools
import os
import pathlib
import re
import shutil
import tempfile
import threading

from .client import Client
from .mariadb import shared
from .nginx import Nginx
from .redis import Redis
from .server import STORE, Metrics, Server, finishing, wait_for

ACROSS = STORE in ("across", "across-nginx")
NGINX = STORE == "across-nginx"
_numbers = itertools.count(1)


@functools.cache
def bell():
    """One Redis for all clusters of this process; finish_bell() ends it."""
    return Redis(tempfile.mkdtemp(prefix="confab-redis-", dir="/tmp")).start()


def finish_bell():
    if bell.cache_info().currsize:
        bell().stop()
        shutil.rmtree(bell().home, ignore_errors=True)


class Cluster:
    """Looks like a Server to tests: what they ask it, all nodes are asked."""

    def __init__(self, home, config=None, listen=("127.0.0.1:0",), **options):
        self.home = pathlib.Path(home)
        self.database, store = shared().database()
        common = {"store": store, "bus": f"{bell().url}?cluster=c{os.getpid()}-{next(_numbers)}", **(config or {})}
        self.nodes = [Server(self.home / f"n{i}", config={**common, "node": f"n{i}"},
                             listen=[*listen, "127.0.0.1:0,proxy"], **options) for i in (1, 2, 3)]
        self.workers = self.nodes[0].workers
        self.nginx = None
        self.clerk = None
        self.ports = iter(())
        self.lock = threading.Lock()

    # --- Starting and ending ---

    def start(self):
        for node in self.nodes:
            node.spawn()
        for node in self.nodes:
            node.await_ready()
        for node in self.nodes:
            wait_for(lambda: self.sees_all(node), 60, f"{node.node} to hear the others")
        if NGINX:
            self.nginx = Nginx(self.home / "nginx", [node.port_of(-1) for node in self.nodes]).start()
        self.ports = itertools.cycle([self.nginx.port] if NGINX else [self.nodes[0].port, self.nodes[2].port])
        return self

    def sees_all(self, node):
        metrics = node.metrics()
        return metrics.total("confab_bus_peers") == len(self.nodes) - 1 and metrics.total("confab_bus_looped") == 1

    @property
    def alive(self):
        return all(node.alive for node in self.nodes)

    def stop(self):
        if self.nginx is not None:
            self.nginx.stop()
        for node in self.nodes:
            node.terminate()
        for node in self.nodes:
            node.drained()

    def kill9(self):
        if self.nginx is not None:
            self.nginx.kill9()
        for node in self.nodes:
            node.kill9()

    def restart(self, hard=False):
        self.kill9() if hard else self.stop()
        return self.start()

    def finish(self):
        if self.nginx is not None:
            self.nginx.stop()
        for node in self.nodes:
            if node.alive:
                node.terminate()
        with finishing(self.nodes):
            shared().run(f"DROP DATABASE IF EXISTS {self.database}")

    # --- Who talks to whom ---

    @property
    def port(self):
        """Each time that of another node."""
        with self.lock:
            return next(self.ports)

    def deal(self, others, beside=None):
        """The port for a client who comes after so many others of his test, and not to the node of this one."""
        if NGINX:
            return self.port
        one, three = self.nodes[0].port, self.nodes[2].port
        if beside is not None:
            return three if beside.port == one else one
        return three if others else one

    def settle(self, cid):
        """Until other nodes know what marks were answered in this conversation, which takes 2 s at most.

        Who asks for receipts lets his node write what it holds back, also one who may not know of the conversation.
        """
        for node in self.nodes:
            clerk = Client(node.port, "tcp")    # not synced, and so not online
            if self.clerk is None:
                self.clerk = clerk.call("register", user="clerk.of.the.tests", password="of no importance")["token"]
            else:
                clerk.call("resume", token=self.clerk)
            clerk.frame(clerk.post("receipts", cid=cid, seq=1))
            clerk.close()

    # --- Looking at it ---

    def log(self):
        return "".join(node.log() for node in self.nodes)

    def check_log(self):
        for node in self.nodes:
            node.check_log()

    def http(self, path, method="GET", headers=None, body=None):
        return self.nodes[0].http(path, method, headers, body, port=self.port)

    def sql(self, query, *args):
        """Runs one statement on the database and gives the rows; the values are numbers."""
        for value in args:
            query = query.replace("?", str(int(value)), 1)
        rows = shared().sql(self.database, query)
        return [tuple(int(one) if re.fullmatch(r"-?[0-9]+", one) else one for one in row) for row in rows]

    def shards(self):
        """Which reactor of which node watches which connection that goes there directly."""
        return {port: (node.node, shard) for node in self.nodes for port, shard in node.shards().items()}

    def metrics(self):
        """Those of all nodes, summed up."""
        found = [node.metrics() for node in self.nodes]
        total = Metrics((key, sum(one.get(key, 0) for one in found)) for key in set().union(*found))
        total.types, total.helps = found[0].types, found[0].helps
        return total


def serve(home, **options):
    """What tests are given as a server."""
    return Cluster(home, **options) if ACROSS else Server(home, **options)


# --- What does not run so ---

# A module, or a test of one, and the reason.
LEFT_OUT = {
    "test_auth.py::test_a_token_expires_30_days_after_its_last_use": "changes rows of SQLite",
    "test_auth.py::test_an_unknown_user_costs_the_time_of_a_wrong_password": "measures one process",
    "test_auth.py::test_connections_of_a_user_are_limited": "the limit is that of a node",
    "test_auth.py::test_resume_costs_no_hashing": "looks at the metrics of one node",
    "test_auth.py::test_secrets_are_not_stored_or_logged": "looks into the store's files",
    "test_budget.py": "looks into one process",
    "test_cluster_script.py": "has a cluster of its own",
    "test_confab_cli.py": "the terminal client; what it is told is told by the protocol",
    "test_confab_cli_groups.py": "the terminal client",
    "test_confab_cli_messages.py": "the terminal client",
    "test_confab_cli_people.py": "the terminal client",
    "test_crowd.py": "stops one process",
    "test_deletes.py::test_deleted_stays_deleted_after_kill_9": "looks into the store's files",
    "test_deploy.py": "looks at files",
    "test_groups_read.py": "writes into SQLite's file",
    "test_http.py::test_a_connection_count_comes_back": "looks at the metrics of one node",
    "test_http.py::test_errors_are_counted_by_name": "looks at the metrics of one node",
    "test_http.py::test_metrics": "looks at the metrics of one node",
    "test_import.py": "moves SQLite's file",
    "test_kill9.py": "kills the process; tests/cluster kills nodes",
    "test_mariadb.py": "has nodes of its own",
    "test_model.py::test_random_requests_with_restarts": "restarts the process",
    "test_nginx.py": "has an nginx of its own",
    "test_people.py::test_presence_across_shards": "is about the reactors of one process",
    "test_people.py::test_who_all": "is about the reactors of one process; test_who.py asks for all, too",
    "test_proxy.py": "a listener of one node",
    "test_rates.py": "each node counts what is asked of it",
    "test_restart.py": "restarts the process",
    "test_slow.py": "looks into one process",
    "test_sync.py::test_offline_delivery_after_days": "changes rows of SQLite",
    "test_sync_large.py": "writes into SQLite's file",
    "test_tls.py": "a listener of one node",
    "test_websocket.py::test_a_declared_length_alone_costs_nothing": "looks at the metrics of one node",
    "test_who.py::test_the_metric_counts_users_with_a_synced_connection_once": "looks at the metrics of one node",
}


def left_out(item):
    return item.path.name in LEFT_OUT or f"{item.path.name}::{getattr(item, 'originalname', item.name)}" in LEFT_OUT
