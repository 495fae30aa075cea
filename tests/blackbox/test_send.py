"""send, and the message notification."""

import json
import tempfile
import threading
import time

import pytest
from hypothesis import HealthCheck, configuration, given, settings
from hypothesis import strategies as st

from lib.fixtures import PASSWORD
from lib.server import dumps

NO_CID = 9007199254740990
configuration.set_hypothesis_home_dir(tempfile.gettempdir() + "/hypothesis")


@pytest.fixture
def pair(user):
    return user("alice"), user("bob")


def test_first_message(pair):
    alice, bob = pair
    sent = alice.send("@" + bob.name, "hi", cmid="c-1")
    assert sent["seq"] == 1 and sent["cmid"] == "c-1" and "dup" not in sent
    assert abs(sent["ts"] - time.time() * 1000) < 5000
    for client, peer in ((alice, bob), (bob, alice)):
        added = client.expect("conversation", change="added")
        assert (added["cid"], added["kind"], added["peer"], added["next"]) == (sent["cid"], "direct", peer.name, 1)
        assert (added["role"], added["min_seq"]) == ("member", 1)
        assert client.message() == {"cid": sent["cid"], "seq": 1, "from": alice.name, "to": "@" + bob.name,
                                    "ts": sent["ts"], "kind": "text", "body": "hi", "cmid": "c-1"}


def test_both_sides_get_the_same_bytes(pair, again):
    alice, bob = pair
    twin = again(alice)
    alice.send("@" + bob.name, "same ünï", cmid="c", kind="x-note", data={"a": [1, 2.50, "x"]})
    texts = {client.expect_text("message")[1] for client in (alice, bob, twin)}
    assert len(texts) == 1
    bob.send("@" + alice.name, "back")
    got = [client.message() for client in (alice, bob, twin)]
    assert got[0] == got[1] == got[2] and got[0]["to"] == "@" + alice.name and got[0]["from"] == bob.name


def test_title_is_the_display_name_of_the_other(user):
    alice, bob = user("alice", display="Alice 🎈"), user("bob", display="Боб")
    alice.send("@" + bob.name, "x")
    assert alice.expect("conversation")["title"] == "Боб"
    assert bob.expect("conversation")["title"] == "Alice 🎈"


def test_targets(pair):
    alice, bob = pair
    cid = alice.send("@" + bob.name, "by name")["cid"]
    assert alice.send("@" + bob.name.upper(), "by name in capitals")["cid"] == cid
    assert alice.send(cid, "by number")["cid"] == cid
    assert bob.send("@" + alice.name, "from the other side")["cid"] == cid
    assert [m["seq"] for m in bob.messages(4)] == [1, 2, 3, 4]


def test_targets_that_are_not_there(pair, user):
    alice, bob = pair
    theirs = bob.send("@" + user("carol").name, "between others")["cid"]
    for to in ("@no-such-user", "#no-such-group", NO_CID, theirs):
        alice.fails("not_found", "send", to=to, body="x")
    for to in ("", "@", "#", bob.name, "@" + "x" * 33, "@a b", "@ünï", "*", -1, 1.5, True, [], {}, ["@" + bob.name]):
        assert alice.fails("invalid_params", "send", to=to, body="x")["param"] == "to"
    alice.fails(("invalid_params", "not_found"), "send", to=0, body="x")
    alice.fails(("invalid_params", "not_found", "forbidden"), "send", to="@" + alice.name, body="to myself")
    assert alice.fails("invalid_params", "send", body="x")["param"] == "to"
    for to in ("@all", "@deleted", "@here"):
        alice.fails("not_found", "send", to=to, body="x")


