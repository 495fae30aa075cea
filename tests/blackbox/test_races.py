"""Requests that race on several connections, many rounds; what must hold whoever wins is asserted afterwards."""

import itertools
import random

import pytest

from lib.fixtures import new_name
from lib.across import serve
from lib.stores import STORES

ROUNDS = 40
BURST = 5


@pytest.fixture(scope="module", params=list(STORES))
def shared_server(request, tmp_path_factory):
    server = serve(tmp_path_factory.mktemp(request.param), config=STORES[request.param]).start()
    yield server
    server.finish()


@pytest.fixture
def people(shared_server, user):
    """people("ann", "bob") -> a synced Client each."""
    return lambda *bases: [user(base, server=shared_server) for base in bases]


def outcome(client, number):
    """(result, None) or (None, the error's name)."""
    frame = client.frame(number)
    return (frame["result"], None) if "result" in frame else (None, frame["error"]["data"]["name"])


def whole_log(client, cid):
    """Every entry, dense from 1 on."""
    log = []
    while True:
        page = client.call("history", cid=cid, after=len(log), limit=200)
        log += page["messages"]
        if not page["more"]:
            break
    assert [one["seq"] for one in log] == list(range(1, len(log) + 1)) and page["head"] == len(log)
    return log


def spans(log, name):
    """[(first, last or None)]: the places that he was a member at, by the log."""
    found = []
    for one in log:
        data, seq = one.get("data") or {}, one["seq"]
        inside = bool(found) and found[-1][1] is None
        if one["kind"] in ("create", "join") and name in data["users"]:
            assert not inside, f"{name} is in and joins at {seq}"
            found.append((seq, None))
        elif (one["kind"] == "leave" and one["from"] == name) or (one["kind"] == "remove" and data["user"] == name):
            assert inside, f"{name} is out and leaves at {seq}"
            found[-1] = (found[-1][0], seq)
        elif one["kind"] == "dismiss" and inside:
            found[-1] = (found[-1][0], seq)
    return found


def within(seq, places):
    return any(first <= seq and (last is None or seq <= last) for first, last in places)


def received_all(client, cid, log, name):
    """His stream showed his memberships, each of them whole and in order, and nothing else.

    One that was over before he was told of it may be left out: who joins again sees from his new joining.
    """
    places = [(first, last or len(log)) for first, last in spans(log, name)]
    end = places[-1][1]
    client._wait(lambda: end in [m["seq"] for m in client.seen("message") if m["cid"] == cid] or None, 20, f"seq {end}")
    client.call("ping")
    got = [one for one in client.taken("message") if one["cid"] == cid]
    shown = {one["seq"] for one in got}
    whole = [(first, last) for first, last in places if first in shown]
    assert [one["seq"] for one in got] == [seq for first, last in whole for seq in range(first, last + 1)], f"of {places}"
    for one in got:
        assert {k: v for k, v in one.items() if k != "to"} == {k: v for k, v in log[one["seq"] - 1].items() if k != "to"}
    return len(whole), len(places)


def sends(client, cid, word, count=BURST):
    bodies = [f"{client.name} {word} {i}" for i in range(count)]
    return list(zip(client.post_all([("send", {"to": cid, "body": body, "cmid": body}) for body in bodies]), bodies))


def check_sends(client, posted, log, cid):
    """Answered with a seq: there, once, at that seq.  Refused: nowhere.  Sent again: as before or refused again."""
    at = {one["body"]: one["seq"] for one in log if one["kind"] == "text" and one["from"] == client.name}
    assert len(at) == sum(one["kind"] == "text" and one["from"] == client.name for one in log)
    done = 0
    for number, body in posted:
        result, error = outcome(client, number)
        if result:
            assert at.pop(body) == result["seq"], body
            done += 1
        else:
            assert error in ("not_member", "not_found", "forbidden", "blocked"), (error, body)
            assert body not in at, f"refused ({error}) and there: {body}"
    assert not at, f"never answered: {at}"
    return done


# --- Membership ---

