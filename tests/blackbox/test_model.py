"""Random requests of several users with two devices each, against a small model (lib/model.py).

Every answer is compared at once.  At checkpoints, and at the end of every example, everything that can be asked
or was told is: streams, histories, unread counts, marks, roles, members, receipts, contacts.

CONFAB_MODEL_EXAMPLES and CONFAB_MODEL_STEPS make a run longer; CONFAB_MODEL_SEED=random takes other examples
every time (the default repeats the same); CONFAB_MODEL_SHRINK=1 looks for the shortest one that fails, which can
take minutes.
"""

import json
import os

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from lib.client import Client
from lib.fixtures import PASSWORD, new_name
from lib.model import ANY, Model, numbers
from lib.across import ACROSS, serve
from lib.stores import STORES

EXAMPLES = int(os.environ.get("CONFAB_MODEL_EXAMPLES", "18" if ACROSS else "45"))  # hypothesis makes the first ten very small
STEPS = int(os.environ.get("CONFAB_MODEL_STEPS", "70"))
RANDOM = os.environ.get("CONFAB_MODEL_SEED") == "random"
PHASES = [hypothesis.Phase.generate] + [hypothesis.Phase.shrink] * bool(os.environ.get("CONFAB_MODEL_SHRINK"))

PEOPLE = 4
WHO = st.integers(0, PEOPLE - 1)
RULER = st.integers(0, 2 * PEOPLE - 1)  # anybody; or, as often, one who may do what is asked
DEVICE = st.integers(0, 1)
PICK = st.integers(0, 5)
ROLES = st.sampled_from(["member", "admin", "owner"])


class Device:
    """A connection that is synced, and what should have been told to it."""

    def __init__(self, machine, name, token=None, sync=True):
        self.machine, self.name = machine, name
        self.client = Client(machine.server.port, machine.transport)
        self.marks, self.told = {}, {}      # (cid, user) -> (read, delivered): what is due, what came
        self.contacts, self.contacts_told = [], []
        self.listed = self.client.login_as(self.client.call(*self.how(name, token), sync=sync))

    def how(self, name, token):
        if token:
            return "resume", {"token": token}
        known = name in self.machine.model.users
        return "login" if known else "register", {"user": name, "password": PASSWORD}

    @property
    def next(self):
        return self.client.contract.stream.next

    def take(self):
        """Judges the notifications that came since."""
        model = self.machine.model
        with self.client.changed:
            notes, self.client.notes = self.client.notes, []
        for method, params, _ in notes:
            if method == "message":
                conv = model.conversations[params["cid"]]
                assert conv.ever_saw(self.name, params["seq"]), f"{self.name} in {conv.spans.get(self.name)}: {params}"
                model.check_entry(conv, params, live=True)
            elif method == "mark":
                self.told[params["cid"], params["user"]] = (params["read"], params["delivered"])
            elif method == "contact":
                self.contacts_told.append((params["user"], params["state"]))
            elif method == "conversation":
                self.machine.check_announced(self.name, params)
            else:
                assert method in ("presence", "gap", "signal"), (method, params)

    def in_step(self):
        """Everything that is due has come (who waits is called after every frame)."""
        due = {conv.cid: conv.head + 1 for conv in self.machine.model.conversations.values() if conv.has(self.name)}
        past = self.client.contract.stream.past     # left before the sync, or told to be over
        have = {cid: next for cid, next in self.next.items() if past.get(cid) != next}
        marks = dict(self.told)
        contacts = len(self.contacts_told)
        for method, params, _ in self.client.notes:
            if method == "mark":
                marks[params["cid"], params["user"]] = (params["read"], params["delivered"])
            contacts += method == "contact"
        self.lag = (due, have, self.marks, marks, self.contacts, contacts)
        return have == due and all(marks.get(key) == value for key, value in self.marks.items()) \
            and contacts >= len(self.contacts) or None

    def check(self):
        try:
            self.client._wait(self.in_step, 10, "the stream")
        except AssertionError as error:
            raise AssertionError(f"{self.name}: due and there: {self.lag}") from error
        self.take()
        for (user, state), due in zip(self.contacts_told, self.contacts):
            assert user == due["user"] and state == due["state"], f"{self.name}: {self.contacts_told}, due {self.contacts}"
        assert len(self.contacts_told) == len(self.contacts), f"{self.name}: {self.contacts_told}, due {self.contacts}"
        assert set(self.told) <= set(self.marks), f"{self.name}: marks {self.told}, due {self.marks}"


