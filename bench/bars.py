# SPDX-License-Identifier: MIT
"""The bars: what each compares, on which sides, and the limit that it must keep. README.md has them in a table."""
import json
import os
import shutil
import socket
import sqlite3
import statistics
import subprocess
import time

import people
from lab import Crowd, Failed, Line, Rounds, us

SATURATED_US = 20000   # an ack p99 that says: the queue grows
PAIRS, WINDOW = 500, 16


def least(cost):
    return max(1e-4, cost)


# --- Fan-out ---

def fan_out(lab, bar, members, burst, bursts, limit, redis_limit, floor_must=None):
    data, tokens = lab.store("fan", members, [range(1, members + 1)])
    programs = {"ours": (lab.confabd(data), "confab", tokens), "floor": (lab.floor("fan"), "floor", None),
                "redis": (lab.redis(), "redis", None)}

    def side(program, style, tokens):
        count = bursts if lab.quick else 3 * bursts
        return lambda: least(lab.generate(program, style, "fanout", tokens=tokens, members=members, burst=burst,
                                          rounds=count)["cpu_us_per_unit"])

    rounds = Rounds(lab, {name: side(*of) for name, of in programs.items()})
    line = Line(bar, rounds.ratio("ours", "floor"), limit)
    line.say(ours=us(rounds.cost("ours")), floor=us(rounds.cost("floor")), redis=us(rounds.cost("redis")))
    line.also("ours/redis", rounds.ratio("ours", "redis")[0], redis_limit)
    if floor_must is not None:
        line.also("floor/redis", rounds.ratio("floor", "redis")[0], floor_must)
    return line.keep(members=members, burst=burst, cost_us=rounds.all_costs()).noise(rounds)


def b1(lab):
    return fan_out(lab, "B1", 1000, 32, 200, 1.5, 0.5, 0.45)


def b2(lab):
    return fan_out(lab, "B2", 100, 32, 2000, 2.2, 0.9, 0.75)


def b3(lab):
    return fan_out(lab, "B3", 1000, 1, 300, 1.3, 1.0)


def b5(lab):
    """B1 over WebSocket, to the same over TCP; and over TLS, to L over TLS with frames as long as ours."""
    members, bursts = 1000, 100 if lab.quick else 400
    cert, key = lab.certificate()
    data, tokens = lab.store("fan", members, [range(1, members + 1)])
    ours, floor = lab.confabd(data, tls_cert=cert, tls_key=key), lab.floor("fan_tls", cert, key)
    load = {"members": members, "burst": 32}
    frame = round(lab.generate(ours, "confab", "fanout", tokens=tokens, rounds=2, **load)["bytes_per_delivery"])

    def side(carrier):
        return lambda: lab.generate(ours, "confab", "fanout", tokens=tokens, carrier=carrier, rounds=bursts,
                                    **load)["cpu_us_per_unit"]

    rounds = Rounds(lab, {"tcp": side("tcp"), "ws": side("ws"), "tls": side("tls"),
                          "floor": lambda: lab.generate(floor, "floor", "fanout", carrier="tls", frame=frame,
                                                        rounds=bursts, **load)["cpu_us_per_unit"]})
    line = Line("B5", rounds.ratio("ws", "tcp"), 1.1).say(tcp=us(rounds.cost("tcp")), ws=us(rounds.cost("ws")))
    line.also("tls/floor", rounds.ratio("tls", "floor")[0], 1.15)
    line.say(tls=us(rounds.cost("tls")), floor_tls=us(rounds.cost("floor")), frame=f"{frame}B")
    return line.keep(members=members, cost_us=rounds.all_costs()).noise(rounds)


