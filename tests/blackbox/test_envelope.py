"""PROTOCOL §1 and §2: frames and the JSON-RPC envelope."""

import json

import pytest

from lib.client import RpcError
from lib.contract import ERRORS
from lib.fixtures import PASSWORD, new_name

NEED_SESSION = """sync logout session.list session.revoke password.change profile.set profile.get user.find send
    history mark signal who presence.get group.create group.join group.leave group.invite group.remove
    group.unban group.role group.mute group.set group.info group.members group.list group.dismiss
    edit delete receipts account.delete contact.add contact.accept contact.reject contact.remove contact.block
    contact.unblock contact.list presence.set presence.watch""".split()


def error_of(frame, name):
    assert "error" in frame, frame
    assert frame["error"]["data"]["name"] == name, frame
    assert frame["error"]["code"] == ERRORS[name]
    return frame


# --- Ids ---

@pytest.mark.parametrize("number", [
    "0", "1", "-7", "9007199254740991", '""', '"a"', '"ünï"', '"\\u0061\\n\\u00e9\\ud83d\\ude00"', '"' + "x" * 64 + '"'])
def test_id_comes_back(dial, number):
    client = dial(check=False)
    frame = client.raw(f'{{"id":{number},"method":"ping"}}')
    assert frame["jsonrpc"] == "2.0"
    assert frame["id"] == json.loads(number) and type(frame["id"]) is type(json.loads(number))
    assert "result" in frame


@pytest.mark.parametrize("number", [
    "1.0", "1.5", "1e2", "true", "false", "[]", "[1]", "{}", '"' + "x" * 65 + '"', '"' + "é" * 33 + '"'])
def test_id_of_another_type_is_invalid(dial, number):
    client = dial(check=False)
    frame = error_of(client.raw(f'{{"id":{number},"method":"ping"}}'), "invalid_request")
    assert frame["id"] is None
    client.call("ping")


def test_request_without_id_is_carried_out_and_not_answered(user):
    alice, bob = user("alice"), user("bob")
    for text in ('{"method":"ping"}', '{"method":"no.such"}', '{"method":"send","params":{}}',
                 '{"method":"send","params":[]}', '{"method":"send","params":{"to":"@no-such-user","body":"x"}}'):
        alice.send_text(text)
    alice.notify("send", to="@" + bob.name, body="without id")
    assert bob.message()["body"] == "without id"
    assert alice.message()["body"] == "without id"
    answered = len(alice.order)
    alice.call("ping")
    assert len(alice.order) == answered + 1 and not alice.taken("error")


# --- jsonrpc, method, params ---

def test_jsonrpc_may_be_left_out(dial):
    client = dial(check=False)
    assert client.raw('{"id":1,"method":"ping"}')["jsonrpc"] == "2.0"
    assert client.raw('{"jsonrpc":"2.0","id":2,"method":"ping"}')["jsonrpc"] == "2.0"


@pytest.mark.parametrize("version", ['"1.0"', '"2"', "2.0", "2", "true", '""', '"2.0 "', "{}"])
def test_another_jsonrpc_is_invalid(dial, version):
    client = dial(check=False)
    error_of(client.raw(f'{{"jsonrpc":{version},"id":3,"method":"ping"}}'), "invalid_request")
    client.call("ping")


@pytest.mark.parametrize("text", ['{"id":1}', '{"id":1,"method":7}', '{"id":1,"method":null}', '{"id":1,"method":["ping"]}',
                                  '{}', '{"id":1,"result":{}}'])
def test_what_is_no_request_is_invalid(dial, text):
    client = dial(check=False)
    error_of(client.raw(text), "invalid_request")
    client.call("ping")


@pytest.mark.parametrize("text", ["[]", '[{"id":1,"method":"ping"}]', '[{"id":1,"method":"ping"},{"id":2,"method":"ping"}]',
                                  "7", '"ping"', "null", "true"])
def test_batch_and_bare_values_are_invalid(dial, text):
    client = dial(check=False)
    client.call("ping")
    frame = error_of(client.raw(text), "invalid_request")
    assert frame["id"] is None
    client.call("ping")


@pytest.mark.parametrize("params", ["[]", "[1]"])
def test_params_as_array_is_invalid_params(dial, params):
    client = dial(check=False)
    frame = error_of(client.raw(f'{{"id":9,"method":"hello","params":{params}}}'), "invalid_params")
    assert frame["id"] == 9


@pytest.mark.parametrize("text", ['{"id":1,"method":"ping"}', '{"id":1,"method":"ping","params":{}}',
                                  '{"id":1,"method":"ping","params":null}'])
def test_params_may_be_left_out(dial, text):
    assert "ts" in dial(check=False).raw(text)["result"]


def test_unknown_members_are_ignored(user):
    alice, bob = user("alice"), user("bob")
    frame = json.dumps({"x": [1, {"y": None}], "id": "a", "method": "send", "extra": "}",
                        "params": {"to": "@" + bob.name, "body": "b", "from": "eve", "seq": 99, "nested": {"body": "no"}}})
    alice.asked["a"] = ("send", {})
    result = alice.raw(frame)["result"]
    got = bob.message()
    assert (got["from"], got["seq"], got["body"]) == (alice.name, result["seq"], "b") and result["seq"] == 1