class Machine(RuleBasedStateMachine):
    server = transport = methods = None

    def __init__(self):
        super().__init__()
        self.model = Model()
        self.people, self.devices, self.sent = [], [], []
        self.cmids = numbers("c")
        self.word = new_name("w")   # in every title and handle of this example
        self.counter = 0

    @initialize()
    def begin(self):
        for base in "abcd":
            name = new_name(base)
            first = Device(self, name)
            self.model.add_user(name)
            self.people.append(name)
            self.devices.append([first, Device(self, name)])
        a, b, c, _ = self.people
        if "group.create" in self.methods:
            self.do(0, 0, "group.create", self.model.group_create(a, f"{self.word} first", None, True, [b, c]),
                    title=f"{self.word} first", open=True, members=[b, c])
        self.first(0, 0, 1)

    def teardown(self):
        try:
            if self.people:
                self.compare()
        finally:
            for pair in self.devices:
                for device in pair:
                    if device is not None:
                        device.client.close()

    # --- Asking ---

    def live(self, who):
        return self.model.exists(self.people[who])

    def do(self, who, device, method, plan, **params):
        """Asks, compares the answer with the plan, and carries it out in the model."""
        if method not in self.methods:
            return None
        asker = self.devices[who][device] or self.devices[who][1 - device]
        frame = asker.client.frame(asker.client.post(method, {k: v for k, v in params.items() if v is not None}))
        where = f"{self.people[who]}: {method} {params}: {frame}"
        if "error" in frame:
            assert frame["error"]["data"]["name"] in plan.errors, f"due: {sorted(plan.errors) or plan.expect}; {where}"
            return None
        assert plan.succeeds, f"due: {sorted(plan.errors)}; {where}"
        result = frame["result"]
        self.check_result(plan.expect, result, where)
        plan.apply(result)
        self.tell(asker)
        return result

    def check_result(self, expect, result, where):
        for name, value in expect.items():
            if value is ANY:
                continue
            if name == "seqs":
                assert [one["seq"] for one in result["messages"]] == value, f"due: {value}; {where}"
            elif name == "names":
                assert [one["user"] for one in result["members"]] == value, f"due: {value}; {where}"
            elif name == "failed":
                assert set(result["failed"]) == set(value), f"due: {value}; {where}"
                assert all(result["failed"][user] in whys for user, whys in value.items()), f"due: {value}; {where}"
            elif name == "owners":
                assert sorted(result["owners"]) == value, f"due: {value}; {where}"
            else:
                assert result.get(name) == value, f"due: {name} {value}; {where}"

    def tell(self, asker):
        """What a request changed is told to whom it concerns."""
        for user, note in self.model.notes:
            for device in self.devices_of(user):
                device.contacts.append(note)
        for conv, name in self.model.marks:
            marks = (conv.members[name].read, conv.members[name].delivered)
            hearers = [one for one in self.devices_of(name) if one is not asker]
            if conv.kind == "direct" and not self.model.blocked(name, conv.other(name)):
                hearers += self.devices_of(conv.other(name))
            for device in hearers:
                device.marks[conv.cid, name] = marks
        self.model.notes.clear()
        self.model.marks.clear()

    def devices_of(self, name):
        return [one for one in self.devices[self.people.index(name)] if one is not None]

    def group(self, pick):
        groups = self.model.groups()
        return groups[pick % len(groups)] if groups else None

    def ruled(self, pick, who):
        """A group and somebody: of those beyond the people, one who rules it."""
        conv = self.group(pick)
        if conv is None or who < PEOPLE:
            return conv, who % PEOPLE
        rulers = sorted(conv.current(), key=lambda name: (-conv.rank(name), name))[:1 + who % 2]
        return conv, self.people.index(rulers[-1]) if rulers else who % PEOPLE

    def place(self, who, pick):
        """One of the conversations; more often one of his own."""
        convs = list(self.model.conversations.values())
        own = [conv for conv in convs if self.people[who] in conv.members]
        found = own if pick < 5 and own else convs
        return found[pick % len(found)] if found else None

    def naming(self, who, conv, by_name):
        """A target: its number, or its name now."""
        if by_name and conv.handle:
            return "#" + conv.handle
        name = self.people[who]
        if by_name and conv.kind == "direct" and name in conv.members and self.model.exists(conv.other(name)):
            return "@" + conv.other(name)
        return conv.cid

    def fresh(self, what):
        self.counter += 1
        return f"{what} {self.counter}"

    # --- Messages ---

    def first(self, who, device, whom):
        name, other = self.people[who], self.people[whom]
        cmid, body = next(self.cmids), self.fresh("hello")
        conv = self.model.direct(name, other)
        plan = self.model.send(name, conv, cmid, body) if conv and self.model.exists(other) else \
            self.model.send_first(name, other, cmid, body)
        self.do(who, device, "send", plan, to="@" + other, body=body, cmid=cmid)

    @rule(who=WHO, device=DEVICE, whom=WHO)
    def send_direct(self, who, device, whom):
        if who != whom and self.live(who):
            self.first(who, device, whom)

    @rule(who=WHO, device=DEVICE, pick=PICK, re=st.none() | st.integers(1, 12), data=st.none() | st.just({"n": 1}),
          by_name=st.booleans(), count=st.integers(1, 3))
    def send(self, who, device, pick, re, data, by_name, count):
        conv = self.place(who, pick)
        if conv is None or not self.live(who):
            return
        to = self.naming(who, conv, by_name)
        for _ in range(count):
            cmid, body = next(self.cmids), self.fresh("text")
            if self.do(who, device, "send", self.model.send(self.people[who], conv, cmid, body, data, re),
                       to=to, body=body, cmid=cmid, data=data, re=re):
                self.sent.append((who, conv, cmid, body, data, re))

    @precondition(lambda self: self.sent)
    @rule(device=DEVICE, pick=st.integers(0, 30), other=st.booleans())
    def send_again(self, device, pick, other):
        who, conv, cmid, body, data, re = self.sent[-1 - pick % len(self.sent)]
        if self.live(who):
            body = "another" if other else body
            self.do(who, device, "send", self.model.send(self.people[who], conv, cmid, body, data, re),
                    to=conv.cid, body=body, cmid=cmid, data=data, re=re)

    def some_seq(self, who, conv, back):
        """A place near the end, more often that of a message of his."""
        own = [one.seq for one in conv.entries if one.is_message and one.sender == self.people[who]]
        said = [one.seq for one in conv.entries if one.is_message]
        if back < 8 and (own or said):
            return (own or said)[-1 - back % len(own or said)]
        return max(1, conv.head - back % 8)

    @rule(who=WHO, device=DEVICE, pick=PICK, back=st.integers(0, 11), data=st.none() | st.just({"n": 2}),
          again=st.booleans())
    def edit(self, who, device, pick, back, data, again):
        conv = self.place(who, pick)
        if conv is None or not self.live(who):
            return
        name, seq = self.people[who], self.some_seq(who, conv, back)
        cmid, body = next(self.cmids), self.fresh("edited")
        edits = [one for one in conv.entries if one.kind == "edit" and one.sender == name and not one.deleted]
        if again and edits:
            cmid, seq, (body, data) = edits[-1].cmid, edits[-1].re, edits[-1].asked
        self.do(who, device, "edit", self.model.edit(name, conv, seq, cmid, body, data),
                cid=conv.cid, seq=seq, body=body, data=data, cmid=cmid)

    @rule(who=WHO, device=DEVICE, pick=PICK, back=st.integers(0, 11))
    def delete(self, who, device, pick, back):
        conv = self.place(who, pick)
        if conv is not None and self.live(who):
            seq = self.some_seq(who, conv, back)
            self.do(who, device, "delete", self.model.delete(self.people[who], conv, seq), cid=conv.cid, seq=seq)

    @rule(who=WHO, device=DEVICE, pick=PICK, read=st.none() | st.integers(0, 5), delivered=st.none() | st.integers(0, 5))
    def mark(self, who, device, pick, read, delivered):
        conv = self.place(who, pick)
        if conv is None or not self.live(who):
            return
        read = None if read is None else max(0, conv.head + 1 - read)
        delivered = None if delivered is None else max(0, conv.head + 1 - delivered)
        self.do(who, device, "mark", self.model.mark(self.people[who], conv, read, delivered),
                cid=conv.cid, read=read, delivered=delivered)
        self.server.settle(conv.cid)

    @rule(who=WHO, device=DEVICE, pick=PICK, before=st.none() | st.integers(1, 15), after=st.none() | st.integers(0, 15),
          limit=st.integers(1, 8))
    def history(self, who, device, pick, before, after, limit):
        conv = self.place(who, pick)
        if conv is not None and self.live(who):
            plan = self.model.history(self.people[who], conv, before, after, limit)
            page = self.do(who, device, "history", plan, cid=conv.cid, before=before, after=after, limit=limit)
            for one in page["messages"] if page else []:
                self.model.check_entry(conv, one, reader=self.people[who])

    @rule(who=WHO, device=DEVICE, pick=PICK, back=st.integers(0, 5))
    def receipts(self, who, device, pick, back):
        conv = self.place(who, pick)
        if conv is not None and self.live(who):
            seq = max(1, conv.head - back)
            self.do(who, device, "receipts", self.model.receipts(self.people[who], conv, seq), cid=conv.cid, seq=seq)

    # --- Groups ---

    @rule(who=WHO, device=DEVICE, open=st.booleans(), history=st.booleans(), handle=st.none() | st.sampled_from("xy"),
          members=st.lists(WHO, unique=True, max_size=3))
    def group_create(self, who, device, open, history, handle, members):
        if not self.live(who) or len(self.model.groups()) >= 4:
            return
        names = [self.people[one] for one in members if one != who]
        handle = handle and f"{self.word}-{handle}"
        title = self.fresh(self.word)
        plan = self.model.group_create(self.people[who], title, handle, open, names, history)
        self.do(who, device, "group.create", plan, title=title, handle=handle, open=open, members=names, history=history)

    @rule(who=RULER, device=DEVICE, pick=PICK, what=st.sampled_from(["join", "leave", "info", "members"]), by_name=st.booleans())
    def group_simple(self, who, device, pick, what, by_name):
        conv, who = self.ruled(pick, who)
        if conv is not None and self.live(who):
            plan = getattr(self.model, f"group_{what}")(self.people[who], conv)
            self.do(who, device, f"group.{what}", plan, cid=self.naming(who, conv, by_name))

    @rule(who=RULER, device=DEVICE, pick=PICK, sure=st.integers(0, 3))
    def group_dismiss(self, who, device, pick, sure):
        conv, who = self.ruled(pick, who)
        if conv is not None and self.live(who) and not sure:
            self.do(who, device, "group.dismiss", self.model.group_dismiss(self.people[who], conv), cid=conv.cid)

    @rule(who=RULER, device=DEVICE, pick=PICK, role=ROLES | st.just("banned"))
    def group_members_by_role(self, who, device, pick, role):
        conv, who = self.ruled(pick, who)
        if conv is not None and self.live(who):
            self.do(who, device, "group.members", self.model.group_members(self.people[who], conv, role), cid=conv.cid, role=role)

    @rule(who=RULER, device=DEVICE, pick=PICK, users=st.lists(WHO, unique=True, min_size=1, max_size=3))
    def group_invite(self, who, device, pick, users):
        conv, who = self.ruled(pick, who)
        if conv is not None and self.live(who):
            names = [self.people[one] for one in users]
            self.do(who, device, "group.invite", self.model.group_invite(self.people[who], conv, names), cid=conv.cid, users=names)

    @rule(who=RULER, device=DEVICE, pick=PICK, whom=WHO, ban=st.booleans())
    def group_remove(self, who, device, pick, whom, ban):
        conv, who = self.ruled(pick, who)
        if conv is not None and self.live(who):
            plan = self.model.group_remove(self.people[who], conv, self.people[whom], ban)
            self.do(who, device, "group.remove", plan, cid=conv.cid, user=self.people[whom], ban=ban)

    @rule(who=RULER, device=DEVICE, pick=PICK, whom=WHO)
    def group_unban(self, who, device, pick, whom):
        conv, who = self.ruled(pick, who)
        if conv is not None and self.live(who):
            plan = self.model.group_unban(self.people[who], conv, self.people[whom])
            self.do(who, device, "group.unban", plan, cid=conv.cid, user=self.people[whom])

    @rule(who=RULER, device=DEVICE, pick=PICK, whom=WHO, role=ROLES)
    def group_role(self, who, device, pick, whom, role):
        conv, who = self.ruled(pick, who)
        if conv is not None and self.live(who):
            plan = self.model.group_role(self.people[who], conv, self.people[whom], role)
            self.do(who, device, "group.role", plan, cid=conv.cid, user=self.people[whom], role=role)

    @rule(who=RULER, device=DEVICE, pick=PICK, whom=WHO, seconds=st.sampled_from([0, 3600]))
    def group_mute(self, who, device, pick, whom, seconds):
        conv, who = self.ruled(pick, who)
        if conv is not None and self.live(who):
            seconds += seconds and len(conv.entries)    # never the same end twice
            plan = self.model.group_mute(self.people[who], conv, self.people[whom], seconds)
            self.do(who, device, "group.mute", plan, cid=conv.cid, user=self.people[whom], seconds=seconds)

    @rule(who=RULER, device=DEVICE, pick=PICK, settings=st.fixed_dictionaries({}, optional={
        "title": st.sampled_from("pq"), "topic": st.sampled_from(["", "t", "u"]), "handle": st.sampled_from(["", "x", "y"]),
        "open": st.booleans(), "post": st.sampled_from(["all", "admins"]), "invite": st.sampled_from(["all", "admins"])}))
    def group_set(self, who, device, pick, settings):
        conv, who = self.ruled(pick, who)
        if conv is None or not self.live(who):
            return
        if settings.get("handle"):
            settings["handle"] = f"{self.word}-{settings['handle']}"
        if "title" in settings:
            settings["title"] = f"{self.word} {settings['title']}"
        self.do(who, device, "group.set", self.model.group_set(self.people[who], conv, **settings), cid=conv.cid, **settings)

    # --- People ---

    @rule(who=st.integers(0, 2), device=DEVICE, whom=st.integers(0, 2),
          what=st.sampled_from(["add", "add", "accept", "reject", "remove", "block", "unblock"]))
    def contact(self, who, device, whom, what):
        if who != whom and self.live(who):
            plan = getattr(self.model, f"contact_{what}")(self.people[who], self.people[whom])
            self.do(who, device, f"contact.{what}", plan, user=self.people[whom])

    @rule(who=WHO, device=DEVICE, accept=st.sampled_from(["all", "contacts"]))
    def accept(self, who, device, accept):
        if self.live(who):
            self.do(who, device, "profile.set", self.model_accept(who, accept), accept=accept)

    def model_accept(self, who, accept):
        from lib.model import Plan
        return Plan(lambda _: setattr(self.model.users[self.people[who]], "accept", accept))

    @rule(who=WHO, device=DEVICE, sure=st.integers(0, 5))
    def account_delete(self, who, device, sure):
        alive = sum(self.live(one) for one in range(PEOPLE))
        if sure or not self.live(who) or alive < 3 or "account.delete" not in self.methods:
            return
        name = self.people[who]
        for pair in self.devices:   # what they were told before, while it can be told apart
            for one in pair:
                if one is not None:
                    one.check()
        mine = [conv for conv in self.model.groups() if conv.has(name)]
        self.do(who, device, "account.delete", self.model.account_delete(name), password=PASSWORD)
        for one in self.devices_of(name):
            one.client.wait_closed()
        self.devices[who] = [None, None]
        for conv in mine:
            self.left_behind(conv, name)

    def left_behind(self, conv, name):
        """How a deleted user's group goes on, as those who stay can read it."""
        others = [one for one in conv.current() if one != name]
        if not others:
            conv.leave(name, conv.head)
            conv.dismissed, conv.handle = True, None
            return
        page = self.devices_of(others[0])[0].client.call("history", cid=conv.cid, after=conv.head)
        self.model.gone(conv, name, page["messages"])

    # --- Devices that go and come ---

    @rule(who=WHO, device=DEVICE, back=st.integers(0, 6), cursors=st.booleans(), backlog=st.sampled_from([None, 0, 3]))
    def reconnect(self, who, device, back, cursors, backlog):
        if not self.live(who):
            return
        old = self.devices[who][device]
        old.client.close()
        self.come_back(who, device, back if cursors else None, {"backlog": backlog} if backlog is not None else {})

    def come_back(self, who, device, back, sync):
        """A new connection for one that was closed, with cursors so far back, or without."""
        old = self.devices[who][device]
        named = {cid: max(0, next - 1 - back) for cid, next in old.next.items()} if back is not None else {}
        if named:
            sync.update(epoch=old.client.epoch, cursors={str(cid): seq for cid, seq in named.items()})
        fresh = self.devices[who][device] = Device(self, self.people[who], old.client.token, sync or True)
        self.check_sync(fresh, named)

    def check_sync(self, device, named):
        name, result = device.name, device.listed
        assert not result["reset"], result
        convs = self.model.conversations
        due = {cid for cid, conv in convs.items() if conv.has(name) or (cid in named and name in conv.members)}
        listed = {view["cid"]: view for view in result["conversations"]}
        assert set(listed) == due and result["total"] == len(due), f"{name} {named}: {result}"
        assert result["gone"] == sorted(set(named) - due), f"{name} {named}: {result}"
        for cid, view in listed.items():
            self.check_view(name, convs[cid], view)
            low = convs[cid].min_seq(name)
            begin = named.get(cid, convs[cid].members[name].read) + 1
            assert view["next"] == max(low, begin), f"{name} {named}: {view}"

    def check_view(self, name, conv, view):
        due = conv.view(name)
        assert {key: view[key] for key in due} == due, f"{name}: {view}, due {due}"
        assert (view.get("muted_until", 0) > 0) == (conv.members[name].muted and conv.has(name)), view
        if conv.kind == "group":
            assert view["title"] == conv.title and view.get("handle") == conv.handle, f"{view}, due {conv.title} {conv.handle}"
        else:
            peer = conv.other(name)
            assert view["peer"] == self.model.users[peer].author, view
            if self.model.exists(peer):
                assert (view["peer_read"], view["peer_delivered"]) == self.model.marks_of(conv, peer, name), view

    def check_announced(self, name, params):
        """conversation: as it was when it was told, so only what stays can be compared."""
        if params["change"] == "removed":
            return
        conv = self.model.conversations[params["cid"]]
        assert params["kind"] == conv.kind, params
        joins = {join for join, _ in conv.spans[name]}
        assert params["min_seq"] in ({1} if conv.history or conv.kind == "direct" else joins), f"{params}, joined {joins}"
        # Another device may have read it before this one was told.
        assert params["next"] == max(params["min_seq"], params["read"] + 1), params

    # --- Everything ---

    @rule(sure=st.integers(0, 2))
    def compare_now(self, sure):
        if not sure:
            self.compare()

    def compare(self):
        for pair in self.devices:
            for device in pair:
                if device is not None:
                    device.check()
        for who in range(PEOPLE):
            if self.live(who):
                self.compare_user(who)

    def compare_user(self, who):
        name = self.people[who]
        fresh = Device(self, name, self.devices[who][0].client.token)
        try:
            self.check_sync(fresh, {})
            for conv in self.model.conversations.values():
                self.compare_history(fresh.client, name, conv)
                if "receipts" in self.methods and conv.has(name):
                    self.do(who, 0, "receipts", self.model.receipts(name, conv, conv.head), cid=conv.cid, seq=conv.head)
                if conv.kind == "group":
                    self.do(who, 0, "group.members", self.model.group_members(name, conv), cid=conv.cid)
                    self.do(who, 0, "group.info", self.model.group_info(name, conv), cid=conv.cid)
            if "contact.list" in self.methods:
                found = [(one["user"], one["state"]) for one in fresh.client.call("contact.list")["contacts"]]
                assert found == self.model.contact_list(name), f"{name}: {found}, due {self.model.contact_list(name)}"
            if "group.list" in self.methods:
                self.compare_open_groups(fresh.client)
            fresh.check()
        finally:
            fresh.client.close()

    def compare_history(self, client, name, conv):
        plan = self.model.history(name, conv, after=0, limit=200)
        if plan.errors:
            client.fails(plan.errors, "history", cid=conv.cid)
            return
        page = client.call("history", cid=conv.cid, after=0, limit=200)
        self.check_result(plan.expect, page, f"{name}: {page}")
        for one in page["messages"]:
            self.model.check_entry(conv, one, reader=name)
            if conv.kind == "group":
                assert one["to"] == ("#" + conv.handle if conv.handle else conv.cid), f"{conv.handle}: {one}"

    def compare_open_groups(self, client):
        found = {one["cid"]: one for one in client.call("group.list", query=self.word)["groups"]}
        due = {conv.cid: conv for conv in self.model.groups() if conv.open and not conv.dismissed}
        assert set(found) == set(due), f"{json.dumps(found)}, due {sorted(due)}"
        for cid, conv in due.items():
            assert (found[cid]["title"], found[cid]["members"]) == (conv.title, len(conv.current())), found[cid]