def io_uring(lab):
    """No bar: L with the sends of a turn as one batch of io_uring, to L. What confabd could gain is less than that."""
    if not (lab.bin / "floor_fan_uring").exists():
        raise Failed("floor_fan_uring is missing: apt-get install liburing-dev, cmake --preset release, build again")
    programs = {"epoll": lab.floor("fan"), "ring": lab.floor("fan_uring")}
    work = {(100, 32): 1000, (1000, 32): 100, (100, 1): 1500, (1000, 1): 150}

    def side(program, members, burst, bursts):
        return lambda: least(lab.generate(program, "floor", "fanout", members=members, burst=burst,
                                          rounds=bursts)["cpu_us_per_unit"])

    rounds = {load: Rounds(lab, {name: side(program, *load, bursts if lab.quick else 3 * bursts)
                                 for name, program in programs.items()}) for load, bursts in work.items()}
    line = Line("io_uring", rounds[100, 32].ratio("ring", "epoll"), 0.85)
    line.also("at_1000", rounds[1000, 32].ratio("ring", "epoll")[0], 0.85)
    for members, burst in work:
        of = rounds[members, burst]
        least_ratio, most = of.ratio("ring", "epoll")[1:]
        line.say(**{f"{members}x{burst}": f"{us(of.cost('ring'))}/{us(of.cost('epoll'))}"
                                          f"={of.ratio('ring', 'epoll')[0]:.2f}[{least_ratio:.2f}..{most:.2f}]"})
    return line.noise(rounds[100, 32])


# --- Direct messages ---

def pair_sides(lab, field, data=None, tokens=None, **load):
    if data is None:
        data, tokens = lab.store("pairs", 2 * PAIRS)
    ours, floor = lab.confabd(data), lab.floor("direct", lab.path("floor.db"))
    load = {"pairs": PAIRS, "window": WINDOW, **load}
    return ours, floor, {
        "ours": lambda: lab.generate(ours, "confab", "direct", tokens=tokens, **load)[field],
        "floor": lambda: lab.generate(floor, "floor", "direct", **load)[field],
    }


def b6(lab):
    _, _, sides = pair_sides(lab, "cpu_us_per_unit", messages=80000 if lab.quick else 250000)
    rounds = Rounds(lab, sides)
    return Line("B6", rounds.ratio("ours", "floor"), 3.5).say(
        ours=us(rounds.cost("ours")), floor=us(rounds.cost("floor"))).keep(cost_us=rounds.all_costs()).noise(rounds)


def b7(lab):
    data, tokens = lab.store("ingest", 16, [range(1, 17)])
    server, rows = lab.confabd(data), 100000 if lab.quick else 300000
    batches = [64]

    def ours():
        before = [server.metric(f"confab_store_{x}_total") for x in ("batches", "batch_operations")]
        cost = lab.generate(server, "confab", "ingest", tokens=tokens, senders=16, window=64,
                            messages=rows)["cpu_us_per_unit"]
        after = [server.metric(f"confab_store_{x}_total") for x in ("batches", "batch_operations")]
        batches.append(max(1, round((after[1] - before[1]) / max(1, after[0] - before[0]))))
        return 1e6 / cost

    def bare(kind):
        done = subprocess.run(["taskset", "-c", "0", str(lab.bin / "floor_rows"), lab.path("rows.db"), str(batches[-1]),
                               str(rows), kind], stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)["rows_per_cpu_s"]

    rounds = Rounds(lab, {"ours": ours, "floor": lambda: bare("plain"), "schema": lambda: bare("confab")})
    return Line("B7", rounds.ratio("ours", "floor"), 0.3, at_least=True).say(
        ours=f"{rounds.cost('ours'):.0f}/cpu-s", floor=f"{rounds.cost('floor'):.0f}/cpu-s",
        our_schema_bare=f"{rounds.cost('schema'):.0f}/cpu-s", batch=f"{statistics.median(batches[1:]):.0f}").keep(
        rows_per_cpu_s=rounds.all_costs()).noise(rounds)


# --- Growth ---

SPREAD = 200   # conversations of a writer: 500 x 200 are 100,000


def spread_directs():
    """Writer w, user 2w + 1, has conversations with the readers w, w + 1, ... of 500; the reader r is user 2r + 2."""
    return [(2 * w + 1, 2 * ((w + turn) % PAIRS) + 2) for w in range(PAIRS) for turn in range(SPREAD)]


def spread_store(lab, name, messages):
    return lab.store(name, 2 * PAIRS, directs=spread_directs(), messages=messages)


