"""receipts: how many have come how far, and who."""

import pytest

from test_edits import any_store, talk  # noqa: F401


def counts(answer):
    return answer["read"], answer["delivered"], answer["members"]


def test_of_two(user, any_store):  # noqa: F811
    alice, bob = user("alice", server=any_store), user("bob", server=any_store)
    cid = alice.send("@" + bob.name, "one")["cid"]
    bob.send(cid, "two")
    assert alice.call("receipts", cid=cid, seq=1) == {
        "read": 0, "delivered": 0, "members": 1, "users": [{"user": bob.name, "read": 0, "delivered": 0}], "more": False}
    bob.call("mark", cid=cid, delivered=2, read=1)
    bob.server.settle(cid)
    for client in (alice, bob):
        assert client.call("receipts", cid=cid, seq=1) == {
            "read": 1, "delivered": 1, "members": 1, "users": [{"user": bob.name, "read": 1, "delivered": 2}], "more": False}
    assert counts(alice.call("receipts", cid="@" + bob.name, seq=2)) == (0, 0, 1)
    alice.call("mark", cid=cid, read=2)
    assert alice.call("receipts", cid=cid, seq=2)["users"] == [{"user": alice.name, "read": 2, "delivered": 2}]
    assert alice.call("receipts", cid=cid, seq=2, after=alice.name)["users"] == []


def test_errors(talk, user):  # noqa: F811
    alice, bob, cid = talk
    user("eve").fails("not_found", "receipts", cid=cid, seq=1)
    alice.fails("not_found", "receipts", cid="@no-such-user", seq=1)
    assert alice.fails("not_found", "receipts", cid=cid, seq=3)["param"] == "seq"
    assert alice.fails("invalid_params", "receipts", cid="@" + alice.name, seq=1)["param"] == "cid"
    for params, param in (({"seq": 1}, "cid"), ({"cid": cid}, "seq"), ({"cid": cid, "seq": 0}, "seq"),
                          ({"cid": cid, "seq": 1, "limit": 0}, "limit"), ({"cid": cid, "seq": 1, "after": "-"}, "after")):
        assert alice.fails("invalid_params", "receipts", params)["param"] == param
    assert counts(alice.call("receipts", cid=cid, seq=1, limit=10 ** 6)) == (0, 0, 1)


def test_in_a_group(user, any_store):  # noqa: F811
    names = [f"m{i}" for i in range(5)]
    olga, *members = [user(name, server=any_store) for name in ("olga", *names)]
    cid = olga.call("group.create", title="Ops", open=True, handle=None, members=[m.name for m in members])["cid"]
    seq = olga.send(cid, "who has read this?")["seq"]
    assert counts(olga.call("receipts", cid=cid, seq=seq)) == (0, 0, 5)
    for i, member in enumerate(members[:3]):
        member.call("mark", cid=cid, **({"read": seq} if i < 2 else {"delivered": seq}))
    olga.call("mark", cid=cid, read=seq)
    olga.server.settle(cid)
    got = members[4].call("receipts", cid=cid, seq=seq)
    assert counts(got) == (2, 3, 5), "the author is not counted"
    due = sorted(({"user": m.name, "read": seq if i < 2 else 0, "delivered": seq if i < 3 else 0}
                  for i, m in enumerate(members)), key=lambda u: u["user"])
    assert got["users"] == due and not got["more"]
    pages, after = [], None
    while True:
        page = olga.call("receipts", cid=cid, seq=seq, limit=2, **({"after": after} if after else {}))
        pages += page["users"]
        if not page["more"]:
            break
        after = page["users"][-1]["user"]
    assert pages == due
    # Of what another one wrote the owner is counted.
    other = members[0].send(cid, "me")["seq"]
    assert counts(olga.call("receipts", cid=cid, seq=other)) == (0, 0, 5)
    assert counts(olga.call("receipts", cid=cid, seq=1)) == (2, 3, 5)
    # Who leaves takes his marks along; who comes starts right before his joining.
    members[0].call("group.leave", cid=cid)
    assert counts(olga.call("receipts", cid=cid, seq=seq)) == (1, 2, 4)
    members[0].fails("not_member", "receipts", cid=cid, seq=seq)
    joined = members[0].call("group.join", cid=cid)["seq"]
    assert counts(olga.call("receipts", cid=cid, seq=seq)) == (2, 3, 5)
    assert members[0].fails("not_found", "receipts", cid=cid, seq=joined - 1)["param"] == "seq"
    assert counts(members[0].call("receipts", cid=cid, seq=joined)) == (0, 0, 5)
    olga.call("group.dismiss", cid=cid)
    olga.fails("not_member", "receipts", cid=cid, seq=seq)


def test_they_outlive_the_process(confabd, user, again):
    server = confabd()
    olga, mia, tom = (user(name, server=server) for name in ("olga", "mia", "tom"))
    cid = olga.call("group.create", title="Ops", members=[mia.name, tom.name])["cid"]
    for i in range(200):
        seq = olga.send(cid, f"m{i}")["seq"]
    mia.call("mark", cid=cid, read=seq)
    tom.call("mark", cid=cid, read=70, delivered=130)
    server.settle(cid)
    assert counts(olga.call("receipts", cid=cid, seq=seq)) == (1, 1, 2)
    server.kill9()
    server.start()
    olga = again(olga)
    for at, due in ((1, (2, 2, 2)), (70, (2, 2, 2)), (71, (1, 2, 2)), (130, (1, 2, 2)), (131, (1, 1, 2)), (seq, (1, 1, 2))):
        assert counts(olga.call("receipts", cid=cid, seq=at)) == due, at