class Restarting(Machine):
    """What the server knows without looking must be what its store says."""

    @rule(sure=st.integers(0, 3))
    def restart(self, sure):
        if sure:
            return
        devices = [(who, device) for who in range(PEOPLE) for device in (0, 1) if self.live(who)]
        for who, device in devices:
            self.devices[who][device].client.close()
        self.server.restart()
        for who, device in devices:
            self.come_back(who, device, 0, {})


ASKED = ("group.create", "group.join", "group.leave", "group.invite", "group.remove", "group.unban", "group.role",
         "group.mute", "group.set", "group.info", "group.members", "group.list", "group.dismiss", "contact.add",
         "contact.accept", "contact.reject", "contact.remove", "contact.block", "contact.unblock", "contact.list",
         "send", "edit", "delete", "history", "mark", "receipts", "profile.set", "account.delete")


@pytest.fixture(scope="module", params=list(STORES))
def store(request, tmp_path_factory):
    server = serve(tmp_path_factory.mktemp(request.param), config=STORES[request.param]).start()
    yield server
    server.finish()


def known_methods(server, transport):
    client = Client(server.port, transport)
    client.call("register", user=new_name("probe"), password=PASSWORD)
    frames = {method: client.frame(client.post(method)) for method in ASKED}
    client.close()
    return {method for method, frame in frames.items()
            if frame.get("error", {}).get("data", {}).get("name") != "unknown_method"}


def run(base, where, how, examples):
    class Here(base):
        server, transport, methods = where, how, known_methods(where, how)

    run_state_machine_as_test(Here, settings=hypothesis.settings(
        max_examples=examples, stateful_step_count=STEPS, deadline=None, derandomize=not RANDOM, database=None,
        phases=PHASES, report_multiple_bugs=False, suppress_health_check=list(hypothesis.HealthCheck), print_blob=False))


def test_random_requests_of_several_users(store, transport):
    run(Machine, store, transport, EXAMPLES)


def test_random_requests_with_restarts(confabd):
    run(Restarting, confabd(), "tcp", max(20, EXAMPLES // 2))