def test_null_counts_as_left_out(user, dial):
    alice, bob = user("alice", display=None, device=None, sync=True), user("bob")
    sent = alice.call("send", {"to": "@" + bob.name, "body": "x", "cmid": None, "kind": None, "data": None, "re": None})
    assert "cmid" not in sent
    got = bob.message()
    assert got["kind"] == "text" and not {"cmid", "data", "re"} & set(got)
    assert alice.call("history", {"cid": sent["cid"], "before": None, "after": None, "limit": None})["messages"]
    assert alice.fails("invalid_params", "send", {"to": None, "body": "x"})["param"] == "to"
    assert alice.fails("invalid_params", "send", {"to": "@" + bob.name, "body": None})["param"] == "body"
    other = dial()
    assert "total" not in other.call("resume", {"token": alice.token, "sync": None})


def test_of_members_with_the_same_name_the_last_counts(dial):
    client = dial(check=False)
    assert "result" in client.raw('{"id":1,"method":"no.such","method":"ping"}')
    error_of(client.raw('{"id":2,"method":"ping","meth\\u006fd":"no.such"}'), "unknown_method")
    frame = client.raw('{"id":3,"id":4,"method":"ping"}')
    assert frame["id"] == 4
    frame = client.raw('{"id":5,"method":"login","params":{"user":7,"user":"nobody-here","password":"x","password":"y"}}')
    error_of(frame, "bad_credentials")


@pytest.mark.parametrize("value", ["1.0", "5e0", "0.5", '"5"', "true", "{}", "[]", "-1"])
def test_integers_have_neither_fraction_nor_exponent(user, value):
    alice, bob = user("alice"), user("bob")
    cid = alice.send("@" + bob.name, "x")["cid"]
    alice.asked[77] = ("?", {})
    frame = alice.raw(f'{{"id":77,"method":"history","params":{{"cid":{cid},"limit":{value}}}}}')
    error_of(frame, "invalid_params")
    assert frame["error"]["data"]["param"] == "limit"


def test_escaped_member_names_are_the_same_names(dial):
    client = dial(check=False)
    assert "result" in client.raw('{"\\u0069d":1,"\\u006dethod":"p\\u0069ng"}')


def test_a_limit_above_its_maximum_counts_as_the_maximum(user):
    alice, bob = user("alice"), user("bob")
    for i in alice.post_all([("send", {"to": "@" + bob.name, "body": str(i)}) for i in range(230)]):
        cid = alice.answer(i)["cid"]
    assert len(alice.call("history", cid=cid, limit=5000)["messages"]) == 200
    assert len(alice.call("history", cid=cid, limit=9007199254740991)["messages"]) == 200
    assert len(alice.call("history", cid=cid)["messages"]) == 50


# --- Methods ---

def test_unknown_methods(user):
    alice = user("alice")
    for method in ["", "Ping", "ping ", "rpc.discover", "no.such", "x" * 1000, "pïng"]:
        alice.fails("unknown_method", method)
    alice.call("ping")


def test_methods_that_need_a_session(dial):
    client = dial()
    for method in NEED_SESSION:
        client.fails("not_logged_in", method)
    client.fails("not_logged_in", "send", {"to": "@bob", "body": "x"})
    client.call("ping")
    client.call("hello")


# --- Parse errors ---

BROKEN = ['{"id":1,"method":"ping"', '{"id":01,"method":"ping"}', "{'id':1}", '{"id":1,"method":"ping",}',
          '{"id":1,"method":"ping"} x', '{"a":"\\ud800"}', '{"a":"\\udc00\\ud800"}', '{"a":"\\x41"}', '{"a":NaN}',
          '{"a":"tab\there"}', '{"a":+1}', '{"a":1.}', '{"a":.5}', '{"id":1 "method":"ping"}', '{"a":tru}',
          '{"a":"\\u12g4"}', "{a:1}", '{"a":1}{"b":2}', '{"a":"unended}', '/**/{"id":1,"method":"ping"}', "\ufeff{}"]


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_not_json_is_a_parse_error_and_the_connection_stays(dial, text):
    client = dial(check=False)
    client.call("ping")
    frame = error_of(client.raw(text), "parse_error")
    assert frame["id"] is None
    client.call("ping")


def test_the_tenth_parse_error_closes(dial):
    client = dial(check=False)
    for _ in range(9):
        error_of(client.raw('{"broken"'), "parse_error")
        client.call("ping")
    client.send_text('{"broken"')
    client.wait_closed()
    assert len(client.taken("error")) in (9, 10)
    assert [g["reason"] for g in client.taken("goaway")] in (["errors"], [])
    if client.transport == "ws":
        assert client.ended["code"] == 1008


