"""delete: who may, what is left of the message anywhere, in memory, on the wire and on disk."""

import threading

import pytest

from lib.fixtures import PASSWORD
from test_edits import any_store, entries, talk  # noqa: F401


def without_words(entry):
    return "body" not in entry and "data" not in entry


def test_a_deleted_message_has_no_words(user, again, any_store):  # noqa: F811
    alice, bob = user("alice", server=any_store), user("bob", server=any_store)
    phone = again(alice)
    cid = alice.send("@" + bob.name, "one", data={"a": 1}, cmid="m1")["cid"]
    alice.call("edit", cid=cid, seq=1, body="uno", cmid="e1")
    bob.send(cid, "re", re=1)
    gone = alice.call("delete", cid=cid, seq=1)
    assert (gone["cid"], gone["seq"]) == (cid, 4) and "dup" not in gone
    for client in (alice, bob, phone):
        assert client.message(seq=4) == {"cid": cid, "seq": 4, "from": alice.name, "to": "@" + bob.name, "ts": gone["ts"],
                                         "kind": "delete", "re": 1}
    for client in (alice, bob):
        log = entries(client, cid)
        assert without_words(log[1]) and log[1]["deleted"] == 4 and log[1]["cmid"] == "m1" and log[1]["edited"] == 2
        assert without_words(log[2]) and log[2]["deleted"] == 4 and log[2]["kind"] == "edit"
        assert log[3]["body"] == "re" and "deleted" not in log[3] and "deleted" not in log[4]
    assert phone.call("delete", cid="@" + bob.name, seq=1) == {**gone, "dup": True}
    assert alice.send("@" + bob.name, "other", cmid="m1") == {"cid": cid, "seq": 1, "ts": log[1]["ts"], "cmid": "m1", "dup": True}
    assert alice.call("edit", cid=cid, seq=1, body="uno", cmid="e1")["dup"]
    view = again(bob, sync=False).call("sync", preview=True)["conversations"][0]
    assert view["last"]["kind"] == "delete" and without_words(view["last"]) and view["unread"] == 4


def test_errors(talk, user):  # noqa: F811
    alice, bob, cid = talk
    eve = user("eve")
    bob.fails("forbidden", "delete", cid=cid, seq=1)
    eve.fails("not_found", "delete", cid=cid, seq=1)
    eve.fails("not_found", "delete", cid="@" + bob.name, seq=1)
    assert alice.fails("not_found", "delete", cid=cid, seq=99)["param"] == "seq"
    assert alice.fails("invalid_params", "delete", cid="@" + alice.name, seq=1)["param"] == "cid"
    for params, param in (({"seq": 1}, "cid"), ({"cid": cid}, "seq"), ({"cid": cid, "seq": 0}, "seq"),
                          ({"cid": cid, "seq": "1"}, "seq")):
        assert alice.fails("invalid_params", "delete", params)["param"] == param
    change = alice.call("delete", cid=cid, seq=1)["seq"]
    assert alice.fails("not_found", "delete", cid=cid, seq=change)["param"] == "seq"
    bob.fails("forbidden", "delete", cid=cid, seq=1)
    assert len(entries(bob, cid)) == 3


def test_a_block_does_not_keep_ones_words(talk):  # noqa: F811
    alice, bob, cid = talk
    bob.call("contact.block", user=alice.name)
    alice.fails("blocked", "send", to=cid, body="x")
    assert alice.call("delete", cid=cid, seq=1)["seq"] == 3
    alice.fails("blocked", "send", to=cid, body="x")
    assert without_words(entries(bob, cid)[1])


def test_with_a_deleted_account_nothing_is_written(talk):  # noqa: F811
    alice, bob, cid = talk
    alice.call("account.delete", password=PASSWORD)
    bob.fails("not_found", "delete", cid=cid, seq=2)
    assert entries(bob, cid)[2]["body"] == "two"


def test_in_a_group_admins_delete_too(user):
    olga, mia, tom = user("olga"), user("mia"), user("tom")
    cid = olga.call("group.create", title="Ops", members=[mia.name, tom.name])["cid"]
    said = [mia.send(cid, f"m{i}")["seq"] for i in range(3)]
    tom.fails("forbidden", "delete", cid=cid, seq=said[0])
    gone = olga.call("delete", cid=cid, seq=said[0])
    assert mia.message(kind="delete") == {"cid": cid, "seq": gone["seq"], "from": olga.name, "to": cid, "ts": gone["ts"],
                                          "kind": "delete", "re": said[0]}
    assert mia.call("delete", cid=cid, seq=said[0]) == {**gone, "dup": True}
    tom.fails("forbidden", "delete", cid=cid, seq=said[0])
    assert olga.fails("not_found", "delete", cid=cid, seq=1)["param"] == "seq"
    olga.call("group.mute", cid=cid, user=mia.name, seconds=600)
    mia.call("delete", cid=cid, seq=said[1])
    mia.fails("forbidden", "send", to=cid, body="still muted")
    mia.call("group.leave", cid=cid)
    mia.fails("not_member", "delete", cid=cid, seq=said[2])
    assert entries(tom, cid)[said[2]]["body"] == "m2"