def test_invite_leave_and_send(people):
    owner, admin, guest, talker = people("owner", "admin", "guest", "talker")
    cid = owner.call("group.create", title="races", members=[admin.name, talker.name])["cid"]
    owner.call("group.role", cid=cid, user=admin.name, role="admin")
    posted, asked = {talker: [], guest: []}, []
    for n in range(ROUNDS):
        posted[talker] += sends(talker, cid, n)
        asked.append((admin, admin.post("group.invite", cid=cid, users=[guest.name])))
        posted[guest] += sends(guest, cid, n)
        asked.append((guest, guest.post("group.leave", cid=cid)))
        if n % 4 == 0:  # else they would run far ahead of the answers
            for client, number in asked:
                client.frame(number)
    results = [outcome(client, number) for client, number in asked]
    assert {error for _, error in results} <= {None, "not_member", "not_found"}
    for client in posted:
        for number, _ in posted[client]:
            client.frame(number)
    log = whole_log(owner, cid)
    for client in (owner, admin, talker, guest):
        received_all(client, cid, log, client.name)
    assert check_sends(talker, posted[talker], log, cid) == ROUNDS * BURST
    check_sends(guest, posted[guest], log, cid)
    places = spans(log, guest.name)
    assert all(within(one["seq"], places) for one in log if one["from"] == guest.name), "said while he was not in"
    for result, _ in results:   # an answer with a seq is the seq of the change
        if result and result.get("seq"):
            assert log[result["seq"] - 1]["kind"] in ("join", "leave")
    changes = [r["seq"] for r, _ in results if r and r.get("seq")]
    assert sorted(changes) == [one["seq"] for one in log if one["kind"] in ("join", "leave")]


def test_remove_and_send(people):
    owner, guest = people("owner", "guest")
    cid = owner.call("group.create", title="races", members=[guest.name])["cid"]
    posted, removals = [], []
    for n in range(ROUNDS):
        posted += sends(guest, cid, f"before {n}")
        removal = owner.post("group.remove", cid=cid, user=guest.name)
        posted += sends(guest, cid, f"after {n}")
        removals.append(owner.answer(removal)["seq"])
        late = sends(guest, cid, f"late {n}", 1)
        assert outcome(guest, late[0][0]) == (None, "not_member"), "the removal was answered before"
        posted += late
        for number, _ in posted[-2 * BURST - 1:]:
            guest.frame(number)
        assert owner.call("group.invite", cid=cid, users=[guest.name])["added"] == [guest.name]
    log = whole_log(owner, cid)
    check_sends(guest, posted, log, cid)
    places = spans(log, guest.name)
    assert [last for _, last in places] == [*removals, None]
    for one in log:
        assert one["from"] != guest.name or within(one["seq"], places), f"said after the removal: {one}"
    for client in (owner, guest):
        received_all(client, cid, log, client.name)


def test_a_removed_member_sees_nothing_of_what_follows(people, again):
    owner, guest = people("owner", "guest")
    twin = again(guest)
    cid = owner.call("group.create", title="races", members=[guest.name])["cid"]
    for n in range(ROUNDS):
        numbers = owner.post_all([*[("send", {"to": cid, "body": f"{n} {i}"}) for i in range(BURST)],
                                  ("group.remove", {"cid": cid, "user": guest.name}),
                                  *[("send", {"to": cid, "body": f"{n} secret {i}"}) for i in range(BURST)]])
        for number in numbers:
            owner.answer(number)
        page = guest.call("history", cid=cid, limit=200)
        last = owner.answer(numbers[BURST])["seq"]
        assert page["head"] == last and page["messages"][-1]["seq"] == last
        owner.call("group.invite", cid=cid, users=[guest.name])
    log = whole_log(owner, cid)
    for client in (owner, guest, twin):
        received_all(client, cid, log, client.name)


