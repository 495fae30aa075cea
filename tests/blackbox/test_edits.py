"""edit: who may, what becomes of the message, in its order, once."""

import pytest

from lib.fixtures import new_name
from lib.groups import make
from lib.stores import STORES
from test_slow import Reader


@pytest.fixture
def talk(user):
    """alice and bob with the entries 1 (alice's, with data) and 2 (bob's), which both have seen."""
    alice, bob = user("alice"), user("bob")
    cid = alice.send("@" + bob.name, "one", data={"a": 1}, cmid="m1")["cid"]
    bob.send(cid, "two", re=1)
    for client in (alice, bob):
        client.messages(2)
    return alice, bob, cid


@pytest.fixture(params=list(STORES))
def any_store(request, confabd, server):
    """A server on each store."""
    return confabd(args=("--store", "memory:")) if request.param == "memory" else server


def entries(client, cid, **page):
    return {m["seq"]: m for m in client.call("history", cid=cid, **page)["messages"]}


def test_an_edited_message_reads_as_edited(user, again, any_store):
    alice, bob = user("alice", server=any_store), user("bob", server=any_store)
    phone = again(alice)
    cid = alice.send("@" + bob.name, "one", data={"a": 1}, cmid="m1")["cid"]
    bob.send(cid, "two")
    answer = alice.call("edit", cid=cid, seq=1, body="uno", cmid="e1")
    assert (answer["cid"], answer["seq"], answer["cmid"]) == (cid, 3, "e1") and "dup" not in answer
    for client in (alice, bob, phone):
        change = client.message(seq=3)
        assert change == {"cid": cid, "seq": 3, "from": alice.name, "to": "@" + bob.name, "ts": answer["ts"], "kind": "edit",
                          "re": 1, "body": "uno", "cmid": "e1"}
    for client in (alice, bob):
        log = entries(client, cid)
        assert (log[1]["body"], log[1]["data"], log[1]["edited"], log[1]["kind"]) == ("uno", {"a": 1}, 3, "text")
        assert "edited" not in log[2] and "edited" not in log[3] and "data" not in log[3]
    again_ = bob.call("edit", cid="@" + alice.name, seq=2, body="dos", data={"b": [1, 2]})
    assert again_["seq"] == 4 and "cmid" not in again_
    alice.call("edit", cid=cid, seq=1, body="", cmid="e2")
    alice.call("edit", cid=cid, seq=1, body="eins", data={"c": 3})
    log = entries(bob, cid)
    assert (log[1]["body"], log[1]["data"], log[1]["edited"]) == ("eins", {"c": 3}, 6)
    assert (log[2]["body"], log[2]["data"], log[2]["edited"]) == ("dos", {"b": [1, 2]}, 4)
    assert (log[3]["body"], log[5]["body"]) == ("uno", ""), "an edit stays what it was"


def test_errors(talk, user):
    alice, bob, cid = talk
    eve = user("eve")
    bob.fails("forbidden", "edit", cid=cid, seq=1, body="x")
    eve.fails("not_found", "edit", cid=cid, seq=1, body="x")
    eve.fails("not_found", "edit", cid="@" + bob.name, seq=1, body="x")
    alice.fails("not_found", "edit", cid="@no-such-user", seq=1, body="x")
    alice.fails("not_found", "edit", cid="#no-such-group", seq=1, body="x")
    assert alice.fails("not_found", "edit", cid=cid, seq=99, body="x")["param"] == "seq"
    assert alice.fails("invalid_params", "edit", cid="@" + alice.name, seq=1, body="x")["param"] == "cid"
    for params, param in (({"seq": 1, "body": "x"}, "cid"), ({"cid": cid, "body": "x"}, "seq"), ({"cid": cid, "seq": 1}, "body"),
                          ({"cid": cid, "seq": 0, "body": "x"}, "seq"), ({"cid": cid, "seq": 1, "body": 7}, "body"),
                          ({"cid": cid, "seq": 1, "body": "x", "data": []}, "data"),
                          ({"cid": cid, "seq": 1, "body": "x", "cmid": ""}, "cmid")):
        assert alice.fails("invalid_params", "edit", params)["param"] == param
    assert bob.fails("invalid_params", "edit", cid=cid, seq=2, body="")["param"] == "body"
    assert alice.fails("too_large", "edit", cid=cid, seq=1, body="x" * 16385)["max"] == 16384
    assert alice.fails("too_large", "edit", cid=cid, seq=1, body="x", data={"k": "x" * 16384})["max"] == 16384
    change = alice.call("edit", cid=cid, seq=1, body="uno")["seq"]
    assert alice.fails("not_found", "edit", cid=cid, seq=change, body="x")["param"] == "seq"
    alice.call("delete", cid=cid, seq=1)
    assert alice.fails("not_found", "edit", cid=cid, seq=1, body="x")["param"] == "seq"
    assert entries(bob, cid)[2]["body"] == "two"
    assert len(entries(bob, cid)) == 4