def b10(lab):
    sizes = (100000, 1000000) if lab.quick else (100000, 1000000, 10000000)
    few, many = sizes[-2:]
    load = {"messages": 60000 if lab.quick else 250000, "pairs": PAIRS, "window": WINDOW}
    floor = lab.floor("direct", lab.path("floor.db"))
    sides = {"floor": lambda: lab.generate(floor, "floor", "direct", **load)["cpu_us_per_unit"]}
    for size in sizes:
        data, tokens = spread_store(lab, f"stored{size}", size)
        server = lab.confabd(data)
        sides[size] = lambda server=server, tokens=tokens: lab.generate(
            server, "confab", "direct", tokens=tokens, spread=SPREAD, **load)["cpu_us_per_unit"]
    rounds = Rounds(lab, sides)
    line = Line("B10", rounds.ratio(many, few), 1.5)
    line.also("ours/floor", rounds.ratio(many, "floor")[0], 5)
    line.say(**{f"at_{size}": us(rounds.cost(size)) for size in sizes}, floor=us(rounds.cost("floor")))
    return line.keep(cost_us={str(size): rounds.cost(size) for size in sizes},
                     floor_us=rounds.cost("floor")).noise(rounds)


def b17(lab):
    stored = 1000000
    data, tokens = spread_store(lab, "million", stored)
    messages = 80000 if lab.quick else 250000
    load = {"pairs": PAIRS, "window": WINDOW, "messages": messages}
    ours, floor = lab.confabd(data), lab.floor("direct", lab.path("floor.db"))

    def side(program, style, **more):
        def run():
            before = program.bytes_written()
            lab.generate(program, style, "direct", **load, **more)
            return (program.bytes_written() - before) / (messages * 1.1 + PAIRS)
        return run

    rounds = Rounds(lab, {"ours": side(ours, "confab", tokens=tokens, spread=SPREAD), "floor": side(floor, "floor")})
    costs = sorted(cost["ours"] for cost in rounds.costs)
    return Line("B17", (statistics.median(costs), costs[0], costs[-1]), 16384).say(
        unit="B", floor=f"{rounds.cost('floor'):.0f}B", store="1M_messages_in_100,000_conversations").keep(
        written_bytes=rounds.all_costs()).noise(rounds)


# --- Memory of connections ---

def crowd_groups(first, count):
    """`count` users, from number first + 1 on, in count / 10 groups of 100, 10 each."""
    groups = count // 10
    members = [[] for _ in range(groups)]
    for u in range(count):
        for k in range(10):
            members[(u + 97 * k) % groups].append(first + 1 + u)
    return members


FEW, MANY = 1000, 10000
CROWD = crowd_groups(0, FEW), crowd_groups(FEW, MANY)
CROWD_SAYS = 10     # messages to each group


