"""PROTOCOL §4, one by one.  Crashes are in test_kill9.py, faults of the disk in tests/fault."""

import threading

from lib.fixtures import PASSWORD
from lib.load import Load, Sender


def register(dial, server, name):
    client = dial(server)
    return client.login_as(client.call("register", user=name, password=PASSWORD)) and client


def test_1_what_was_answered_survives_a_kill(confabd, dial):
    server = confabd()
    alice, bob = register(dial, server, "alice"), register(dial, server, "bob")
    for number in range(5):
        sent = alice.send("@bob", f"m{number}")
        server.restart(hard=True)
        alice = dial(server)
        alice.login_as(alice.call("login", user="alice", password=PASSWORD))
        assert alice.call("history", cid=sent["cid"])["head"] == sent["seq"] == number + 1
    assert bob.wait_closed()


def test_2_a_repeated_send_gives_the_same_answer_for_ever(confabd, dial):
    server = confabd()
    alice = register(dial, server, "alice")
    register(dial, server, "bob")
    content = {"to": "@bob", "body": "once", "cmid": "c1", "data": {"x": 1}}
    first = alice.call("send", content)
    for i in range(200):
        alice.post("send", to="@bob", body=f"other {i}", cmid=f"o{i}")
    assert alice.call("send", content) == {**first, "dup": True}
    for hard in (True, False):
        server.restart(hard=hard)
        alice = dial(server)
        alice.call("login", user="alice", password=PASSWORD)
        assert alice.call("send", content) == {**first, "dup": True}
        alice.fails("conflict", "send", {**content, "body": "twice"})


def test_2_a_duplicate_is_found_before_a_refusal(confabd, dial):
    """Also when the sender has lost the right to send since: the peer is gone for him, the answer stays."""
    server = confabd()
    alice = register(dial, server, "alice")
    bob = register(dial, server, "bob")
    first = alice.send("@bob", "once", cmid="c1")
    bob.call("profile.set", accept="contacts")
    assert alice.send("@bob", "once", cmid="c1") == {**first, "dup": True}


def test_3_everybody_sees_the_same_and_order_follows_answers(user, again):
    alice, bob = user("alice"), user("bob")
    devices = [alice, again(alice), bob, again(bob)]
    cid = alice.send("@" + bob.name, "0")["cid"]
    last = 1
    for i in range(1, 101):
        seq = devices[i % 4].send(cid, str(i))["seq"]
        assert seq == last + 1, "what begins after an answer comes behind it"
        last = seq
    logs = [[(m["seq"], m["body"], m["from"], m["ts"]) for m in d.messages(101)] for d in devices]
    assert logs[0] == logs[1] == logs[2] == logs[3]
    assert [b for _, b, _, _ in logs[0]] == [str(i) for i in range(101)]


def test_3_with_all_writing_at_once(user, again):
    alice, bob = user("alice"), user("bob")
    devices = [alice, again(alice), bob, again(bob)]
    cid = alice.send("@" + bob.name, "first")["cid"]
    answers = []

    def write(number):
        for i in range(50):
            answers.append((devices[number].send(cid, f"{number}/{i}")["seq"], f"{number}/{i}"))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 200
    due = [(1, "first"), *sorted(answers)]
    assert [seq for seq, _ in due] == list(range(1, 202))
    for device in devices:
        device.until_head(cid, 201)
        assert not device.seen("gap")
        assert [(m["seq"], m["body"]) for m in device.taken("message")] == due


def test_4_live_entries_come_in_order_under_load(user, server, transport):
    """The contract of every client here checks next, +1, +2… and gaps; this gives it something to check."""
    alice, bob, carol = user("alice"), user("bob"), user("carol")
    cid = alice.send("@" + bob.name, "x")["cid"]
    other = carol.send("@" + bob.name, "x")["cid"]
    load = Load([Sender(server.port, transport, c.token, t, window=16, prefix=p, limit=400)
                 for c, t, p in ((alice, cid, "a"), (bob, cid, "b"), (carol, other, "c"))]).start()
    load.wait(60)
    for client in (alice, bob):
        client.until_head(cid, 801)
    for client in (carol, bob):
        client.until_head(other, 401)
    stored = sum(len(s.answered) for s in load.senders)
    assert stored == 1200 and not any(s.errors for s in load.senders)


def test_5_any_cursor_gives_all_that_follows(user, again):
    alice, bob = user("alice"), user("bob")
    ids = alice.post_all([("send", {"to": "@" + bob.name, "body": f"{i}"}) for i in range(1, 31)])
    cid = [alice.answer(i) for i in ids][0]["cid"]
    for cursor in range(31):
        client = again(bob, sync={"epoch": bob.epoch, "cursors": {str(cid): cursor}})
        assert [m["body"] for m in client.messages(30 - cursor)] == [str(i) for i in range(cursor + 1, 31)]
        client.close()


def test_6_what_was_refused_never_appears(user):
    alice, bob = user("alice"), user("bob")
    to = "@" + bob.name
    alice.send(to, "first", cmid="c1")
    for params in ({"body": "refused", "cmid": "c1"}, {"body": "refused" * 3000}, {"body": "refused", "kind": "nope"},
                   {"body": "refused", "re": 77}, {"body": "refused", "data": []}):
        frame = alice.frame(alice.post("send", {"to": to, **params}))
        assert "error" in frame and not frame["error"]["data"].get("retry")
    alice.send(to, "last")
    assert [m["body"] for m in bob.messages(2)] == ["first", "last"]
    assert bob.call("history", cid=to.replace(bob.name, alice.name))["head"] == 2


def test_7_seen_by_anyone_is_there_for_everyone(user, again):
    alice, bob = user("alice"), user("bob")
    cid = alice.send("@" + bob.name, "first")["cid"]
    for i in range(30):
        number = alice.post("send", to=cid, body=f"m{i}")
        seq = bob.message(body=f"m{i}")["seq"]
        fresh = again(alice, sync={"epoch": alice.epoch, "cursors": {str(cid): seq - 1}})
        assert fresh.message(seq=seq)["body"] == f"m{i}"
        assert fresh.call("history", cid=cid, limit=1)["head"] >= seq
        fresh.close()
        assert alice.answer(number)["seq"] == seq


def test_9_presence_and_signals_never_decide(user):
    """A send to one who is offline is stored like any other, and signals to him vanish."""
    alice, bob = user("alice"), user("bob")
    cid = alice.send("@" + bob.name, "x")["cid"]
    bob.close()
    for i in range(20):
        alice.call("signal", to=cid, kind="typing")
        assert alice.send(cid, f"m{i}")["seq"] == i + 2