def test_who_is_blocked_edits_no_more(talk):
    alice, bob, cid = talk
    done = alice.call("edit", cid=cid, seq=1, body="uno", cmid="e1")
    bob.call("contact.block", user=alice.name)
    alice.fails("blocked", "edit", cid=cid, seq=1, body="due", cmid="e2")
    assert alice.call("edit", cid=cid, seq=1, body="uno", cmid="e1") == {**done, "dup": True}
    bob.call("contact.unblock", user=alice.name)
    assert alice.call("edit", cid=cid, seq=1, body="due", cmid="e2")["seq"] == done["seq"] + 1


def test_the_same_cmid_is_one_edit(talk, again):
    alice, bob, cid = talk
    first = alice.call("edit", cid=cid, seq=1, body="uno", cmid="e1")
    assert again(alice).call("edit", cid="@" + bob.name, seq=1, body="uno", cmid="e1") == {**first, "dup": True}
    for params in ({"body": "due"}, {"body": "uno", "data": {}}):
        alice.fails("conflict", "edit", cid=cid, seq=1, cmid="e1", **params)
    alice.fails("conflict", "edit", cid=cid, seq=1, body="one", data={"a": 1}, cmid="m1")
    alice.fails("conflict", "send", to=cid, body="uno", re=1, cmid="e1")
    assert bob.call("edit", cid=cid, seq=2, body="uno", cmid="e1")["seq"] == 4, "an id is its sender's"
    assert alice.send(cid, "other words", cmid="m1") == {"cid": cid, "seq": 1, "ts": entries(bob, cid)[1]["ts"], "cmid": "m1",
                                                         "dup": True}


def test_mixed_ones_are_answered_in_the_order_sent(user, any_store):
    alice, bob = user("alice", server=any_store), user("bob", server=any_store)
    cid = alice.send("@" + bob.name, "first")["cid"]
    requests = []
    for i in range(40):
        seq = 2 + 4 * i
        requests += [("send", {"to": cid, "body": f"m{i}"}), ("edit", {"cid": "@" + bob.name, "seq": seq, "body": f"e{i}"}),
                     ("edit", {"cid": cid, "seq": 10 ** 6, "body": "refused by the store"}),
                     ("edit", {"cid": cid, "body": "refused before"}),
                     ("delete", {"cid": cid, "seq": seq}), ("edit", {"cid": cid, "seq": seq, "body": "too late"}),
                     ("send", {"to": "@" + bob.name, "body": f"n{i}"})]
    numbers = alice.post_all(requests)
    frames = [alice.frame(n) for n in numbers]
    assert [n for n in alice.order if n in set(numbers)] == numbers
    names = [f["error"]["data"]["name"] if "error" in f else f["result"]["seq"] for f in frames]
    due = []
    for i in range(40):
        seq = 2 + 4 * i
        due += [seq, seq + 1, "not_found", "invalid_params", seq + 2, "not_found", seq + 3]
    assert names == due
    log = entries(bob, cid, after=0, limit=200)
    for i in range(40):
        seq = 2 + 4 * i
        assert "body" not in log[seq] and "body" not in log[seq + 1] and log[seq + 3]["body"] == f"n{i}"
    bob.until_head(cid, 161)
    assert [m["seq"] for m in bob.taken("message")] == list(range(1, 162))


def test_who_was_away_gets_the_newest_words(talk, again):
    alice, bob, cid = talk
    bob.close()
    alice.call("edit", cid=cid, seq=1, body="uno")
    alice.send(cid, "three")
    alice.call("edit", cid=cid, seq=4, body="tre")
    back = again(bob, sync=False)
    view = back.call("sync", preview=True, epoch=bob.epoch, cursors={str(cid): 0})["conversations"][0]
    assert (view["head"], view["next"]) == (5, 1)
    assert (view["last"]["kind"], view["last"]["body"], view["last"]["re"]) == ("edit", "tre", 4)
    stream = back.messages(5, cid=cid)
    assert [(m["body"], m.get("edited")) for m in stream] == [("uno", 3), ("two", None), ("uno", None), ("tre", 5), ("tre", None)]