def test_body(pair):
    alice, bob = pair
    to = "@" + bob.name
    assert alice.fails("invalid_params", "send", to=to)["param"] == "body"
    assert alice.fails("invalid_params", "send", to=to, body="")["param"] == "body"
    for body in (5, True, [], {}, ["x"]):
        assert alice.fails("invalid_params", "send", to=to, body=body)["param"] == "body"
    assert alice.fails("invalid_params", "send", to=to, body="nul\u0000")["param"] == "body"
    assert alice.fails("too_large", "send", to=to, body="x" * 16385)["max"] == 16384
    assert alice.fails("too_large", "send", to=to, body="é" * 8193)["max"] == 16384
    for body in ("x" * 16384, "é" * 8192, "🎈" * 4096, " ", "\n"):
        seq = alice.send(to, body)["seq"]
        assert bob.message(seq=seq)["body"] == body
    seq = alice.send(to, "", data={})["seq"]
    got = bob.message(seq=seq)
    assert got.get("body", "") == "" and got["data"] == {}
    assert seq == 6, "what was refused took no place"


def test_kinds(pair):
    alice, bob = pair
    for kind in ("text", "x-a", "x-" + "z" * 30, "x-7-up"):
        alice.send("@" + bob.name, "x", kind=kind)
        assert bob.message()["kind"] == kind
    for kind in ("", "edit", "delete", "create", "join", "leave", "set", "Text", "x-" + "z" * 31, "x-A", "x-a b", "x-ü", "y-a",
                 7, True, {}):
        assert alice.fails("invalid_params", "send", to="@" + bob.name, body="x", kind=kind)["param"] == "kind"


def test_data_is_given_back_as_it_was_written(pair):
    alice, bob = pair
    written = ('{ "a" : 1.0 , "b":[ 1e5 , -0 ,0.10, 12345678901234567890 ],\t"c":{"d":null,"e":true}, '
               '"uml":"\\u00e9é\\/\\n sp  ace", "a2":"\\ud83d\\ude00" }')
    due = ('{"a":1.0,"b":[1e5,-0,0.10,12345678901234567890],"c":{"d":null,"e":true},'
           '"uml":"\\u00e9é\\/\\n sp  ace","a2":"\\ud83d\\ude00"}')
    alice.asked[500] = ("send", {})
    sent = alice.raw(f'{{"id":500,"method":"send","params":{{"to":"@{bob.name}","body":"b","data":{written}}}}}')["result"]
    for client in (alice, bob):
        text = client.expect_text("message")[1]
        assert '"data":' + due in text
    number = bob.post("history", cid=sent["cid"])
    bob.answer(number)
    assert any('"data":' + due in text for text in bob.frames if f'"id":{number},' in text)


def test_data_limits(pair):
    alice, bob = pair
    to = "@" + bob.name
    for data in ([], "x", 7, True, [{}]):
        assert alice.fails("invalid_params", "send", to=to, body="x", data=data)["param"] == "data"
    fits = {"k": "x" * (16384 - len('{"k":""}'))}
    assert len(dumps(fits)) == 16384
    alice.send(to, "x", data=fits)
    assert bob.message()["data"] == fits
    assert alice.fails("too_large", "send", to=to, body="x", data={"k": fits["k"] + "y"})["max"] == 16384
    alice.send(to, "y" * 16384, data=fits)
    assert bob.message()["data"] == fits


def test_re(pair):
    alice, bob = pair
    to = "@" + bob.name
    first = alice.send(to, "question")["seq"]
    sent = bob.send("@" + alice.name, "answer", re=first)
    assert alice.message(seq=sent["seq"])["re"] == first
    for re in (3, 100, NO_CID):
        alice.fails(("not_found", "invalid_params"), "send", to=to, body="x", re=re)
    for re in (0, -1, 1.5, "1", True, {}):
        alice.fails("invalid_params" if re != 0 else ("invalid_params", "not_found"), "send", to=to, body="x", re=re)


def test_cmid_grammar(pair):
    alice, bob = pair
    for cmid in ("x", "é" * 32, "x" * 64, "0191f3a8-7c1d-7e0b-8a64-3d0c3f7f9a11", " ", '"\\'):
        assert alice.send("@" + bob.name, "x", cmid=cmid)["cmid"] == cmid
        assert bob.message()["cmid"] == cmid
    for cmid in ("", "x" * 65, "é" * 33, 7, True, {}, "nul\u0000"):
        data = alice.fails(("invalid_params",), "send", to="@" + bob.name, body="x", cmid=cmid)
        assert data["param"] == "cmid"


