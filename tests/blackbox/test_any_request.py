"""Any method with any params: each request is answered once, with a result of its shape or an error of the table.

What comes back is held against lib/contract.py, and the server against its sanitizers.  The params are mostly such
as make sense to some method (users, groups and seqs that are there), so that the requests come through to the
chat and the store, and sometimes anything at all.

CONFAB_ANY_EXAMPLES makes a run longer; CONFAB_ANY_SEED=random takes other requests every time.
"""

import os

import hypothesis
import pytest
from hypothesis import strategies as st

from lib.across import ACROSS
from lib.client import Client, Closed
from lib.contract import RESULTS
from lib.fixtures import PASSWORD, new_name
from lib.server import dumps
from lib.stores import STORES

EXAMPLES = int(os.environ.get("CONFAB_ANY_EXAMPLES", "40" if ACROSS else "150"))
RANDOM = os.environ.get("CONFAB_ANY_SEED") == "random"
PEOPLE = 4
ENDS = {"logout", "account.delete", "session.revoke", "password.change"}  # may end connections of their user
NEVER = {"internal", "unavailable", "unknown_outcome"}                    # of a server that is well

METHODS = st.sampled_from(sorted(RESULTS))
WORD = st.sampled_from([
    "", " ", "a", "ab", "all", "admins", "contacts", "text", "typing", "x-a", "X-a", "edit", "join", "online", "away",
    "busy", "invisible", "offline", "owner", "admin", "member", "banned", "none", "deleted", "server", "here", "@", "#",
    "@@a", "@deleted", "#all", "contact", "null", "é", "ß", "\u202e", "\U0001f600", "a\nb", "\x7f", "\x00", "a\x00b", "'",
    '"', "\\", "%s%n", "' OR 1=1 --", "x" * 33, "x" * 65, "x" * 129, "x" * 257, "x" * 513, "é" * 128, "\U0001f600" * 256,
    "y" * 1025, "z" * 16384, "z" * 16385, PASSWORD, "swordfish"])
NUMBER = st.one_of(
    st.integers(0, 12), st.sampled_from([-1, 99, 100, 101, 200, 201, 500, 501, 1000, 1001, 5000, 2 ** 31, 2 ** 32,
                                         2 ** 53 - 2, 2 ** 53 - 1, 2 ** 53, 2 ** 63 - 1, 2 ** 63, 2 ** 64, 10 ** 30, 1.0,
                                         1.5, -0.0, 1e3, 1e308]))
LEAF = st.one_of(WORD, NUMBER, st.booleans(), st.none(), st.text(max_size=40))
ANYTHING = st.recursive(LEAF, lambda inner: st.one_of(
    st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=6), inner, max_size=4)), max_leaves=12)
SMALL_SEQ = st.integers(0, 9)


class Somebody:
    """A user's name; which is found out when the request is written."""

    def __init__(self, number, sign):
        self.number, self.sign = number, sign

    def __repr__(self):
        return f"Somebody({self.number}, {self.sign!r})"


USER = st.builds(Somebody, st.integers(0, PEOPLE + 1), st.just(""))
HANDLE = st.sampled_from(["ops", "dev", "OPS", "h-1", ""])
TARGET = st.one_of(st.integers(1, 9), st.builds(Somebody, st.integers(0, PEOPLE), st.just("@")), HANDLE.map(lambda h: "#" + h))
USERS = st.lists(USER, max_size=6)
DATA = st.dictionaries(st.text(max_size=6), LEAF, max_size=3)
SYNC = st.one_of(st.booleans(), st.fixed_dictionaries({}, optional={
    "epoch": WORD, "cursors": st.dictionaries(st.integers(0, 9).map(str), SMALL_SEQ, max_size=4), "backlog": NUMBER,
    "preview": st.booleans()}))
PARAMS = {
    "to": TARGET, "cid": TARGET, "scope": st.one_of(TARGET, st.sampled_from(["all", "contacts"])), "seq": SMALL_SEQ, "re": SMALL_SEQ,
    "read": SMALL_SEQ, "delivered": SMALL_SEQ, "before": SMALL_SEQ, "after": st.one_of(SMALL_SEQ, USER), "limit": NUMBER,
    "body": WORD, "kind": st.sampled_from(["text", "typing", "x-a"]), "data": DATA, "cmid": st.sampled_from(["a", "b", "c", "d"]),
    "user": USER, "users": USERS, "members": USERS, "note": WORD, "title": WORD, "topic": WORD, "handle": HANDLE,
    "open": st.booleans(), "history": st.booleans(), "ban": st.booleans(), "seconds": st.sampled_from([0, 1, 3600, 2 ** 53 - 1]),
    "role": st.sampled_from(["owner", "admin", "member", "banned"]), "post": st.sampled_from(["all", "admins"]),
    "invite": st.sampled_from(["all", "admins"]), "state": st.sampled_from(["online", "away", "busy", "invisible"]),
    "text": WORD, "query": WORD, "display": WORD, "status": WORD, "accept": st.sampled_from(["all", "contacts"]),
    "password": st.sampled_from([PASSWORD, "swordfish"]), "old": st.sampled_from([PASSWORD, "swordfish"]), "new": st.just(PASSWORD),
    "device": WORD, "token": WORD, "session": WORD, "sync": SYNC, "client": WORD, "all": st.booleans(),
    "epoch": WORD, "cursors": st.dictionaries(st.integers(0, 9).map(str), SMALL_SEQ, max_size=4), "backlog": NUMBER,
    "preview": st.booleans(), "unknown": ANYTHING,
}
# What a method takes, as docs/protocol.md has it; the rest is thrown in at random.
TAKES = {
    "hello": "client", "register": "user password display device sync", "login": "user password device sync",
    "resume": "token sync", "ping": "", "sync": "epoch cursors backlog preview", "logout": "all", "session.list": "",
    "session.revoke": "session", "password.change": "old new", "profile.set": "display status accept", "profile.get": "users",
    "user.find": "query limit", "account.delete": "password", "send": "to body kind cmid data re", "edit": "cid seq body data cmid",
    "delete": "cid seq", "history": "cid before after limit", "mark": "cid read delivered", "receipts": "cid seq limit after",
    "signal": "to kind data", "group.create": "title handle open members history", "group.join": "cid", "group.leave": "cid",
    "group.invite": "cid users", "group.remove": "cid user ban", "group.unban": "cid user", "group.role": "cid user role",
    "group.mute": "cid user seconds", "group.set": "cid title topic handle open post invite", "group.info": "cid",
    "group.members": "cid role after limit", "group.list": "query after limit", "group.dismiss": "cid",
    "contact.add": "user note", "contact.accept": "user", "contact.reject": "user", "contact.remove": "user",
    "contact.block": "user", "contact.unblock": "user", "contact.list": "after limit", "presence.set": "state text",
    "presence.get": "users", "presence.watch": "users", "who": "scope after limit",
}