def test_in_a_group(user):
    olga, mia = user("olga"), user("mia")
    cid = olga.call("group.create", title="Ops", members=[mia.name])["cid"]
    mia.expect("conversation", change="added")
    said = mia.send(cid, "teh")["seq"]
    olga.fails("forbidden", "edit", cid=cid, seq=said, body="the")
    assert olga.fails("not_found", "edit", cid=cid, seq=1, body="x")["param"] == "seq"
    assert mia.call("edit", cid=cid, seq=said, body="the")["seq"] == said + 1
    assert olga.message(kind="edit")["re"] == said
    olga.call("group.mute", cid=cid, user=mia.name, seconds=600)
    mia.fails("forbidden", "edit", cid=cid, seq=said, body="thee")
    mia.call("group.leave", cid=cid)
    mia.fails("not_member", "edit", cid=cid, seq=said, body="thee")
    assert entries(mia, cid)[said]["body"] == "the"
    user(new_name("eve")).fails("not_found", "edit", cid=cid, seq=said, body="x")


# --- Who is no member any more ---

def test_who_left_is_fed_what_was_said_by_then(user, again, any_store):
    """What he missed up to his leaving comes by his cursor; an edit after it is not for him, wherever its words are put."""
    olga, mia, max_ = (user(name, server=any_store) for name in ("olga", "mia", "max"))
    cid = make(olga, mia, max_)
    old = olga.send(cid, "teh", data={"a": 1})["seq"]
    new = olga.send(cid, "adn")["seq"]
    then = olga.call("edit", cid=cid, seq=old, body="the")["seq"]
    mia.close()
    end = olga.call("group.remove", cid=cid, user=mia.name)["seq"]
    for _ in range(3):
        late = olga.call("edit", cid=cid, seq=old, body="secret", data={"b": 2})["seq"]
        last = olga.call("edit", cid=cid, seq=new, body="and secret")["seq"]
    for name, page in (("feed", None), ("history", {"after": 0})):
        back = again(mia, sync=False)
        if page is None:
            back.call("sync", epoch=back.epoch, cursors={str(cid): 0})
            log = {m["seq"]: m for m in back.messages(end)}
        else:
            log = entries(back, cid, **page)
        assert list(log) == list(range(1, end + 1)), name
        assert (log[old]["body"], log[old]["data"], log[old]["edited"]) == ("the", {"a": 1}, then), name
        assert log[new]["body"] == "adn" and "edited" not in log[new], name
        assert "secret" not in str(back.frames), name
    # Who is a member still gets the newest words, before and after him.
    back = again(max_, sync=False)
    back.call("sync", epoch=back.epoch, cursors={str(cid): 0})
    log = {m["seq"]: m for m in back.messages(last)}
    assert (log[old]["body"], log[old]["data"], log[old]["edited"]) == ("secret", {"b": 2}, late)
    assert (log[new]["body"], log[new]["edited"]) == ("and secret", last)


def test_who_is_removed_while_he_reads_slowly_is_fed_what_was_said_by_then(user, transport, any_store):
    """His pages are read after an edit that was made when he was no member any more."""
    olga, mia, max_ = (user(name, server=any_store) for name in ("olga", "mia", "max"))
    cid = make(olga, mia, max_)
    readers = [Reader(transport, any_store, token) for token in (mia.token, max_.token)]
    body = "x" * 16000
    for number in olga.post_all([("send", {"to": cid, "body": body}) for _ in range(300)]):
        olga.answer(number)
    said = olga.send(cid, "teh")["seq"]
    then = olga.call("edit", cid=cid, seq=said, body="the")["seq"]
    end = olga.call("group.remove", cid=cid, user=mia.name)["seq"]
    last = olga.call("edit", cid=cid, seq=said, body="secret")["seq"]
    for reader, head in zip(readers, (end, last)):
        reader.read_to(cid, head)
        log = {m["seq"]: m for m in reader.entries}
        assert list(log) == list(range(1, head + 1))
        assert log[then]["body"] == "the" and log[said]["body"] in (("teh", "the") if head == end else ("teh", "the", "secret"))
    assert "secret" not in str(readers[0].entries)
    assert readers[1].entries[-1]["body"] == "secret"