def test_a_repeated_cmid_gives_one_message_and_the_same_answer(pair, again):
    alice, bob = pair
    twin = again(alice)
    content = {"to": "@" + bob.name, "body": "once", "cmid": "c-1", "kind": "x-a", "data": {"b": 1, "a": [2]}}
    first = alice.call("send", content)
    for client in (alice, twin, alice):
        assert client.call("send", content) == {**first, "dup": True}
    assert alice.call("send", {**content, "to": first["cid"]}) == {**first, "dup": True}
    twin.asked[900] = ("send", {})
    spaced = twin.raw(f'{{"id":900,"method":"send","params":{{"to":{first["cid"]},"body":"once","cmid":"c-1","kind":"x-a",'
                      '"data":{ "b" : 1,\n "a" : [ 2 ] }}}')
    if twin.transport == "tcp":
        assert spaced["error"]["data"]["name"] == "parse_error", "a line ends at its end"
        twin.close()
    else:
        assert spaced["result"] == {**first, "dup": True}
    second = alice.send("@" + bob.name, "next")
    assert second["seq"] == first["seq"] + 1
    assert [m["body"] for m in bob.messages(2)] == ["once", "next"]


def test_a_repeated_cmid_with_another_content_is_a_conflict(pair):
    alice, bob = pair
    to = "@" + bob.name
    alice.send(to, "base")
    content = {"to": to, "body": "b", "cmid": "c-1", "data": {"a": 1}, "re": 1}
    first = alice.call("send", content)
    for change in ({"body": "c"}, {"data": {"a": 2}}, {"data": None}, {"kind": "x-a"}, {"re": 2}, {"re": None},
                   {"data": {"a": 1, "b": 2}}, {"body": "B"}):
        alice.fails("conflict", "send", {**content, **change})
    assert alice.call("send", content) == {**first, "dup": True}
    assert alice.call("history", cid=first["cid"])["head"] == first["seq"]


def test_cmids_are_of_a_sender_and_a_conversation(pair, user):
    alice, bob = pair
    carol = user("carol")
    first = alice.send("@" + bob.name, "one", cmid="same")
    assert "dup" not in bob.send("@" + alice.name, "two", cmid="same")
    assert "dup" not in alice.send("@" + carol.name, "three", cmid="same")
    assert alice.send("@" + bob.name, "one", cmid="same")["seq"] == first["seq"]
    without = [alice.send("@" + bob.name, "no cmid")["seq"] for _ in range(2)]
    assert without == [3, 4], "a send without a cmid is not deduplicated"