@st.composite
def requests(draw):
    method = draw(METHODS)
    params = {}
    for name in TAKES[method].split():
        how = draw(st.integers(0, 19))
        if how < 16:
            params[name] = draw(PARAMS[name])
        elif how == 16:
            params[name] = draw(ANYTHING)
        elif how == 17:
            params[name] = None
    if draw(st.integers(0, 9)) == 0:
        other = draw(st.sampled_from(sorted(PARAMS)))
        params.setdefault(other, draw(PARAMS[other]))
    if draw(st.integers(0, 39)) == 0:
        return method, draw(ANYTHING)
    return method, params


# (who asks: two connections of each user, and one that has none; what)
ROUNDS = st.lists(st.tuples(st.integers(0, 2 * PEOPLE), requests()), min_size=1, max_size=30)


def test_all_methods_are_among_them():
    assert set(TAKES) == set(RESULTS)


class World:
    def __init__(self, port, transport):
        self.port, self.transport = port, transport
        self.people, self.clients, self.past = [None] * PEOPLE, {}, []

    def who(self, somebody):
        number = somebody.number
        name = self.people[number] if number < PEOPLE else ["deleted", "nobody-there"][number - PEOPLE]
        return somebody.sign + name

    def plain(self, value):
        if isinstance(value, Somebody):
            return self.who(value)
        if isinstance(value, list):
            return [self.plain(one) for one in value]
        if isinstance(value, dict):
            return {key: self.plain(one) for key, one in value.items()}
        return value

    def enter(self, place):
        """The client at this place, new or the one that is there."""
        client, user = self.clients.get(place), place // 2
        if client is not None and client.ended is None:
            return client
        if client is not None:
            self.past.append(client)
        client = self.clients[place] = Client(self.port, self.transport)
        if user == PEOPLE:
            return client
        other = self.clients.get(place ^ 1)
        if other is not None and other.ended is None and other.name == self.people[user]:
            frame = client.frame(client.post("resume", token=other.token, sync=True))
            if "result" in frame:
                client.login_as(frame["result"])
                return client
        self.people[user] = new_name("any")
        client.login_as(client.call("register", user=self.people[user], password=PASSWORD, sync=True))
        return client

    def ask(self, client, method, params):
        number = next(client.ids)
        client.asked[number] = (method, params if isinstance(params, dict) else {})
        text = dumps({"id": number, "method": method, "params": params})
        if len(text.encode()) > 60000:
            return None
        try:
            client.send_text(text)
        except ConnectionError:
            pass    # judged with the answers
        return number

    def run(self, asked):
        for place in range(2 * PEOPLE + 1):
            self.enter(place)
        waiting, ending = [], set()
        for place, (method, params) in asked:
            client = self.clients[place]
            if place // 2 == PEOPLE and len(dumps(self.plain(params)).encode()) > 3000:
                continue    # too long before a login
            number = self.ask(client, method, self.plain(params))
            if number is not None:
                waiting.append((place, number))
            if method in ENDS:
                ending.add(place // 2)
        for place, number in waiting:
            self.judge(place, number, ending)

    def judge(self, place, number, ending):
        client = self.clients[place]
        try:
            frame = client.frame(number)
        except Closed:
            assert place // 2 in ending or self.told_to_go(client), (client.asked[number], client.frames[-2:])
            return
        if "error" in frame:
            assert frame["error"]["data"]["name"] not in NEVER, (client.asked[number], frame)
        elif client.asked[number][0] in ("logout", "account.delete"):
            client.wait_closed()

    @staticmethod
    def told_to_go(client):
        return any(note["reason"] == "session_revoked" for note in client.seen("goaway"))

    def leave(self):
        for client in [*self.past, *self.clients.values()]:
            client.close()


@pytest.mark.slow
@pytest.mark.parametrize("config", [*STORES.values(), {"directory": "closed"}], ids=[*STORES, "closed"])
def test_any_request_is_answered_once(confabd, transport, config):
    server = confabd(config=config)
    world = World(server.port, transport)

    @hypothesis.settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=not RANDOM,
                         phases=[hypothesis.Phase.generate], suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(ROUNDS)
    def run(asked):
        world.run(asked)

    try:
        run()
        for place in range(2 * PEOPLE):     # all of them are still served
            assert "ts" in world.enter(place).call("ping")
    finally:
        world.leave()