def test_join_and_dismiss(people):
    owner, *guests = people("owner", "g1", "g2", "g3")
    for n in range(ROUNDS // 2):
        cid = owner.call("group.create", title=f"races {n}", open=True)["cid"]
        joins = [(guest, guest.post("group.join", cid=cid)) for guest in guests[:2]]
        end = owner.post("group.dismiss", cid=cid)
        joins.append((guests[2], guests[2].post("group.join", cid=cid)))
        seq = owner.answer(end)["seq"]
        joined = {}
        for guest, number in joins:
            result, error = outcome(guest, number)
            assert error in (None, "not_found", "not_member")
            if result:
                joined[guest.name] = result["seq"]
        log = whole_log(owner, cid)
        assert (log[-1]["kind"], log[-1]["seq"]) == ("dismiss", seq), "nothing comes behind the end"
        assert {one["from"]: one["seq"] for one in log if one["kind"] == "join"} == joined
        for guest in guests:
            guest.fails(("not_member", "not_found"), "send", to=cid, body="x")


# --- Roles ---

def demote(people, requests):
    """Two owners ask at once: one of the two requests fails, and the log tells what the members are."""
    ann, bob, eve = people("ann", "bob", "eve")
    for _ in range(ROUNDS):
        cid = ann.call("group.create", title="races", members=[bob.name, eve.name])["cid"]
        ann.call("group.role", cid=cid, user=bob.name, role="owner")
        posted = [(client, client.post(method, {"cid": cid, **params})) for client, method, params in requests(ann, bob)]
        results = [outcome(client, number) for client, number in posted]
        assert sorted(error or "" for _, error in results) == ["", "forbidden"], results
        log, roles = whole_log(eve, cid), {ann.name: "owner", bob.name: "member", eve.name: "member"}
        for one in log[1:]:
            if one["kind"] == "role":
                roles[one["data"]["user"]] = one["data"]["role"]
            else:
                assert one["kind"] == "leave" and roles.pop(one["from"])
        assert "owner" in roles.values(), f"nobody owns it: {log}"
        assert {one["user"]: one["role"] for one in eve.call("group.members", cid=cid)["members"]} == roles
        assert [r["seq"] for r, _ in results if r] == [one["seq"] for one in log[2:]]


def test_two_owners_demote_each_other(people):
    demote(people, lambda ann, bob: [(ann, "group.role", {"user": bob.name, "role": "member"}),
                                     (bob, "group.role", {"user": ann.name, "role": "member"})])


def test_two_owners_step_down(people):
    demote(people, lambda ann, bob: [(ann, "group.role", {"user": ann.name, "role": "member"}),
                                     (bob, "group.role", {"user": bob.name, "role": "member"})])


def test_one_owner_leaves_and_the_other_steps_down(people):
    demote(people, lambda ann, bob: [(ann, "group.leave", {}), (bob, "group.role", {"user": bob.name, "role": "member"})])


def test_an_owner_leaves_while_he_is_demoted(people):
    """Both may succeed: who was demoted may leave; who has left can't be demoted."""
    ann, bob = people("ann", "bob")
    for _ in range(ROUNDS):
        cid = ann.call("group.create", title="races", members=[bob.name])["cid"]
        ann.call("group.role", cid=cid, user=bob.name, role="owner")
        leave, role = ann.post("group.leave", cid=cid), bob.post("group.role", cid=cid, user=ann.name, role="member")
        seq, error = ann.answer(leave)["seq"], outcome(bob, role)[1]
        assert error in (None, "not_found")
        assert bob.call("group.info", cid=cid)["owners"] == [bob.name]
        log = whole_log(bob, cid)
        assert [one["kind"] for one in log] == ["create", "role", *(["role"] if error is None else []), "leave"]
        assert log[-1]["seq"] == seq


def test_two_admins_remove_each_other_while_they_are_raised(people):
    owner, ann, bob = people("owner", "ann", "bob")
    for _ in range(ROUNDS):
        cid = owner.call("group.create", title="races", members=[ann.name, bob.name])["cid"]
        posted = [(owner, owner.post("group.role", cid=cid, user=ann.name, role="admin")),
                  (ann, ann.post("group.remove", cid=cid, user=bob.name)),
                  (owner, owner.post("group.role", cid=cid, user=bob.name, role="admin")),
                  (bob, bob.post("group.remove", cid=cid, user=ann.name))]
        results = [outcome(client, number) for client, number in posted]
        log = whole_log(owner, cid)
        roles = {owner.name: 3, ann.name: 1, bob.name: 1}
        for one in log[1:]:
            data = one["data"]
            if one["kind"] == "role":
                assert data["user"] in roles, f"a role for one who is out: {log}"
                roles[data["user"]] = {"member": 1, "admin": 2, "owner": 3}[data["role"]]
            else:
                assert one["kind"] == "remove" and roles[one["from"]] > roles.pop(data["user"]), f"not a lower role: {log}"
        assert sorted(r["seq"] for r, _ in results if r) == [one["seq"] for one in log[1:]]
        assert {one["user"] for one in owner.call("group.members", cid=cid)["members"]} == set(roles)


RANK = {"member": 1, "admin": 2, "owner": 3}


class Replay:
    """Goes through a group's log and asserts that whoever did something was allowed to, at that place of it."""

    def __init__(self):
        self.rank, self.muted = {}, set()

    def take(self, one):
        who, data = one["from"], one.get("data") or {}
        mine, user = self.rank.get(who, 0), data.get("user")
        getattr(self, one["kind"])(who, mine, user, data)
        assert 3 in self.rank.values(), f"nobody owns it after {one}"

    def create(self, who, mine, user, data):
        self.rank = {name: 3 if name == who else 1 for name in data["users"]}

    def join(self, who, mine, user, data):
        assert data["users"] == [who] or mine >= 2, "invited by one who may not"
        assert not set(data["users"]) & set(self.rank), "is in already"
        self.rank.update((name, 1) for name in data["users"])

    def leave(self, who, mine, user, data):
        assert mine, "was not in"
        del self.rank[who]

    def remove(self, who, mine, user, data):
        assert mine >= 2 and mine > self.rank.pop(user), "not a lower role"

    def role(self, who, mine, user, data):
        assert mine == 3 and self.rank[user] != RANK[data["role"]]
        self.rank[user] = RANK[data["role"]]

    def mute(self, who, mine, user, data):
        assert mine >= 2 and mine > self.rank[user], "not a lower role"
        (self.muted.add if data["until"] else self.muted.discard)(user)

    def set(self, who, mine, user, data):
        assert mine >= 2

    def text(self, who, mine, user, data):
        assert mine and who not in self.muted, "may not speak"


def something(chance, names, cid, body):
    """A request that may be refused by the time it is read."""
    user = chance.choice(names)
    return chance.choice([
        ("group.join", {"cid": cid}), ("group.leave", {"cid": cid}),
        ("group.invite", {"cid": cid, "users": chance.sample(names, 2)}), ("group.remove", {"cid": cid, "user": user}),
        ("group.role", {"cid": cid, "user": user, "role": chance.choice(["member", "admin", "owner"])}),
        ("group.mute", {"cid": cid, "user": user, "seconds": chance.choice([0, 3600])}),
        ("group.set", {"cid": cid, "topic": body}), ("send", {"to": cid, "body": body, "cmid": body})])


def test_everything_at_once(people):
    eye, *crowd = people("eye", "ann", "bob", "carl", "dora")
    names, chance = [one.name for one in crowd], random.Random(7)
    cid = crowd[0].call("group.create", title="races", open=True, members=[eye.name, *names[1:]])["cid"]
    crowd[0].call("group.role", cid=cid, user=names[1], role="owner")
    sent, changes = {one: [] for one in crowd}, []
    for n in range(ROUNDS):
        posted = []
        for client in crowd:
            asked = [something(chance, names, cid, f"{client.name} {n} {i}") for i in range(BURST)]
            posted += zip([client] * BURST, client.post_all(asked), asked)
        for client, number, (method, params) in posted:
            result, error = outcome(client, number)
            assert error in (None, "not_member", "forbidden", "already", "not_found", "invalid_params"), (method, error)
            if method == "send":
                sent[client].append((number, params["body"]))
            elif result and "seq" in result:
                changes.append((result["seq"], client.name, {"invite": "join"}.get(method[6:], method[6:])))
    log, replay = whole_log(eye, cid), Replay()
    for one in log:
        replay.take(one)
    assert sorted(changes) == [(one["seq"], one["from"], one["kind"]) for one in log[2:] if one["kind"] != "text"]
    members = eye.call("group.members", cid=cid)["members"]
    assert {one["user"]: RANK[one["role"]] for one in members} == replay.rank
    for client in crowd:
        check_sends(client, sent[client], log, cid)
        received_all(client, cid, log, client.name)
    received_all(eye, cid, log, eye.name)


# --- Contacts ---

def contacts(client):
    return {one["user"]: one["state"] for one in client.call("contact.list")["contacts"]}


def test_accept_and_block(people):
    ann, bob = people("ann", "bob")
    for n in range(ROUNDS):
        asker, asked = (ann, bob) if n % 2 else (bob, ann)
        assert asker.call("contact.add", user=asked.name)["state"] == "requested"
        accept, block = asked.post("contact.accept", user=asker.name), asker.post("contact.block", user=asked.name)
        assert outcome(asked, accept)[1] in (None, "not_found", "blocked")
        asker.answer(block)
        assert contacts(asker) == {asked.name: "blocked"} and contacts(asked) == {}
        for one, other in ((ann, bob), (bob, ann)):
            one.fails("blocked", "send", to="@" + other.name, body="x")
        asker.call("contact.unblock", user=asked.name)
        assert contacts(asker) == {} and contacts(asked) == {}


def test_both_ask_at_once(people):
    ann, bob = people("ann", "bob")
    for _ in range(ROUNDS):
        posted = [(ann, ann.post("contact.add", user=bob.name)), (bob, bob.post("contact.add", user=ann.name))]
        states = sorted(client.answer(number)["state"] for client, number in posted)
        assert states == ["contact", "requested"], "one came first"
        assert contacts(ann) == {bob.name: "contact"} and contacts(bob) == {ann.name: "contact"}
        posted = [(ann, ann.post("contact.remove", user=bob.name)), (bob, bob.post("contact.remove", user=ann.name))]
        assert sorted(outcome(client, number)[1] or "" for client, number in posted) == ["", "not_found"]
        assert contacts(ann) == contacts(bob) == {}


def test_both_block_at_once(people):
    ann, bob = people("ann", "bob")
    for n in range(ROUNDS):
        ann.call("contact.add", user=bob.name)
        posted = [(ann, ann.post("contact.block", user=bob.name)), (bob, bob.post("contact.block", user=ann.name)),
                  (bob, bob.post("contact.accept", user=ann.name))]
        for client, number in posted[:2]:
            client.answer(number)
        assert outcome(*posted[2])[1] in (None, "not_found", "blocked")
        assert contacts(ann) == {bob.name: "blocked"} and contacts(bob) == {ann.name: "blocked"}
        ann.call("contact.unblock", user=bob.name)
        ann.fails("blocked", "send", to="@" + bob.name, body="x")
        bob.call("contact.unblock", user=ann.name)


@pytest.mark.parametrize("one, other", [("add", "block"), ("add", "add"), ("accept", "block"), ("block", "remove"),
                                         ("accept", "remove"), ("reject", "remove")])
def test_what_contacts_are_told_of_last_is_what_is(people, again, one, other):
    """News of what both do at once come in the order in which it happened."""
    ann, bob = people("ann", "bob")
    connections = [ann, bob, again(ann), again(bob)]
    for n in range(ROUNDS):
        if one != "add":
            bob.call("contact.add", user=ann.name)
            if n % 2 and one == "block":
                ann.call("contact.accept", user=bob.name)
        posted = [(ann, ann.post(f"contact.{one}", user=bob.name)), (bob, bob.post(f"contact.{other}", user=ann.name))]
        for client, number in posted:
            outcome(client, number)
        for client in connections:
            peer = bob.name if client.name == ann.name else ann.name
            due = contacts(client).get(peer)

            def told(client=client, due=due):
                states = [note["state"] for note in client.seen("contact")]
                last = states[-1] if states else "removed"
                return last == due or (due is None and last in ("removed", "rejected", "unblocked")) or None

            client._wait(told, 5, f"news that {peer} is {due} for {client.name}")
        for client, peer in ((ann, bob), (bob, ann)):
            for method in ("contact.unblock", "contact.remove", "contact.reject"):
                outcome(client, client.post(method, user=peer.name))


def test_block_and_send(people):
    ann, bob = people("ann", "bob")
    cid = ann.send("@" + bob.name, "first")["cid"]
    posted = []
    for n in range(ROUNDS):
        posted += sends(ann, cid, f"a {n}")
        block = bob.post("contact.block", user=ann.name)
        posted += sends(ann, cid, f"b {n}")
        bob.answer(block)
        late = sends(ann, cid, f"late {n}", 1)
        assert outcome(ann, late[0][0]) == (None, "blocked"), "the block was answered before"
        for number, _ in posted:
            ann.frame(number)
        posted += late
        bob.call("contact.unblock", user=ann.name)
    log = whole_log(bob, cid)
    assert check_sends(ann, posted, log[1:], cid) == len(log) - 1


# --- Messages ---

def test_delete_and_history(people, again):
    ann, bob = people("ann", "bob")
    cid = ann.send("@" + bob.name, "first")["cid"]
    for n in range(ROUNDS):
        secret = f"secret {n}"
        seq = ann.send(cid, secret)["seq"]
        if n % 2:
            ann.call("edit", cid=cid, seq=seq, body=f"{secret} edited")
        before = bob.post_all([("history", {"cid": cid, "after": seq - 1})] * 4)
        delete = ann.post("delete", cid=cid, seq=seq)
        during = bob.post_all([("history", {"cid": cid, "after": seq - 1})] * 4)
        change = ann.answer(delete)["seq"]
        late = bob.post("history", cid=cid, after=seq - 1)
        for number in [*before, *during]:
            page = bob.answer(number)
            one = page["messages"][0]
            assert one["seq"] == seq
            if "deleted" in one:
                assert one["deleted"] == change and page["head"] >= change and secret not in str(page)
            else:
                assert one["body"].startswith(secret) and page["head"] < change, page
        page = bob.answer(late)
        assert page["messages"][0]["deleted"] == change and secret not in str(page), "the deletion was answered before"
        assert page["messages"][-1] == {**page["messages"][-1], "kind": "delete", "re": seq, "seq": change}


def test_delete_and_sync(people, again):
    """What a reader was shown a moment ago is not shown again from where it was kept."""
    ann, bob = people("ann", "bob")
    cid = ann.send("@" + bob.name, "first")["cid"]
    for n in range(ROUNDS // 4):
        secret = f"secret {n}"
        seqs = [ann.send(cid, f"{secret} {i}")["seq"] for i in range(3)]
        sync = {"epoch": bob.epoch, "cursors": {str(cid): seqs[0] - 1}}
        reader = again(bob, sync=sync)
        assert [one["body"] for one in reader.messages(3)] == [f"{secret} {i}" for i in range(3)]
        reader.close()
        deletes = ann.post_all([("delete", {"cid": cid, "seq": seq}) for seq in seqs])
        racing = again(bob, sync=sync)
        changes = [ann.answer(number)["seq"] for number in deletes]
        later = again(bob, sync=sync)
        got = later.messages(6)
        assert [one["seq"] for one in got] == [*seqs, *changes]
        assert [one.get("deleted") for one in got[:3]] == changes and secret not in "".join(later.frames)
        for one in racing.messages(6)[:3]:
            assert one.get("deleted") in changes or one["body"].startswith(secret)
        racing.close()
        later.close()


def test_edits_from_two_devices(people, again):
    ann, bob = people("ann", "bob")
    twin = again(ann)
    sent = ann.send("@" + bob.name, "first")
    cid, seq = sent["cid"], sent["seq"]
    for n in range(ROUNDS):
        posted = [(client, client.post_all([("edit", {"cid": cid, "seq": seq, "body": f"{i} {n} {k}"}) for k in range(2)]),
                   [f"{i} {n} {k}" for k in range(2)]) for i, client in enumerate((ann, twin))]
        places = {client.answer(number)["seq"]: body for client, ids, bodies in posted for number, body in zip(ids, bodies)}
        page = bob.call("history", cid=cid, before=2)
        assert (page["messages"][0]["body"], page["messages"][0]["edited"]) == (places[max(places)], max(places))
    log = whole_log(bob, cid)
    assert all(one["kind"] == "edit" and one["re"] == seq for one in log[1:]) and len(log) == 1 + 4 * ROUNDS


def test_edit_and_delete(people, again):
    ann, bob = people("ann", "bob")
    twin = again(ann)
    for n in range(ROUNDS):
        sent = ann.send("@" + bob.name, f"secret {n}")
        cid, seq = sent["cid"], sent["seq"]
        edits = ann.post_all([("edit", {"cid": cid, "seq": seq, "body": f"secret {n} {k}"}) for k in range(4)])
        change = twin.call("delete", cid=cid, seq=seq)["seq"]
        for number in edits:
            result, error = outcome(ann, number)
            assert error == "not_found" or result["seq"] < change, (result, error, change)
        page = bob.call("history", cid=cid, after=seq - 1)
        assert f"secret {n}" not in str(page), "the edits' bodies too"
        assert all(one["deleted"] == change for one in page["messages"][:-1]) and page["messages"][-1]["seq"] == change


# --- Marks ---

def test_read_marks_from_two_devices(people, again):
    ann, bob = people("ann", "bob")
    twin, third = again(bob), again(bob)
    count = ROUNDS * 4
    numbers = ann.post_all([("send", {"to": "@" + bob.name, "body": str(i)}) for i in range(count)])
    cid = [ann.answer(number) for number in numbers][0]["cid"]
    devices = {bob: range(1, count, 3), twin: range(count, 0, -5)}
    posted = {client: [] for client in devices}
    for values in itertools.zip_longest(*(list(v) for v in devices.values())):
        for client, value in zip(devices, values):
            if value is not None:
                posted[client].append((client.post("mark", cid=cid, **{"read" if value % 2 else "delivered": value}), value))
    for client, asked in posted.items():
        for number, value in asked:
            marks = client.answer(number)
            assert marks["delivered"] >= value and marks["read"] <= marks["delivered"]
            assert marks["read"] >= (value if value % 2 else 0)
    best = {"read": max(v for a in posted.values() for _, v in a if v % 2), "delivered": count}
    assert bob.call("mark", cid=cid) == best == twin.call("mark", cid=cid)
    for hearer in (third, ann):
        due = {"cid": cid, "user": bob.name, **best}
        hearer._wait(lambda hearer=hearer: due in hearer.seen("mark") or None, 20, "the last mark")
        told = hearer.taken("mark")
        assert told[-1] == due, "nothing comes behind the highest"
        assert all(a[name] <= b[name] for a, b in zip(told, told[1:]) for name in best), told
    (view,) = again(bob, sync=False).call("sync")["conversations"]
    assert {k: view[k] for k in best} == best and view["unread"] == count - best["read"]


def test_marks_and_sends_at_once(people, again):
    ann, bob = people("ann", "bob")
    twin = again(bob)
    cid = ann.send("@" + bob.name, "first")["cid"]
    head = 1
    for n in range(ROUNDS):
        numbers = ann.post_all([("send", {"to": cid, "body": f"{n} {i}"}) for i in range(BURST)])
        marks = [client.post("mark", cid=cid, read=head + 2) for client in (bob, twin)]
        for client, number in zip((bob, twin), marks):
            assert head <= client.answer(number)["read"] <= head + 2, "to head at most"
        head = max(ann.answer(number)["seq"] for number in numbers)
        assert bob.call("mark", cid=cid, read=head) == {"read": head, "delivered": head}


def test_names_are_taken_once(people):
    ann, bob = people("ann", "bob")
    for n in range(ROUNDS):
        handle = new_name("h")
        posted = [(client, client.post("group.create", title="races", handle=handle)) for client in (ann, bob)]
        results = [outcome(client, number) for client, number in posted]
        assert sorted(error or "" for _, error in results) == ["", "name_taken"]
        (owner, cid), = [(client, r["cid"]) for (client, _), (r, _) in zip(posted, results) if r]
        assert owner.call("group.info", cid="#" + handle)["cid"] == cid
