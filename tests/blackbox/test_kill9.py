"""kill -9 under load: what was answered is there exactly once, what was not settles on retry."""

import asyncio
import random

import pytest

from lib.client import Client, on_loop
from lib.fixtures import PASSWORD
from lib.load import Load, Sender

ROUNDS = 20
PAIRS = 6


def all_entries(client, cid):
    entries, after = [], 0
    while True:
        page = client.call("history", cid=cid, after=after, limit=200)
        entries += page["messages"]
        if not page["more"]:
            assert [m["seq"] for m in entries] == list(range(1, page["head"] + 1)), "seqs are dense"
            return entries
        after = entries[-1]["seq"]


def connect(server, transport, token):
    client = Client(server.port, transport)
    client.login_as(client.call("resume", token=token))
    return client


@pytest.mark.slow
def test_kill_9_at_a_random_moment_under_load_twenty_times(confabd):
    rng = random.Random(9)
    server = confabd()
    people = []
    for number in range(2 * PAIRS):
        with_ = Client(server.port, "tcp")
        people.append(with_.login_as(with_.call("register", user=f"user{number}", password=PASSWORD)))
        with_.close()
    epoch = people[0]["epoch"]
    counts = []
    answered_before = {}    # cmid -> (cid, seq, ts): of all rounds
    bodies = {}
    for round_ in range(ROUNDS):
        senders = []
        for pair in range(PAIRS):
            for side in (0, 1):
                me, you = people[2 * pair + side], people[2 * pair + 1 - side]
                senders.append(Sender(server.port, ("tcp", "ws")[(pair + side + round_) % 2], me["token"], "@" + you["user"],
                                      window=32, prefix=f"r{round_:02}-{pair}{side}"))
        load = Load(senders).start()
        load.wait_answered(rng.randrange(1, 1500))
        server.kill9()
        load.wait()
        unanswered = {s: s.unanswered for s in senders}
        count = sum(len(u) for u in unanswered.values())
        counts.append(count)
        assert count >= 100, f"only {count} sends were unanswered at the kill: that is no load"
        assert not any(s.errors for s in senders), [s.errors[:1] for s in senders if s.errors]
        answered = {cmid: answer for s in senders for cmid, answer in s.answered.items()}
        server.start()

        # What was answered is there, at its place, exactly once; of the rest at most one each.
        rows = server.sql("SELECT cid, seq, CAST(cmid AS TEXT), ts FROM msg WHERE CAST(cmid AS TEXT) LIKE ?", f"r{round_:02}-%")
        stored = {cmid: (cid, seq, ts) for cid, seq, cmid, ts in rows}
        assert len(stored) == len(rows), "a cmid is there twice"
        for cmid, place in answered.items():
            assert stored.get(cmid) == place, f"round {round_}: {cmid} was answered {place}, and is {stored.get(cmid)}"

        # The unanswered settle when they are sent again with the same cmid.
        async def settle():
            await asyncio.gather(*(s.resend(server.port, cmids) for s, cmids in unanswered.items()))

        on_loop(settle(), timeout=60)
        for sender, cmids in unanswered.items():
            assert not sender.errors, sender.errors[:3]
            for cmid in cmids:
                place = sender.answered[cmid]
                assert stored.get(cmid, place) == place, f"{cmid} was stored at {stored.get(cmid)} and answered {place}"
            answered_before.update(sender.answered)
            bodies.update(sender.sent)
            assert sender.dups == sum(cmid in stored for cmid in cmids)

    print(f"{len(bodies)} sends in {ROUNDS} rounds; {min(counts)} to {max(counts)} unanswered at the kill")

    # Now all of it, by SQL and through the protocol.
    for cid, low, high, rows, places in server.sql(
            "SELECT cid, min(seq), max(seq), count(*), count(DISTINCT seq) FROM msg GROUP BY cid"):
        assert (low, high, high) == (1, rows, places), f"conversation {cid} is not dense"
    assert server.sql("SELECT count(*) FROM msg") == [(len(bodies),)]
    assert server.sql("PRAGMA integrity_check") == [("ok",)]
    found = {}
    for pair in range(PAIRS):
        logs = []
        for side, transport in ((0, "tcp"), (1, "ws")):
            client = connect(server, transport, people[2 * pair + side]["token"])
            assert client.epoch == epoch, "a crash is not another life of the store"
            cid = client.call("sync", backlog=0)["conversations"][0]["cid"]
            logs.append(all_entries(client, cid))
            client.close()
        assert logs[0] == logs[1], "both sides see the same"
        for entry in logs[0]:
            assert entry["cmid"] not in found
            found[entry["cmid"]] = entry["cid"], entry["seq"], entry["ts"]
            assert entry["body"] == bodies[entry["cmid"]]
    assert found == answered_before
    assert len(found) == len(bodies) > ROUNDS * 100


@pytest.mark.slow
def test_listeners_lose_nothing_over_a_kill(confabd, transport):
    """Synced readers with cursors, killed server, resume: every entry once, in order."""
    rng = random.Random(10)
    server = confabd()
    people = []
    for number in range(6):
        client = Client(server.port, transport)
        people.append(client.login_as(client.call("register", user=f"user{number}", password=PASSWORD)))
        client.close()
    cursors = [dict() for _ in people]
    entries = [dict() for _ in people]
    skipped = [[] for _ in people]
    for round_ in range(4):
        readers = []
        for me, mine in zip(people, cursors):
            client = Client(server.port, transport)
            client.call("resume", token=me["token"], sync={
                "epoch": me["epoch"], "backlog": 500, "cursors": {str(c): n for c, n in mine.items()}})
            readers.append(client)
        senders = [Sender(server.port, transport, people[i]["token"], f"@user{i ^ 1}", window=8, prefix=f"r{round_}-{i}")
                   for i in range(6)]
        load = Load(senders).start()
        load.wait_answered(rng.randrange(100, 600))
        server.kill9()
        load.wait()
        for i, client in enumerate(readers):
            client.wait_closed()
            assert not client.violations, client.violations[0]
            for entry in client.taken("message"):
                assert (entry["cid"], entry["seq"]) not in entries[i]
                entries[i][entry["cid"], entry["seq"]] = entry
            skipped[i] += client.taken("gap")
            cursors[i].update({cid: due - 1 for cid, due in client.contract.stream.next.items()})
        server.start()
    for i, me in enumerate(people):
        client = Client(server.port, transport)
        result = client.call("resume", token=me["token"], sync={
            "epoch": me["epoch"], "backlog": 500, "cursors": {str(c): n for c, n in cursors[i].items()}})
        assert not result["reset"], "no reader was shown what is not there any more"
        (view,) = result["conversations"]
        client.until_head(view["cid"], view["head"])
        for entry in client.taken("message"):
            entries[i][entry["cid"], entry["seq"]] = entry
        skipped[i] += client.taken("gap")
        log = all_entries(client, view["cid"])
        missed = [m["seq"] for m in log if (m["cid"], m["seq"]) not in entries[i]
                  and not any(g["from"] <= m["seq"] <= g["to"] for g in skipped[i])]
        for entry in log:
            assert entries[i].get((entry["cid"], entry["seq"]), entry) == entry, "what was shown is what is stored"
        assert not missed, "entries were neither shown nor announced as a gap"
        client.close()