def b9_world(lab, store):
    """A server with the users and groups, the file of the users' tokens, and the groups' cids."""
    if store == "sqlite":
        data, tokens = lab.store("idle", FEW + MANY, [*CROWD[0], *CROWD[1]])
        return lab.confabd(data, idle_ms=600000), tokens, list(range(1, (FEW + MANY) // 10 + 1))
    tokens = lab.path("idle.tokens")
    server = lab.confabd(lab.path("idle"), store="memory:", idle_ms=600000, password_mem_kib=8, password_passes=1)
    known = people.register(server, tokens, FEW + MANY)
    return server, tokens, people.group(server, known, [*CROWD[0], *CROWD[1]])


def b9_once(lab, carrier, store, listen=True):
    """How many bytes the last 10,000 connections and the messages to their groups took, and how many before these. Not
    listen: the messages alone, each from a member who is there for no longer."""
    server, tokens, cids = b9_world(lab, store)
    few, many = (list(zip(groups, at)) for groups, at in zip(CROWD, (cids[:FEW // 10], cids[FEW // 10:])))
    crowd = Crowd(lab, server, "idle", "confab", tokens=tokens, carrier=carrier)

    def talk(groups, expected):
        for at in range(0, len(groups), 10):
            some = groups[at:at + 10]
            expected += len(some) * 100 * CROWD_SAYS
            crowd.tell(*(f"say {members[0] - 1} {cid} {CROWD_SAYS}" for members, cid in some), f"wait {expected}")
        time.sleep(5)
        return expected

    crowd.tell(f"open {FEW}")
    expected = talk(few, 0)
    before = server.private_dirty()
    if listen:
        crowd.tell(f"open {FEW + MANY}")
        time.sleep(5)
    silent = server.private_dirty()
    if listen:
        talk(many, expected)
    else:
        with open(tokens) as f:
            people.say(server, [line.split()[1] for line in f], many, CROWD_SAYS, "x" * 200)
        time.sleep(5)
    after = server.private_dirty()
    lab.stop(crowd)
    lab.stop(server)
    return (after - before) / MANY, (silent - before) / MANY


def b9(lab):
    """The store that keeps messages in memory has them in the figure; so what they take without anybody there is taken
    off. SQLite keeps its pages, up to a bound; what is beside it is our own."""
    runs = 1 if lab.quick else 3
    said = statistics.median(b9_once(lab, "tcp", "memory", listen=False)[0] for _ in range(runs))
    found = {carrier: [b9_once(lab, carrier, "memory") for _ in range(runs)] for carrier in ("tcp", "ws")}
    slopes = {carrier: sorted(all_of_it - said for all_of_it, _ in found[carrier]) for carrier in found}
    disk = b9_once(lab, "tcp", "sqlite")
    line = Line("B9", (statistics.median(slopes["tcp"]), slopes["tcp"][0], slopes["tcp"][-1]), 768).say(unit="B")
    line.also("ws", statistics.median(slopes["ws"]), 768, "B")
    line.say(before_the_messages=f"{statistics.median(silent for _, silent in found['tcp']):.0f}B",
             messages=f"{said:.0f}B", sqlite=f"{disk[0]:.0f}B", sqlite_before_the_messages=f"{disk[1]:.0f}B", runs=runs)
    return line.keep(bytes={carrier: statistics.median(slopes[carrier]) for carrier in slopes},
                     sqlite_bytes=disk[0], messages_bytes=said)


# --- A large group ---

class Joiners:
    """Users on a connection each, without sync, who join open groups and leave them again."""

    def __init__(self, server, names):
        self.server, self.streams = server, []
        for token in names:
            stream = socket.create_connection(("127.0.0.1", int(server.port))).makefile("rwb")
            self.ask(stream, [("resume", {"token": token})])
            self.streams.append(stream)

    @staticmethod
    def ask(stream, requests):
        for method, params in requests:
            stream.write(json.dumps({"id": 1, "method": method, "params": params}).encode() + b"\n")
        stream.flush()
        for _ in requests:
            answer = json.loads(stream.readline())
            if "result" not in answer:
                raise Failed(f"the server said {answer}")

    def all(self, method, groups):
        """Every user to his groups; the server's CPU for one request."""
        before = self.server.cpu_s()
        for stream, cids in zip(self.streams, groups):
            self.ask(stream, [(method, {"cid": cid}) for cid in cids])
        return (self.server.cpu_s() - before) * 1e6 / sum(map(len, groups))

    def join_and_leave(self, groups, times):
        """The mean CPU of a join."""
        costs = []
        for _ in range(times):
            costs.append(self.all("group.join", groups))
            self.all("group.leave", groups)
        return least(statistics.fmean(costs))


def b11(lab):
    """3,000 joins a side and round: 100 users join 10 groups each, three times (and leave, which is not counted)."""
    members, online, joiners, large, each, times = 10000, 2000, 100, 10, 10, 3
    crowds = [range(1, members + 1)] * large
    small = [range(1, 11)] * (joiners * each)
    data, tokens = lab.store("large", members + joiners, crowds + small)
    with sqlite3.connect(os.path.join(data, "confab.db")) as db:
        db.execute("UPDATE conv SET open = 1")
    db.close()
    ours, floor = lab.confabd(data), lab.floor("fan")
    small_data, small_tokens = lab.store("b1", 1000, [range(1, 1001)])
    ours_b1 = lab.confabd(small_data)
    bursts = 60 if lab.quick else 200
    with open(tokens) as f:
        people = Joiners(ours, [line.split()[1] for line in f][members:])
    to_large = [range(1, each + 1)] * joiners
    to_small = [range(large + 1 + i * each, large + 1 + (i + 1) * each) for i in range(joiners)]

    def fan(program, style, tokens, count):
        return lambda: least(lab.generate(program, style, "fanout", tokens=tokens, members=count, burst=32,
                                          rounds=bursts * online // count)["cpu_us_per_unit"])

    rounds = Rounds(lab, {
        "ours": fan(ours, "confab", tokens, online), "floor": fan(floor, "floor", None, online),
        "ours_b1": fan(ours_b1, "confab", small_tokens, 1000), "floor_b1": fan(floor, "floor", None, 1000),
        "join_large": lambda: people.join_and_leave(to_large, times),
        "join_small": lambda: people.join_and_leave(to_small, times)})
    line = Line("B11", rounds.ratio("ours", "floor"), 1.2 * rounds.ratio("ours_b1", "floor_b1")[0])
    line.say(ours=us(rounds.cost("ours")), floor=us(rounds.cost("floor")), B1=f"{rounds.ratio('ours_b1', 'floor_b1')[0]:.2f}")
    line.also("join", rounds.ratio("join_large", "join_small")[0], 1.3)
    line.say(join_large=us(rounds.cost("join_large")), join_small=us(rounds.cost("join_small")))
    return line.keep(cost_us=rounds.all_costs()).noise(rounds)


# --- Coming back, waiting, starting ---

STORM, STAYING, STORM_RATE = 10000, 100, 1000   # who is cut off; pairs whose writers stay; their messages a second


def in_twenty_groups(people):
    """Groups of a hundred, twenty times each hundred."""
    return [range(g * 100 + 1, g * 100 + 101) for g in range(people // 100) for _ in range(20)]


def storms(lab):
    """Answers to those who stay while 10,000 come back, the readers of their messages among them, and before that."""
    people = STORM + STAYING
    data, tokens = lab.store("storm", people, in_twenty_groups(people))
    server = lab.confabd(data)
    last = {}

    def storm():
        last.update(lab.confab_bench(server, "resume-storm", tokens, pairs=STAYING, connections=people - 2 * STAYING,
                                     rate=STORM_RATE, warmup=2 if lab.quick else 5, seconds=1, opening=STORM))
        return last["ack_us"]["p99"]

    # The bounds of times by wall clock are the widest of all: three rounds, whatever the machine does.
    rounds = Rounds(lab, {"storm": storm, "calm": lambda: last["ack_before_us"]["p99"]}, wanted=3 if lab.quick else 5,
                    least=3, limit_s=20 if lab.quick else 90)
    lab.stop(server)
    return rounds, last


def b12(lab):
    people = 2000
    data, tokens = lab.store("resume", people, in_twenty_groups(people))
    shutil.copytree(data, lab.path("resume-floor"))
    ours, floor = lab.confabd(data), lab.floor("resume", os.path.join(lab.scratch, "resume-floor", "confab.db"))
    load = {"users": people, "window": 32, "resumes": 4000 if lab.quick else 10000}
    rounds = Rounds(lab, {
        "ours": lambda: lab.generate(ours, "confab", "resume", tokens=tokens, **load)["cpu_us_per_unit"],
        "floor": lambda: lab.generate(floor, "floor", "resume", **load)["cpu_us_per_unit"]})
    for server in (ours, floor):
        lab.stop(server)
    line = Line("B12", rounds.ratio("ours", "floor"), 3.0).say(ours=us(rounds.cost("ours")), floor=us(rounds.cost("floor")))
    times, last = storms(lab)
    line.also("storm", times.ratio("storm", "calm")[0], 2.0)
    line.say(ack_p99=f"{times.cost('storm') / 1000:.1f}ms", without=f"{times.cost('calm') / 1000:.1f}ms",
             back_within=f"{last['wall_s']:.1f}s")
    if times.clean < times.least:
        line.say(storm_NOISY=f"{times.noise:.2f}cores")
    return line.keep(cost_us=rounds.all_costs(), storm={"p99_us": times.all_costs(), "last": last}).noise(rounds)


def latencies(lab, program, style, rate, tokens=None, seconds=1):
    return lab.generate(program, style, "direct", tokens=tokens, pairs=PAIRS, window=WINDOW,
                        messages=int(rate * seconds), rate=rate)


def saturation(lab, server, tokens):
    """The highest of a series of open-loop rates, each a fifth above the one before, that it keeps up with."""
    rate, held, failures = 4000, 4000, 0
    while failures < 2:
        if latencies(lab, server, "confab", rate, tokens)["p99_us"] < SATURATED_US:
            held, failures = rate, 0
        else:
            failures += 1
        rate = rate * 6 // 5
    return held


def b13(lab):
    data, tokens = lab.store("pairs", 2 * PAIRS)
    server = lab.confabd(data)
    highest = saturation(lab, server, tokens)
    rate = highest // 2
    lab.stop(server)
    ours, floor, sides = pair_sides(lab, "p99_us", data=data, tokens=tokens, messages=rate * (2 if lab.quick else 5),
                                    rate=rate)
    rounds = Rounds(lab, sides)
    points = ("p50_us", "p90_us", "p99_us", "p999_us")
    by_load = {"confabd": [], "floor D": []}
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        for name, program, style, names in (("confabd", ours, "confab", tokens), ("floor D", floor, "floor", None)):
            run = latencies(lab, program, style, int(highest * share), names, seconds=2)
            by_load[name].append({"rate": int(highest * share), **{point: run[point] for point in points}})
    return Line("B13", rounds.ratio("ours", "floor"), 2.0).say(
        ours=f"{rounds.cost('ours'):.0f}us", floor=f"{rounds.cost('floor'):.0f}us", rate=f"{rate}/s").keep(
        saturation=highest, latency=by_load).noise(rounds)


def b15(lab):
    empty, _ = lab.store("start", 0)
    million, _ = lab.store("million", 2 * PAIRS, directs=[(2 * i + 1, 2 * i + 2) for i in range(PAIRS)], messages=1000000)

    def start(make, *args):
        program = make(*args)
        lab.stop(program)
        return program.start_s * 1000

    rounds = Rounds(lab, {"floor": lambda: start(lab.redis), "ours": lambda: start(lab.confabd, empty),
                          "million": lambda: start(lab.confabd, million)}, wanted=9, limit_s=30)
    idle = lab.confabd(empty)
    time.sleep(1)
    line = Line("B15", rounds.ratio("ours", "floor"), 10).say(
        ours=f"{rounds.cost('ours'):.1f}ms", floor=f"{rounds.cost('floor'):.1f}ms", million=f"{rounds.cost('million'):.1f}ms")
    line.also("million/floor", rounds.ratio("million", "floor")[0], 20)
    return line.also("idle", idle.private_dirty() / 1048576, 4, "MiB").noise(rounds)


def b16(lab):
    data, tokens = lab.store("one", 1000, [range(1, 1001)])
    shutil.copytree(data, lab.path("two"))
    one = lab.confabd(data)
    two = lab.confabd(os.path.join(lab.scratch, "two"), workers=2, cores="0,1")
    fan = {"members": 1000, "burst": 32, "rounds": 100 if lab.quick else 300}
    pairs = {"pairs": PAIRS, "window": WINDOW, "messages": 80000 if lab.quick else 250000}

    def side(program, scenario, load):
        return lambda: lab.generate(program, "confab", scenario, tokens=tokens, **load)["cpu_us_per_unit"]

    rounds = Rounds(lab, {"fan1": side(one, "fanout", fan), "fan2": side(two, "fanout", fan),
                          "pairs1": side(one, "direct", pairs), "pairs2": side(two, "direct", pairs)})
    worst = max(rounds.ratio("fan2", "fan1"), rounds.ratio("pairs2", "pairs1"))
    line = Line("B16", worst, 1.3)
    for name, unit in (("fan", "B1"), ("pairs", "B6")):
        line.say(**{unit: f"{rounds.ratio(name + '2', name + '1')[0]:.2f}"
                          f"({rounds.cost(name + '2'):.3f}us/{rounds.cost(name + '1'):.3f}us)"})
    return line.keep(cost_us=rounds.all_costs()).noise(rounds)


BARS = {"B1": b1, "B2": b2, "B3": b3, "B5": b5, "B6": b6, "B7": b7, "B9": b9, "B10": b10, "B11": b11, "B12": b12,
        "B13": b13, "B15": b15, "B16": b16, "B17": b17}
