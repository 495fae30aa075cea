# SPDX-License-Identifier: MIT
"""B8 and B14: confabd on MariaDB, and on the other side of Redis."""
import json
import os
import statistics
import subprocess

from lab import GENERATOR_CORE, SERVER_CORE, Line, Rounds, us
from nodes import Cluster, Listener, MariaDB, Side, make_database

CONNECTIONS = 4   # as many as confabd's writers, which are so many if its address does not say otherwise
PAIRS, WINDOW = 64, 16
MEMBERS, BURST = 1001, 32
ROWS, BURSTS = (40000, 150000), (60, 200)   # of a round, quick and in full


def b8(lab):
    """MariaDB, confabd and the floor are on one core, as all servers are; the generator is on the other."""
    database = MariaDB(lab)
    tokens = os.path.join(lab.scratch, "pairs.tokens")
    make_database(lab, database, "floor", tokens)
    make_database(lab, database, "ours", tokens, 2 * PAIRS, directs=[(2 * i + 1, 2 * i + 2) for i in range(PAIRS)])
    server = lab.confabd(lab.path("n1"), store=database.url("ours"))
    rows = ROWS[0 if lab.quick else 1]
    parts, batches = [], []

    def counted():
        return [server.metric(f"confab_store_{x}_total") for x in ("batches", "batch_operations")]

    def ours():
        before = counted()
        run = lab.generate(Side([server], [server, database]), "confab", "direct", tokens=tokens, pairs=PAIRS,
                           window=WINDOW, messages=rows)
        parts.append([1e6 * spent / run["units"] for spent in run["servers_cpu_s"]])
        after = counted()
        batches.append((after[1] - before[1]) / max(1, after[0] - before[0]))
        return run["cpu_us_per_unit"]

    def bare():
        done = subprocess.run(["taskset", "-c", SERVER_CORE, str(lab.bin / "floor_insert"), database.socket, "floor",
                               str(CONNECTIONS), str(rows), database.pid], stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)["cpu_us_per_row"]

    rounds = Rounds(lab, {"ours": ours, "floor": bare})
    confabd_us, database_us = (statistics.median(part) for part in zip(*parts))
    return Line("B8", rounds.ratio("floor", "ours"), 0.6, at_least=True).say(
        ours=us(rounds.cost("ours")), floor=us(rounds.cost("floor")), confabd=us(confabd_us), mariadb=us(database_us),
        batch=f"{statistics.median(batches):.0f}").keep(
        cost_us={**rounds.all_costs(), "confabd": confabd_us, "mariadb": database_us}).noise(rounds)


def b14(lab):
    """Node B has a core of its own; node A, Redis, MariaDB and the generator share the other."""
    cluster = Cluster(lab, 2, MEMBERS, [range(1, MEMBERS + 1)], cores=(GENERATOR_CORE, SERVER_CORE, GENERATOR_CORE))
    away, here = cluster.nodes
    load = {"tokens": cluster.tokens, "members": MEMBERS, "burst": BURST, "rounds": BURSTS[0 if lab.quick else 1]}

    def side(author_on):
        return lambda: lab.generate(Side([author_on, here], [here]), "confab", "fanout", **load)["cpu_us_per_unit"]

    rounds = Rounds(lab, {"away": side(away), "local": side(here)})
    listener, before = Listener(cluster.redis), away.metric("confab_store_batches_total")
    side(away)()
    batches = away.metric("confab_store_batches_total") - before
    published = listener.count()
    listener.close()
    line = Line("B14", rounds.ratio("away", "local"), 1.3)
    line.say(away=us(rounds.cost("away")), local=us(rounds.cost("local")))
    line.also("publishes/batch", published / max(1, batches), 1.05).say(batches=f"{batches:.0f}")
    return line.keep(members=MEMBERS, burst=BURST, cost_us=rounds.all_costs(), publishes=published,
                     batches=batches).noise(rounds)


CLUSTER_BARS = {"B8": b8, "B14": b14}
