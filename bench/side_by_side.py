# SPDX-License-Identifier: MIT
"""B4: confabd, the floor, Redis and the peers on the same fan-outs, in turns, and the memory of their connections."""
import time

import peers
from lab import Failed, Line, Rounds, us

LARGE, SMALL, BURST = 1000, 100, 32
# At which fan-out, and how many times cheaper than it confabd must be.
BARS = {("mosquitto QoS 1", LARGE): 30, ("NATS", LARGE): 2, ("ngIRCd", LARGE): 2,
        ("ejabberd MUC, archive", SMALL): 80, ("Prosody MUC, archive", SMALL): 120}
OURS = "confabd"


class Bystander(peers.Peer):
    """One of ours or Redis, as the peers are described."""

    def __init__(self, name, style, bursts):
        self.name, self.style, self.bursts = name, style, bursts


class Contest:
    """All servers, up at the same time, and for each its generators, connected all the while."""

    def __init__(self, lab):
        self.lab, self.servers, self.crowds, self.missing = lab, {}, {}, {}
        self.data, self.tokens = lab.store("contest", LARGE + SMALL,
                                           [range(1, LARGE + 1), range(LARGE + 1, LARGE + SMALL + 1)])
        self.split_tokens()
        self.peers = [Bystander(OURS, "confab", (60, 600)), Bystander("floor L", "floor", (60, 600)),
                      Bystander("Redis", "redis", (30, 300))]
        there, self.missing = peers.installed()
        self.peers += there

    def split_tokens(self):
        with open(self.tokens) as f:
            lines = f.readlines()
        self.tokens_of = {LARGE: self.tokens, SMALL: self.tokens + ".small"}
        with open(self.tokens_of[SMALL], "w") as f:
            f.writelines(lines[LARGE:])

    def server(self, peer, members):
        """The floor has one group only, all its connections: it runs once for each size."""
        key = (peer.name, members) if peer.style == "floor" else peer.name
        if key not in self.servers:
            start = {"confab": lambda: self.lab.confabd(self.data, idle_ms=600000),
                     "floor": lambda: self.lab.floor("fan"), "redis": self.lab.redis}
            self.servers[key] = start.get(peer.style, lambda: self.lab.peer(peer))()
        return self.servers[key]

    def group(self, peer, members):
        if peer.style == "confab":
            return "1" if members == LARGE else "2"
        return "large" if members == LARGE else "small"

    def options(self, peer, members):
        return {"members": members, "burst": BURST, "group": self.group(peer, members),
                "at_once": peer.at_once, "tokens": self.tokens_of[members] if peer.style == "confab" else None}

    def sizes(self, peer):
        return [SMALL] if peer.small_only else [LARGE, SMALL]

    def connect(self):
        for peer in self.peers[:]:
            try:
                for members in self.sizes(peer):
                    crowd = self.lab.crowd(self.server(peer, members), peer.style, **self.options(peer, members))
                    self.crowds[peer.name, members] = crowd
            except Failed as why:
                self.missing[peer.name] = str(why)
                self.peers.remove(peer)

    def sides(self):
        factor = 1 if self.lab.quick else 3

        def side(crowd, count):
            return lambda: max(1e-4, crowd.run(count)["cpu_us_per_unit"])

        return {(peer.name, members): side(self.crowds[peer.name, members],
                                           factor * max(1, peer.bursts[0 if members == LARGE else 1]))
                for peer in self.peers for members in self.sizes(peer)}

    def memory(self, steps):
        """{name: [[connections, bytes of Private_Dirty of the server], ...]}, everybody in one group; a program that is
        there twice is measured once, and the floor, which keeps nothing, not at all."""
        found, programs = {}, set()
        for peer in self.peers:
            if peer.style == "floor" or peer.program in programs - {None}:
                continue
            programs.add(peer.program)
            server = {"confab": lambda: self.lab.confabd(self.data, idle_ms=600000), "redis": self.lab.redis}.get(
                peer.style, lambda peer=peer: self.lab.peer(peer))()
            people = self.lab.crowd(server, peer.style, "idle", **self.options(peer, LARGE))
            points = [[0, server.private_dirty()]]
            for count in steps:
                people.tell(f"open {count}")
                time.sleep(1)
                points.append([count, server.private_dirty()])
            found[peer.name.split(" QoS")[0]] = points
            self.lab.stop(people)
            self.lab.stop(server)
        return found


def b4(lab):
    contest = Contest(lab)
    contest.connect()
    rounds = Rounds(lab, contest.sides(), wanted=3 if lab.quick else 5, least=3, limit_s=60 if lab.quick else 300)
    for program in reversed(lab.running[:]):
        lab.stop(program)
    reached = {key: rounds.ratio(key, (OURS, key[1])) for key in rounds.sides if key[0] != OURS}
    shares = {key: tuple(x / bar for x in reached[key]) for key, bar in BARS.items() if key in reached}
    line = Line("B4", min(shares.values(), default=(0, 0, 0)), 1.0, at_least=True)
    line.complete = len(shares) == len(BARS)
    for members in (LARGE, SMALL):
        line.say(**{f"ours_{members}": us(rounds.cost((OURS, members)))})
        for key, ratio in reached.items():
            if key[1] == members and key[0] != "floor L":
                bar = f"{'>=' if ratio[0] >= BARS[key] else '<'}{BARS[key]}" if key in BARS else ""
                line.say(**{f"{key[0].replace(', ', '+').replace(' ', '_')}_{members}": f"{ratio[0]:.1f}x{bar}"})
    for name, why in contest.missing.items():
        line.say(**{name.replace(" ", "_"): f"missing({why})"})
    memory = contest.memory((100, 250, 500) if lab.quick else (100, 250, 500, 1000))
    return line.keep(cost_us={str(members): {name: rounds.cost((name, size)) for name, size in rounds.sides
                                             if size == members} for members in (LARGE, SMALL)},
                     memory=memory, missing=contest.missing).noise(rounds)
