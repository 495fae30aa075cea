# SPDX-License-Identifier: MIT
"""What a cluster does, and what a message costs MariaDB and Redis: measured, and as tables."""
import time

from nodes import Cluster, Side, redis_counters
from tables import table

NODES, PAIRS, WINDOW = 3, 64, 16
RATE = 400                # of the open loop: far below what anything here holds
LATENCY_S, LOAD, ALONE = (3, 8), (30000, 100000), (300, 1000)   # quick and in full: seconds, messages
IDLE_S, SETTLE_S = 4, 1   # the latter: those who left are told of


class Counters:
    """What MariaDB and Redis count, with the time."""

    def __init__(self, cluster):
        self.at = time.monotonic()
        database = cluster.database.counters()
        redis = redis_counters(cluster.redis)
        selects = database["Com_select"]
        writes = sum(database[f"Com_{x}"] for x in ("insert", "update", "delete"))
        self.values = {
            "database_statements": database["Questions"], "database_selects": selects, "database_writes": writes,
            "database_commits": database["Com_commit"], "database_in": database["Bytes_received"],
            "database_out": database["Bytes_sent"], "redis_commands": redis["commands"],
            "redis_publishes": redis["publishes"], "redis_in": redis["bytes_in"], "redis_out": redis["bytes_out"],
            "batches": sum(node.metric("confab_store_batches_total") for node in cluster.nodes),
            "rows": sum(node.metric("confab_store_batch_operations_total") for node in cluster.nodes)}

    def since(self, before):
        return {name: value - before.values[name] for name, value in self.values.items()}


def idle_rates(cluster):
    """What both hear in a second though nobody says anything, beacons above all; and what a look at it costs by itself."""
    time.sleep(SETTLE_S)
    before = Counters(cluster)
    asking = Counters(cluster).since(before)
    before = Counters(cluster)
    time.sleep(IDLE_S)
    after = Counters(cluster)
    return {name: max(0.0, value - asking[name]) / (after.at - before.at)
            for name, value in after.since(before).items()}, asking


def run(lab, cluster, nodes, pairs, window, messages, apart, rate=None):
    """The generator's report and what it cost each part, by node, database and Redis."""
    parts = [*nodes, cluster.database, cluster.redis]
    got = lab.generate(Side(nodes, parts), "confab", "direct", tokens=cluster.tokens, pairs=pairs, window=window,
                       messages=messages, apart=apart, rate=rate)
    spent = [1e6 * s / got["units"] for s in got["servers_cpu_s"]]
    return {**got, "confabd_us": sum(spent[:-2]), "mariadb_us": spent[-2], "redis_us": spent[-1]}


# --- Latency ---

def latency(lab, cluster):
    messages = RATE * LATENCY_S[0 if lab.quick else 1]
    found = {}
    for name, nodes, apart in (("one node", cluster.nodes[:1], 0), ("across nodes", cluster.nodes[:2], 1)):
        got = run(lab, cluster, nodes, PAIRS // 2, WINDOW, messages, apart, RATE)
        found[name] = {key: got[key] for key in ("p50_us", "p99_us", "delivery_p50_us", "delivery_p99_us")}
    return found


def latency_table(found):
    return table([f"{RATE} messages a second, ms", "answer p50", "answer p99", "delivery p50", "delivery p99"],
                 [[name, *(f"{value / 1000:.2f}" for value in row.values())] for name, row in found.items()])


# --- Throughput ---

def throughput(lab, cluster):
    messages = LOAD[0 if lab.quick else 1]
    found = {}
    for name, nodes, apart in (("one node", cluster.nodes[:1], 0), ("three nodes, across", cluster.nodes, 1)):
        got = run(lab, cluster, nodes, PAIRS, WINDOW, messages, apart)
        found[name] = {key: got[key] for key in ("units_per_s", "confabd_us", "mariadb_us", "redis_us")}
    return found


def throughput_table(found):
    return table([f"{PAIRS} pairs, {WINDOW} in flight", "durable sends a second", "CPU of confabd, µs a message", "of MariaDB",
                  "of Redis"],
                 [[name, f"{row['units_per_s']:,.0f}",
                   *(f"{row[part]:.1f}" for part in ("confabd_us", "mariadb_us", "redis_us"))] for name, row in found.items()])


# --- What MariaDB and Redis hear ---

def traffic(lab, cluster):
    rates, asking = idle_rates(cluster)
    many, few = (of[0 if lab.quick else 1] for of in (LOAD, ALONE))
    found = {}
    for name, pairs, window, messages in (("one at a time", 1, 1, few), (f"{PAIRS * WINDOW} in flight", PAIRS, WINDOW, many)):
        time.sleep(SETTLE_S)
        before = Counters(cluster)
        run(lab, cluster, cluster.nodes[:2], pairs, window, messages, 1)
        after = Counters(cluster)
        rows, took = after.since(before), after.at - before.at
        said = rows["rows"]
        found[name] = {"messages": said, "batch": said / max(1, rows["batches"]),
                       **{key: max(0.0, value - asking[key] - rates[key] * took) / said for key, value in rows.items()
                          if key not in ("rows", "batches")}}
    return found


def traffic_table(found):
    return table(["a message across two nodes", "batch", "MariaDB: statements", "of them SELECT", "COMMIT", "bytes to it",
                  "from it", "Redis: commands", "bytes to it", "from it"],
                 [[name, f"{row['batch']:.0f}", f"{row['database_statements']:.2f}", f"{row['database_selects']:.2f}",
                   f"{row['database_commits']:.3f}", f"{row['database_in']:.0f}", f"{row['database_out']:.0f}",
                   f"{row['redis_commands']:.3f}", f"{row['redis_in']:.0f}", f"{row['redis_out']:.0f}"]
                  for name, row in found.items()])


# --- All of it ---

# The first needs that nobody was there long ago: a node keeps listening for a while to what its people listened to.
TABLES = {"traffic": (traffic, traffic_table), "latency": (latency, latency_table),
          "throughput": (throughput, throughput_table)}


def measure(lab):
    cluster = Cluster(lab, NODES, 2 * PAIRS, directs=[(2 * i + 1, 2 * i + 2) for i in range(PAIRS)])
    run(lab, cluster, cluster.nodes, PAIRS, 1, 2 * PAIRS, 1)   # statements are prepared, channels opened
    found = {}
    for name, (figures, made) in TABLES.items():
        found[name] = figures(lab, cluster)
        print(made(found[name]) + "\n", flush=True)
    return found


def all_tables(found):
    """What measure() printed."""
    return "\n\n".join(made(found[name]) for name, (_, made) in TABLES.items())