def test_the_same_cmid_on_three_connections_at_once_gives_one_message(pair, again, server):
    alice, bob = pair
    clients = [alice, again(alice), again(alice)]
    cid = alice.send("@" + bob.name, "first")["cid"]
    for number in range(30):
        cmid = f"race-{number}"
        barrier = threading.Barrier(3)
        answers = []

        def work(client, cmid=cmid):
            barrier.wait()
            answers.append(client.send("@" + bob.name, "once", cmid=cmid))

        threads = [threading.Thread(target=work, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({(a["cid"], a["seq"], a["ts"]) for a in answers}) == 1 and len(answers) == 3
        assert sorted(a.get("dup", False) for a in answers) == [False, True, True]
    got = bob.messages(31)
    assert [m["seq"] for m in got] == list(range(1, 32))
    assert [m.get("cmid") for m in got[1:]] == [f"race-{n}" for n in range(30)]
    assert server.sql("SELECT count(*), count(DISTINCT seq), max(seq) FROM msg WHERE cid = ?", cid) == [(31, 31, 31)]


def test_the_same_cmid_at_once_with_different_contents(pair, again):
    alice, bob = pair
    clients = [alice, again(alice), again(alice)]
    for number in range(10):
        ids = [c.post("send", to="@" + bob.name, body=f"from {i}", cmid=f"c{number}") for i, c in enumerate(clients)]
        frames = [c.frame(i) for c, i in zip(clients, ids)]
        assert sorted("result" in f for f in frames) == [False, False, True]
        assert {f["error"]["data"]["name"] for f in frames if "error" in f} == {"conflict"}


def test_crossing_first_messages_make_one_conversation(user):
    for _ in range(10):
        alice, bob = user("alice"), user("bob")
        ids = alice.post("send", to="@" + bob.name, body="a"), bob.post("send", to="@" + alice.name, body="b")
        one, two = alice.answer(ids[0]), bob.answer(ids[1])
        assert one["cid"] == two["cid"] and {one["seq"], two["seq"]} == {1, 2}
        assert [m["seq"] for m in alice.messages(2)] == [m["seq"] for m in bob.messages(2)] == [1, 2]
        assert len(alice.taken("conversation")) == len(bob.taken("conversation")) == 1
        alice.close(), bob.close()


def test_a_thousand_pipelined_sends_are_answered_in_order(pair):
    alice, bob = pair
    requests = [("send", {"to": "@" + bob.name, "body": f"number {i}", "cmid": f"p-{i:04}"}) for i in range(1000)]
    ids = alice.post_all(requests)
    answers = [alice.answer(i, timeout=60) for i in ids]
    assert [a["seq"] for a in answers] == list(range(1, 1001))
    assert [a["cmid"] for a in answers] == [f"p-{i:04}" for i in range(1000)]
    assert alice.order[-1000:] == ids, "they are answered in the order sent"
    for client in (alice, bob):
        client.until_head(answers[0]["cid"], 1000)
        skipped = sum(g["to"] - g["from"] + 1 for g in client.taken("gap"))
        got = client.taken("message")
        assert len(got) + skipped == 1000
        assert all(m["body"] == f"number {m['seq'] - 1}" for m in got)


def test_those_behind_a_failing_one_may_succeed_and_the_order_holds(pair):
    alice, bob = pair
    to = "@" + bob.name
    first = alice.send(to, "base", cmid="c-0")
    requests = []
    for i in range(60):
        requests.append(("send", [{"to": to, "body": f"fine {i}"}, {"to": to, "body": ""}, {"to": to, "body": "x", "cmid": "c-0"},
                                  {"to": to, "body": "x" * 16385}, {"to": to, "body": "x", "re": 10 ** 6},
                                  {"to": to, "body": "x", "kind": "nope"}, {"to": to, "body": "base", "cmid": "c-0"}][i % 7]))
    ids = alice.post_all(requests)
    frames = [alice.frame(i) for i in ids]
    assert alice.order[-60:] == ids
    assert [f["result"]["seq"] for f in frames[0::7]] == list(range(2, 11))
    due = ["invalid_params", "conflict", "too_large", ("invalid_params", "not_found"), "invalid_params"]
    for i, frame in enumerate(frames):
        if 0 < i % 7 < 6:
            assert frame["error"]["data"]["name"] in due[i % 7 - 1], (i, frame)
        elif i % 7 == 6:
            assert frame["result"] == {**first, "dup": True}
    assert [m["seq"] for m in bob.messages(10)] == list(range(1, 11))


def test_an_unsynced_connection_gets_only_answers(pair, again):
    alice, bob = pair
    silent = again(bob, sync=False)
    for i in range(5):
        alice.send("@" + bob.name, f"m{i}")
    bob.messages(5)
    sent = silent.send("@" + alice.name, "from the silent one")
    assert bob.message()["seq"] == sent["seq"]
    silent.call("ping")
    assert not silent.notes
    assert silent.call("sync")["conversations"][0]["head"] == 6
    assert [m["seq"] for m in silent.messages(6)] == [1, 2, 3, 4, 5, 6]


def test_two_devices_of_one_user(pair, dial):
    """Each has a session of its own, and both get everything, the own messages included."""
    alice, bob = pair
    second = dial()
    second.login_as(second.call("login", user=alice.name, password=PASSWORD, device="second", sync=True))
    assert second.session != alice.session
    alice.send("@" + bob.name, "from the first", cmid="d1")
    second.send("@" + bob.name, "from the second", cmid="d2")
    bob.send("@" + alice.name, "to both")
    for client in (alice, second, bob):
        got = client.messages(3)
        assert [m["body"] for m in got] == ["from the first", "from the second", "to both"]
        assert [m.get("cmid") for m in got] == ["d1", "d2", None]


def test_accept_contacts_keeps_strangers_from_beginning(pair, user):
    alice, bob = pair
    carol = user("carol")
    alice.send("@" + bob.name, "before")
    bob.call("profile.set", accept="contacts")
    carol.fails("forbidden", "send", to="@" + bob.name, body="from a stranger")
    alice.send("@" + bob.name, "a conversation that exists goes on")
    bob.send("@" + carol.name, "he may begin himself")
    carol.send("@" + bob.name, "and then she may answer")
    bob.call("profile.set", accept="all")
    user("dora").send("@" + bob.name, "open again")


def test_conversations_of_a_user_are_limited(confabd, user):
    server = confabd(config={"limit_conversations": 3})
    alice = user("alice", server=server)
    others = [user(f"peer{i}", server=server) for i in range(5)]
    for other in others[:3]:
        alice.send("@" + other.name, "x")
    assert alice.fails("limit", "send", to="@" + others[3].name, body="x")["max"] == 3
    alice.send("@" + others[0].name, "those that exist go on")
    others[3].send("@" + others[4].name, "x")
    assert len(alice.call("who", scope="all")["users"]) == 6


UGLY = ["é è ü ß", "e\u0301", "שלום עולם", "مرحبا", "日本語テキスト", "🎈👩‍👩‍👧‍👦🏳️‍🌈", "\U0010ffff\U00010000", "\ufffe\uffff\ufdd0",
        '"quoted" \\back\\ /slash/', "\b\f\n\r\t", "\u0001\u001f\u007f\u0080\u009f", "\u2028\u2029", "\ufeff bom", "a" * 5000,
        "\u202ertl\u202c", "null", "{}", '{"jsonrpc":"2.0"}', "<script>&amp;</script>", "%s%n%d", "\\u0041", "\\", '"']


@pytest.mark.parametrize("escaped", [False, True], ids=["raw", "escaped"])
def test_unicode_and_escapes(pair, escaped):
    alice, bob = pair
    for number, body in enumerate(UGLY, 1):
        alice.asked[f"u{number}"] = ("send", {})
        frame = {"id": f"u{number}", "method": "send", "params": {"to": "@" + bob.name, "body": body, "data": {body[:20]: body[:50]}}}
        alice.send_text(json.dumps(frame, ensure_ascii=escaped))
        for client in (alice, bob):
            got = client.message(seq=number)
            assert got["body"] == body and got["data"] == {body[:20]: body[:50]}
    page = bob.call("history", cid=bob.expect("conversation")["cid"])
    assert [m["body"] for m in page["messages"]] == UGLY


def test_escapes_of_every_kind(pair):
    alice, bob = pair
    alice.asked["e"] = ("send", {})
    alice.send_text('{"id":"e","method":"send","params":{"to":"\\u0040' + bob.name + '","body":'
                    '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud834\\udd1e\\uD834\\uDD1E\\u007f"}}')
    assert bob.message()["body"] == '"\\/\b\f\n\r\tAé€𝄞𝄞\x7f'


text = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=60)
values = st.recursive(st.none() | st.booleans() | st.integers(-2 ** 53, 2 ** 53) | st.text(st.characters(
    blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=20), lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(text, inner, max_size=4), max_leaves=12)


def test_any_text_and_data_comes_through(pair):
    alice, bob = pair
    alice.send("@" + bob.name, "x")

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(body=text, data=st.dictionaries(text, values, max_size=5), escaped=st.booleans())
    def run(body, data, escaped):
        number = next(alice.ids)
        alice.asked[number] = ("send", {})
        alice.send_text(json.dumps({"id": number, "method": "send", "params": {"to": "@" + bob.name, "body": body, "data": data}},
                                   ensure_ascii=escaped))
        got = bob.message(seq=alice.answer(number)["seq"])
        assert got["body"] == body and got["data"] == data

    run()
