# SPDX-License-Identifier: MIT
"""A primary whose commits wait for a replica dies under load, and the replica takes over: nothing answered is lost.

Two nodes reach the database at an address that moves, here a proxy's; the third has the server's own address and is
given the other one by a restart in place.
"""

import concurrent.futures
import os
import signal
import subprocess

from cluster import PASSWORD, Database
from lib.nginx import Nginx
from lib.server import wait_for
from network import port
from people import apart, on_nodes
import pytest

REFUSED = ("unavailable", "unknown_outcome")
FOR_EVER_MS = 2**32 - 1
DOOR = """
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
worker_processes 2;
daemon off;
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{}}
stream {{
	server {{ listen {host}:{port}; proxy_pass {target}; proxy_timeout 1d; }}
}}
"""


class Door(Nginx):
    """The database's address, which leads to one server and then to another."""

    def write(self):
        (self.home / "nginx.conf").write_text(
            DOOR.format(home=self.home, host=self.host, port=self.port, target=self.nodes[0]))

    def lead_to(self, server):
        self.nodes = [server.address]
        self.write()
        self.reload()


class Replicating(Database):
    """One of several that have the same log."""

    def __init__(self, file, number):
        self.address = f"127.0.0.1:{port()}"
        self.door = None
        super().__init__(file, options=[
            "--skip-networking=0", "--bind-address=127.0.0.1", f"--port={self.address.rpartition(':')[2]}",
            f"--server-id={number}", f"--log-bin={number}-bin", "--log-slave-updates", "--gtid-strict-mode=1",
            "--sync-binlog=1", "--binlog-format=ROW"])

    def url(self, name, near=True, **options):
        return f"mysql://{name}:{PASSWORD}@{self.door}/{name}?durability=replicated"

    def lead(self):
        """Commits wait until a replica has them, however long that takes, before anybody can see them."""
        self.sql(f"SET GLOBAL rpl_semi_sync_master_wait_point = 'AFTER_SYNC', "
                 f"GLOBAL rpl_semi_sync_master_timeout = {FOR_EVER_MS}, GLOBAL rpl_semi_sync_master_enabled = 1")

    def follow(self, primary):
        host, _, number = primary.address.rpartition(":")
        self.sql("SET GLOBAL read_only = 1, GLOBAL rpl_semi_sync_slave_enabled = 1; "
                 f"CHANGE MASTER TO MASTER_HOST = '{host}', MASTER_PORT = {number}, MASTER_USER = 'replica', "
                 f"MASTER_PASSWORD = '{PASSWORD}', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1; START SLAVE")

    def status(self, name):
        return self.sql(f"SHOW GLOBAL STATUS LIKE '{name}'")[0][1]

    def has_applied_all(self):
        told = subprocess.run([*self.client(), "--column-names", "--vertical", "-e", "SHOW ALL SLAVES STATUS"],
                              check=True, capture_output=True, text=True, timeout=60).stdout
        lines = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in told.splitlines()}
        assert lines["Last_SQL_Errno"] == "0", lines["Last_SQL_Error"]
        return lines["Gtid_IO_Pos"] == self.sql("SELECT @@global.gtid_slave_pos")[0][0]

    def take_over(self):
        """What docs/operate.md says, in its order; there is no third server, so it goes on without one."""
        # Who starts either thread while both stand still throws away what was received and not applied.
        self.sql("START SLAVE SQL_THREAD")
        wait_for(self.has_applied_all, what="all that was received to be applied")
        self.sql("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL rpl_semi_sync_master_wait_no_slave = 0")
        self.lead()
        self.sql("SET GLOBAL read_only = 0")


@pytest.fixture
def pair(tmp_path):
    """A primary and its replica."""
    servers = [Replicating(tmp_path / f"server{number}", number) for number in (1, 2)]
    try:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(Replicating.start, servers))
        primary, replica = servers
        primary.sql(f"CREATE USER replica@localhost IDENTIFIED BY '{PASSWORD}'; "
                    "GRANT REPLICATION SLAVE ON *.* TO replica@localhost")
        replica.follow(primary)
        primary.lead()
        wait_for(lambda: primary.status("Rpl_semi_sync_master_clients") == "1", what="the replica")
        yield servers
    finally:
        for server in servers:
            server.stop()


@pytest.fixture
def door(tmp_path, pair):
    door = Door(tmp_path / "door", [pair[0].address]).start(port())
    for server in pair:
        server.door = f"{door.host}:{door.port}"
    yield door
    door.stop()


def test_the_replica_takes_over(pair, door, cluster, play):
    primary, replica = pair
    cluster = cluster(on=primary)
    apart_from = cluster.nodes[2]

    def give(server):
        """Its own address, to the node that does not come through the door."""
        apart_from.write_config(store=cluster.url.replace(server.door, server.address))
        apart_from.renew()

    async def story(town):
        await apart(give, primary)
        await apart(cluster.wait_ready)
        voice = town.pulse.voices[cluster.nodes[0]]
        assert (await voice.insist("hello"))["durability"] == "replicated"
        epoch = await apart(primary.sql, "SELECT epoch FROM meta", cluster.name)
        # Nothing is answered that stands on one machine only.
        await apart(replica.sql, "STOP SLAVE IO_THREAD")
        assert await voice.until_refused("send", to=town.pulse.cid, body="now?") in REFUSED
        await apart(replica.sql, "START SLAVE IO_THREAD")
        await town.pulse.beat()
        # What it has received counts, whether or not it has come to apply it.
        await apart(replica.sql, "STOP SLAVE SQL_THREAD")
        await town.until_answered(200)
        assert primary.status("Rpl_semi_sync_master_status") == "ON"
        assert primary.status("Rpl_semi_sync_master_no_tx") == "0"
        os.kill(primary.pid, signal.SIGKILL)
        assert await voice.until_refused("send", to=town.pulse.cid, body="now?") in REFUSED
        cluster.database = replica
        await apart(replica.take_over)
        await apart(door.lead_to, replica)
        await apart(give, replica)
        await town.pulse.heals()
        await apart(cluster.wait_ready)
        assert (await voice.insist("hello"))["durability"] == "replicated"
        assert await apart(replica.sql, "SELECT epoch FROM meta", cluster.name) == epoch

    play(cluster, story, where=on_nodes(cluster))
