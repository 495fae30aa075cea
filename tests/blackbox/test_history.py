"""history."""

import pytest


@pytest.fixture
def talk(user):
    """Alice, Bob, and 130 entries between them."""
    alice, bob = user("alice"), user("bob")
    to = "@" + bob.name
    ids = alice.post_all([("send", {"to": to, "body": f"b{i}", "cmid": f"c{i}", **({"re": i - 1} if i % 10 == 2 else {}),
                                    **({"data": {"n": i}} if i % 3 == 0 else {})}) for i in range(1, 131)])
    cid = [alice.answer(i) for i in ids][0]["cid"]
    bob.until_head(cid, 130)
    return alice, bob, cid


def seqs(page):
    return [m["seq"] for m in page["messages"]]


def span(first, last):
    return list(range(first, last + 1))


@pytest.mark.parametrize("params,due,more", [
    ({}, span(81, 130), True),
    ({"limit": 10}, span(121, 130), True),
    ({"limit": 130}, span(1, 130), False),
    ({"limit": 131}, span(1, 130), False),
    ({"limit": 1}, [130], True),
    ({"before": 81}, span(31, 80), True),
    ({"before": 51}, span(1, 50), False),
    ({"before": 52}, span(2, 51), True),
    ({"before": 1}, [], False),
    ({"before": 0}, [], False),
    ({"before": 1000}, span(81, 130), True),
    ({"after": 0}, span(1, 50), True),
    ({"after": 80}, span(81, 130), False),
    ({"after": 79}, span(80, 129), True),
    ({"after": 129}, [130], False),
    ({"after": 130}, [], False),
    ({"after": 1000}, [], False),
    ({"after": 10, "before": 20}, span(11, 19), False),
    ({"after": 10, "before": 20, "limit": 5}, span(11, 15), True),
    ({"after": 10, "before": 11}, [], False),
    ({"after": 20, "before": 10}, [], False),
    ({"after": 0, "before": 0}, [], False),
    ({"after": 0, "limit": 200}, span(1, 130), False),
])
def test_pages(talk, params, due, more):
    _, bob, cid = talk
    page = bob.call("history", cid=cid, **params)
    assert seqs(page) == due and page["more"] is more
    assert (page["cid"], page["head"], page["min_seq"]) == (cid, 130, 1)


def test_targets(talk, user):
    alice, bob, cid = talk
    assert seqs(bob.call("history", cid="@" + alice.name, limit=2)) == [129, 130]
    assert seqs(alice.call("history", cid="@" + bob.name, limit=2)) == [129, 130]
    stranger = user("eve")
    for target in (cid, 9007199254740990, "@no-such-user", "#no-such-group", "@" + alice.name):
        stranger.fails("not_found", "history", cid=target)
    for target in ("", "x", -1, True, {}, 1.5):
        assert alice.fails("invalid_params", "history", cid=target)["param"] == "cid"
    assert alice.fails("invalid_params", "history")["param"] == "cid"
    for name in ("before", "after", "limit"):
        for value in (-1, "1", 1.5, True, []):
            assert alice.fails("invalid_params", "history", {"cid": cid, name: value})["param"] == name


def test_entries_are_those_of_the_stream(user):
    alice, bob = user("alice"), user("bob")
    alice.send("@" + bob.name, "plain")
    alice.send("@" + bob.name, "all of it ünï", cmid="c", kind="x-k", data={"a": {"b": [1]}}, re=1)
    bob.send("@" + alice.name, "", data={"only": "data"})
    live = bob.messages(3)
    assert bob.call("history", cid=live[0]["cid"])["messages"] == live
    assert alice.call("history", cid=live[0]["cid"])["messages"] == live


def test_an_answer_seen_is_there_for_everyone(user):
    """Promise 7: whoever asks after an answer or an entry was seen finds it."""
    alice, bob = user("alice"), user("bob")
    cid = alice.send("@" + bob.name, "first")["cid"]
    for i in range(60):
        seq = alice.send(cid, f"m{i}")["seq"]
        page = bob.call("history", cid=cid, limit=1)
        assert page["head"] >= seq and seqs(page)[-1] >= seq
        assert bob.message(seq=seq)
        assert seqs(alice.call("history", cid=cid, after=seq - 1)) == [seq]


def test_a_page_stops_where_the_frame_is_full(user):
    """Fifty bodies of 16 KiB do not fit into 256 KiB: more is true, and paging gets all."""
    alice, bob = user("alice"), user("bob")
    ids = alice.post_all([("send", {"to": "@" + bob.name, "body": "x" * 16000, "data": {"d": "y" * 16000}}) for _ in range(30)])
    cid = [alice.answer(i) for i in ids][0]["cid"]
    page = bob.call("history", cid=cid)
    assert page["more"] and seqs(page)[-1] == 30 and len(seqs(page)) >= 5
    bob.until_head(cid, 30)