@pytest.mark.parametrize("deep,fine", [(1, True), (31, True), (32, True), (33, False), (1000, False)])
def test_nesting_is_at_most_32_deep(dial, deep, fine):
    """The envelope is the first level."""
    client = dial(check=False)
    frame = client.raw('{"id":1,"method":"ping","x":' + "[" * (deep - 1) + "]" * (deep - 1) + "}"
                       if deep > 1 else '{"id":1,"method":"ping"}')
    if fine:
        assert "result" in frame
    else:
        error_of(frame, "parse_error")
    client.call("ping")


def test_white_space_is_free(dial):
    client = dial(check=False)
    space = " \t" if client.transport == "tcp" else " \t\r\n"
    frame = client.raw(space + "{" + space + '"id"' + space + ":" + space + "5" + space + "," + space + '"method"' + space
                       + ":" + space + '"ping"' + space + "}" + space)
    assert frame["id"] == 5 and "result" in frame


# --- Lengths ---

def padded(method, size, number=1, **params):
    """A request of exactly this many bytes."""
    text = json.dumps({"id": number, "method": method, "params": params, "pad": ""}, separators=(",", ":"))
    assert len(text) <= size
    return text[:-2] + "x" * (size - len(text)) + '"}'


def test_a_frame_before_login_has_at_most_4_kib(dial):
    client = dial(check=False)
    fits = 4096 if client.transport == "ws" else 4095
    assert "result" in client.raw(padded("ping", fits))
    client.send_text(padded("ping", 4098))
    ended = client.wait_closed()
    errors = client.taken("error")
    if client.transport == "ws":
        assert ended["code"] == 1009
    else:
        assert len(errors) == 1
    for error in errors:
        assert error["data"]["name"] == "too_large" and error["data"]["max"] == 4096


def test_a_frame_after_login_has_at_most_64_kib(user):
    alice = user("alice")
    alice.asked.update({1000: ("ping", {})})
    fits = 65536 if alice.transport == "ws" else 65535
    assert "result" in alice.raw(padded("ping", fits, 1000))
    alice.send_text(padded("ping", 65538))
    ended = alice.wait_closed()
    errors = alice.taken("error")
    if alice.transport == "ws":
        assert ended["code"] == 1009
    else:
        assert len(errors) == 1
    for error in errors:
        assert error["data"]["name"] == "too_large" and error["data"]["max"] == 65536


def test_a_frame_of_the_server_has_at_most_256_kib(user):
    """Forty bodies of 16 KiB of characters that grow when escaped, asked for at once."""
    alice, bob = user("alice"), user("bob")
    ids = alice.post_all([("send", {"to": "@" + bob.name, "body": '"\\\n' * 5461}) for _ in range(40)])
    cid = alice.answer(ids[0])["cid"]
    for number in ids:
        alice.answer(number)
    seen, before = [], None
    while True:
        page = alice.call("history", {"cid": cid, "limit": 200, **({"before": before} if before else {})})
        assert page["messages"], "a page holds at least one entry"
        seen = [m["seq"] for m in page["messages"]] + seen
        before = seen[0]
        if not page["more"]:
            break
    assert seen == list(range(1, 41))
    seen, after = [], 0
    while True:
        page = alice.call("history", cid=cid, limit=200, after=after)
        seen += [m["seq"] for m in page["messages"]]
        after = seen[-1]
        if not page["more"]:
            break
    assert seen == list(range(1, 41))
    bob.until_head(cid, 40)


# --- Order ---

def test_login_and_what_follows_in_one_go(user, dial):
    alice, bob = user("alice"), user("bob")
    client = dial()
    ids = client.post_all([("resume", {"token": alice.token, "sync": True}), ("send", {"to": "@" + bob.name, "body": "first"}),
                           ("sync", {}), ("ping", {}), ("logout", {}), ("ping", {})])
    assert client.answer(ids[0])["user"] == alice.name
    assert client.answer(ids[1])["seq"] == 1
    with pytest.raises(RpcError, match="already"):
        client.answer(ids[2])
    client.answer(ids[3])
    assert client.answer(ids[4]) == {}
    client.wait_closed()
    assert ids[5] not in client.answers, "after logout the connection is closed"
    assert client.order[0] == ids[0]
    assert bob.message()["body"] == "first"


def test_register_sync_send_in_one_go(user, dial):
    bob = user("bob")
    client = dial()
    ids = client.post_all([("register", {"user": new_name("eve"), "password": PASSWORD}), ("sync", {}),
                           ("send", {"to": "@" + bob.name, "body": "one"}), ("send", {"to": "@" + bob.name, "body": "two"})])
    assert [client.answer(i) and i for i in ids] == ids
    assert client.order[:2] == ids[:2]
    assert [m["body"] for m in client.messages(2)] == ["one", "two"]


def test_a_client_that_shuts_its_sending_side_gets_its_answers(user, dial):
    bob = user("bob")
    client = dial()
    ids = client.post_all([("resume", {"token": bob.token}), *[("send", {"to": "@" + bob.name + "x", "body": "x"})] * 3,
                           *[("ping", {})] * 20])
    client.shut_sending()
    client.wait_closed()
    assert sorted(client.order) == ids