def test_who_comes_back_in_the_middle_of_it(talk, again):  # noqa: F811
    alice, bob, cid = talk
    alice.call("edit", cid=cid, seq=1, body="uno")
    bob.close()
    back = again(bob, sync={"epoch": bob.epoch, "cursors": {str(cid): 0}})
    assert [m.get("body") for m in back.messages(3, cid=cid)] == ["uno", "two", "uno"]
    alice.call("delete", cid=cid, seq=1)
    assert back.message(cid=cid)["re"] == 1
    # What the shards remember of pages shows nothing to those who sync after the answer.
    last = again(bob, sync={"epoch": bob.epoch, "cursors": {str(cid): 0}})
    stream = last.messages(4, cid=cid)
    assert [m.get("body") for m in stream] == [None, "two", None, None]
    assert [m.get("deleted") for m in stream] == [4, None, 4, None]


def test_after_the_answer_nobody_sees_it(user, dial):
    """Readers that page and sync all the time beside deletions: whoever begins after an answer sees no words."""
    alice, bob = user("alice"), user("bob")
    count = 60
    for i in range(count):
        cid = alice.send("@" + bob.name, f"words-{i + 1}")["cid"]
    gone, wrong, stop = set(), [], threading.Event()

    def judge(before, messages):
        wrong.extend(m["seq"] for m in messages if m["kind"] == "text" and m["seq"] in before and "body" in m)

    def page():
        client = dial(alice.server)
        client.login_as(client.call("resume", token=bob.token))
        while not stop.is_set():
            before = set(gone)
            judge(before, client.call("history", cid=cid, after=0, limit=count)["messages"])

    def sync():
        while not stop.is_set():
            client = dial(alice.server)
            before = set(gone)
            client.login_as(client.call("resume", token=bob.token, sync={
                "epoch": bob.epoch, "cursors": {str(cid): 0}, "backlog": 500}))
            judge(before, client.messages(count, cid=cid))
            client.close()

    readers = [threading.Thread(target=work) for work in (page, sync, sync)]
    for reader in readers:
        reader.start()
    try:
        for seq in range(1, count + 1):
            alice.call("delete", cid=cid, seq=seq)
            gone.add(seq)
    finally:
        stop.set()
        for reader in readers:
            reader.join(60)
    assert not wrong
    assert all(without_words(m) for s, m in entries(bob, cid, after=0, limit=200).items() if s <= count)


def test_deleted_stays_deleted_after_kill_9(confabd, user, again):
    server = confabd()
    alice, bob = user("alice", server=server), user("bob", server=server)
    cid = alice.send("@" + bob.name, "never-to-be-seen", data={"k": "hidden-data"})["cid"]
    alice.call("edit", cid=cid, seq=1, body="edited-words")
    large = alice.send(cid, "l" * 9000 + "deep-inside" + "l" * 5000)["seq"]
    kept = alice.send(cid, "kept-words")["seq"]
    gone = alice.call("delete", cid=cid, seq=1)
    alice.call("delete", cid=cid, seq=large)
    server.kill9()
    server.start()
    bob = again(bob)
    log = entries(bob, cid)
    assert without_words(log[1]) and without_words(log[2]) and without_words(log[large]) and log[kept]["body"] == "kept-words"
    alice = again(alice)
    assert alice.call("delete", cid=cid, seq=1) == {**gone, "dup": True}
    assert alice.send(cid, "goes on")["seq"] == kept + 3
    server.stop()
    found = b"".join(path.read_bytes() for path in server.data.rglob("*") if path.is_file())
    assert b"kept-words" in found
    for words in (b"never-to-be-seen", b"hidden-data", b"edited-words", b"deep-inside"):
        assert words not in found, words


def test_metrics_tell_of_emptied_logs(server):
    text = server.http("/metrics")[2]
    for result in ("done", "held"):
        assert f'confab_store_erasures_total{{result="{result}"}}' in text
