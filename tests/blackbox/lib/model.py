"""What a server should do, small: users, contacts and conversations in plain Python, one request at a time.

Every method of Model answers a request with a Plan: the errors with which it may be refused (none: it must
succeed), the members that its answer must have, and what it changes when it succeeds.  Where the protocol
leaves a choice the Plan allows both.
"""

import itertools

RANK = {"member": 1, "admin": 2, "owner": 3}
ANY = object()  # a value that only the server knows


class Plan:
    """errors: how it may be refused; succeeds: whether it may succeed; expect: what is in the answer then."""

    def __init__(self, apply=None, expect=None, errors=(), succeeds=True):
        self.errors, self.succeeds = frozenset(errors), succeeds
        self.expect = expect or {}
        self.apply = apply or (lambda answer: None)


def refused(*errors):
    return Plan(errors=errors, succeeds=False)


class User:
    def __init__(self, name):
        self.name, self.display, self.accept, self.deleted = name, name, "all", False

    @property
    def author(self):
        """As entries name him."""
        return "deleted" if self.deleted else self.name


class Member:
    """Somebody who is in a conversation, or was."""

    def __init__(self, name, join, role="member"):
        self.name, self.join, self.role = name, join, role
        self.leave = None
        self.read = self.delivered = join - 1
        self.muted = False


class Entry:
    def __init__(self, seq, sender, kind, body=None, data=None, cmid=None, re=None, ts=ANY):
        self.seq, self.sender, self.kind, self.cmid, self.re, self.ts = seq, sender, kind, cmid, re, ts
        self.body, self.data = body, data
        self.states = [(body, data, None)]  # (body, data, edited): what it read as, the newest last
        self.asked = (body, data)  # as the request had them
        self.edited = self.deleted = None

    @property
    def is_message(self):
        return self.kind == "text" or self.kind.startswith("x-")


class Conversation:
    def __init__(self, cid, kind):
        self.cid, self.kind = cid, kind
        self.entries, self.members, self.by_cmid = [], {}, {}
        self.spans = {}      # name -> [(join, leave or None)], one for each time that he was in
        self.banned = set()
        self.title, self.topic, self.handle, self.open = "", "", None, False
        self.post, self.invite, self.history, self.dismissed = "all", "admins", False, False

    @property
    def head(self):
        return len(self.entries)

    def current(self):
        return {name: one for name, one in self.members.items() if one.leave is None}

    def has(self, name):
        return name in self.members and self.members[name].leave is None

    def rank(self, name):
        return RANK[self.members[name].role] if self.has(name) else 0

    def owners(self):
        return sorted(name for name, one in self.current().items() if one.role == "owner")

    def min_seq(self, name):
        return 1 if self.history or self.kind == "direct" else self.members[name].join

    def head_of(self, name):
        leave = self.members[name].leave
        return self.head if leave is None else leave

    def sees(self, name, seq):
        return name in self.members and self.min_seq(name) <= seq <= self.head_of(name)

    def ever_saw(self, name, seq):
        """Whether it could be shown to him live, in one of his memberships."""
        return any((join <= seq or self.history) and (leave is None or seq <= leave)
                   for join, leave in self.spans.get(name, []))

    def other(self, name):
        return next(one for one in self.members if one != name)

    def join(self, name, seq, role="member"):
        muted = name in self.members and self.members[name].muted
        self.members[name] = Member(name, seq, role)
        self.members[name].muted = muted
        self.spans.setdefault(name, []).append((seq, None))

    def leave(self, name, seq):
        self.members[name].leave = seq
        self.spans[name][-1] = (self.spans[name][-1][0], seq)

    def view(self, name):
        """What sync tells him of it, beside `next`."""
        me = self.members[name]
        head, low = self.head_of(name), self.min_seq(name)
        role = "none" if me.leave is not None else me.role
        view = {"cid": self.cid, "kind": self.kind, "role": role, "min_seq": low, "head": head, "read": me.read,
                "delivered": me.delivered, "unread": max(0, head - max(me.read, low - 1))}
        return view


class Model:
    def __init__(self):
        self.users, self.contacts, self.conversations = {}, {}, {}
        self.notes = []  # (user, {"user", "state"}): contact notifications that are due
        self.marks = []  # (conversation, name): marks that grew

    def add_user(self, name):
        self.users[name] = User(name)

    # --- Who may what ---

    def exists(self, name):
        return name in self.users and not self.users[name].deleted

    def blocked(self, one, other):
        return "blocked" in (self.contacts.get((one, other)), self.contacts.get((other, one)))

    def accepts(self, name, whom):
        """May `whom` begin a conversation with him, or add him to a group?"""
        return self.users[name].accept == "all" or self.contacts.get((name, whom)) == "contact"

    def direct(self, one, other):
        for conv in self.conversations.values():
            if conv.kind == "direct" and {one, other} == set(conv.members):
                return conv
        return None

    def groups(self):
        return [conv for conv in self.conversations.values() if conv.kind == "group"]

    def handle_taken(self, handle, conv=None):
        return any(one.handle == handle for one in self.groups() if one is not conv and not one.dismissed)

    @staticmethod
    def outside(conv, who):
        """The error for one who is not in it, or nothing."""
        if conv.has(who):
            return None
        if conv.kind == "group" and (who in conv.members or (conv.open and not conv.dismissed)):
            return "not_member"
        return "not_found"

    def write_errors(self, conv, who):
        error = self.outside(conv, who)
        if error:
            return {error}
        if conv.kind == "direct":
            if not self.exists(conv.other(who)):
                return {"not_found"}
            return {"blocked"} if self.blocked(who, conv.other(who)) else set()
        if conv.members[who].muted or (conv.post == "admins" and conv.rank(who) < RANK["admin"]):
            return {"forbidden"}
        return set()

    # --- Entries ---

    @staticmethod
    def append(conv, who, kind, body=None, data=None, cmid=None, re=None, ts=ANY):
        entry = Entry(conv.head + 1, who, kind, body, data, cmid, re, ts)
        conv.entries.append(entry)
        if cmid is not None:
            conv.by_cmid[who, cmid] = entry
        return entry

    def _change(self, conv, who, kind, data=None, then=None):
        """A Plan for one entry that the server makes."""
        seq = conv.head + 1

        def apply(_):
            self.append(conv, who, kind, data=data)
            if then:
                then(seq)

        return Plan(apply, {"seq": seq})

    def send(self, who, conv, cmid, body, data=None, re=None):
        seq = conv.head + 1
        found = conv.by_cmid.get((who, cmid))
        if found:
            same = found.kind == "text" and found.asked == (body, data) and found.re == re
            if same or (found.is_message and (found.edited or found.deleted)):
                return Plan(expect={"cid": conv.cid, "seq": found.seq, "ts": found.ts, "cmid": cmid, "dup": True})
            return refused("conflict")
        errors = self.write_errors(conv, who)
        if not errors and re is not None and not conv.sees(who, re):
            errors = {"not_found"}
        if errors:
            return refused(*errors)
        return Plan(lambda answer: self.append(conv, who, "text", body, data, cmid, re, answer["ts"]),
                    {"cid": conv.cid, "seq": seq, "cmid": cmid, "dup": None})

    def send_first(self, who, to, cmid, body):
        """The message that begins a direct conversation."""
        if not self.exists(to):
            return refused("not_found")
        if self.blocked(who, to):
            return refused("blocked")
        if not self.accepts(to, who):
            return refused("forbidden")

        def apply(answer):
            conv = self.conversations[answer["cid"]] = Conversation(answer["cid"], "direct")
            for name in (who, to):
                conv.join(name, 1)
            self.append(conv, who, "text", body, None, cmid, None, answer["ts"])

        return Plan(apply, {"seq": 1, "cmid": cmid, "dup": None})

    def edit(self, who, conv, seq, cmid, body, data=None):
        found = conv.by_cmid.get((who, cmid))
        if found:
            if found.kind == "edit" and found.re == seq and found.asked == (body, data):
                return Plan(expect={"cid": conv.cid, "seq": found.seq, "ts": found.ts, "cmid": cmid, "dup": True})
            return refused("conflict")
        errors = self.write_errors(conv, who)
        if "not_member" in errors or self.outside(conv, who):
            return refused(*errors)
        if not conv.sees(who, seq):
            return refused("not_found", *errors)
        entry = conv.entries[seq - 1]
        if entry.sender != who:
            errors.add("forbidden")
        if not entry.is_message:
            errors |= {"not_found", "invalid_params", "forbidden"}
        if entry.deleted:
            errors.add("not_found")
        if errors:
            return refused(*errors)

        def apply(answer):
            edit = self.append(conv, who, "edit", body, data, cmid, seq, answer["ts"])
            edit.asked = (body, data)
            entry.edited, entry.body = edit.seq, body
            if data is not None:
                entry.data = data
            entry.states.append((body, entry.data, edit.seq))

        return Plan(apply, {"cid": conv.cid, "seq": conv.head + 1, "cmid": cmid, "dup": None})

    def delete(self, who, conv, seq):
        entry = conv.entries[seq - 1]
        mine = entry.deleted and conv.entries[entry.deleted - 1].sender == who
        if entry.is_message and mine:  # again: also by one who could not any more
            return Plan(expect={"cid": conv.cid, "seq": entry.deleted, "dup": True})
        error = self.outside(conv, who)
        if error:
            return refused(error)
        if not conv.sees(who, seq):
            return refused("not_found")
        errors = set()
        # To take back is not to write: who is muted may; where the other is gone, or blocked, it is left open.
        may = {"blocked", "not_found"} & self.write_errors(conv, who)
        if not entry.is_message:
            errors |= {"not_found", "invalid_params", "forbidden"}
        if entry.sender != who and (conv.kind == "direct" or conv.rank(who) < RANK["admin"]):
            errors.add("forbidden")
        if errors:
            return refused(*errors, *may, *(["not_found"] if entry.deleted else []))
        if entry.deleted:
            return Plan(expect={"cid": conv.cid, "seq": entry.deleted, "dup": True}, errors=may)

        def apply(answer):
            change = self.append(conv, who, "delete", re=seq, ts=answer["ts"])
            for one in [entry, *(e for e in conv.entries if e.kind == "edit" and e.re == seq)]:
                one.deleted = change.seq

        return Plan(apply, {"cid": conv.cid, "seq": conv.head + 1, "dup": None}, errors=may)

    # --- Reading ---

    def history_errors(self, conv, who):
        return set() if who in conv.members else {self.outside(conv, who)}

    def history(self, who, conv, before=None, after=None, limit=50):
        errors = self.history_errors(conv, who)
        if errors:
            return refused(*errors)
        low, head = conv.min_seq(who), conv.head_of(who)
        first, behind = max(low, (after or 0) + 1), min(head + 1, before or head + 1)
        between = list(range(first, behind))
        seqs = between[:limit] if after is not None else between[-limit:]
        return Plan(expect={"cid": conv.cid, "min_seq": low, "head": head, "seqs": seqs, "more": len(seqs) < len(between)})

    def mark(self, who, conv, read=None, delivered=None):
        error = self.outside(conv, who)
        if error:
            return refused(error)
        me = conv.members[who]
        new_read = max(me.read, min(read or 0, conv.head))
        new_delivered = max(me.delivered, min(delivered or 0, conv.head), new_read)

        def apply(_):
            if (me.read, me.delivered) != (new_read, new_delivered):
                me.read, me.delivered = new_read, new_delivered
                self.marks.append((conv, who))

        return Plan(apply, {"read": new_read, "delivered": new_delivered})

    def receipts(self, who, conv, seq):
        error = self.outside(conv, who)
        if error:
            return refused(error)
        if not conv.sees(who, seq):
            return refused("not_found")
        author = conv.entries[seq - 1].sender
        others = sorted(name for name in conv.current() if name != author)
        marks = [(self.users[name].author, *self.marks_of(conv, name, who)) for name in others]
        return Plan(expect={"read": sum(read >= seq for _, read, _ in marks), "members": len(marks), "more": False,
                            "delivered": sum(delivered >= seq for _, _, delivered in marks),
                            "users": [{"user": name, "read": read, "delivered": delivered}
                                      for name, read, delivered in marks]})

    def marks_of(self, conv, name, asker):
        """As the asker is shown them: in a direct conversation none pass a block."""
        hidden = conv.kind == "direct" and name != asker and self.blocked(name, asker)
        return (0, 0) if hidden else (conv.members[name].read, conv.members[name].delivered)

    # --- Groups ---

    def _add_failures(self, who, users, conv=None):
        failed = {}
        for name in users:
            if not self.exists(name):
                failed[name] = {"not_found"}
            elif conv is not None and conv.has(name):
                failed[name] = {"already"}
            else:
                whys = set()
                if conv is not None and name in conv.banned:
                    whys.add("forbidden")
                if self.blocked(who, name):
                    whys.add("blocked")
                if not self.accepts(name, who):
                    whys.add("forbidden")
                if whys:
                    failed[name] = whys
        return failed

    def group_create(self, who, title, handle=None, open=False, members=(), history=False):
        if handle and self.handle_taken(handle):
            return refused("name_taken")
        failed = self._add_failures(who, members)
        names = [who, *(name for name in members if name not in failed)]

        def apply(answer):
            conv = self.conversations[answer["cid"]] = Conversation(answer["cid"], "group")
            conv.title, conv.handle, conv.open, conv.history = title, handle, open, history
            for name in names:
                conv.join(name, 1, "owner" if name == who else "member")
            self.append(conv, who, "create", data={"users": names, "title": title})

        return Plan(apply, {"seq": 1, "failed": failed})

    def group_join(self, who, conv):
        if conv.has(who):
            return refused("already")
        if conv.dismissed:
            return refused("not_found", *(["not_member"] if who in conv.members else []))
        if not conv.open:
            return refused(*(["not_found", "not_member", "forbidden"] if who in conv.members else ["not_found"]))
        if who in conv.banned:
            return refused("forbidden")
        return self._added(conv, who, [who], {"cid": conv.cid, "seq": conv.head + 1})

    def _added(self, conv, who, names, expect):
        plan = self._change(conv, who, "join", {"users": names}, lambda seq: [conv.join(name, seq) for name in names])
        plan.expect = expect
        return plan

    def group_leave(self, who, conv):
        error = self.outside(conv, who)
        if error:
            return refused(error)
        if conv.owners() == [who]:
            if len(conv.current()) > 1:
                return refused("forbidden")
            return self._change(conv, who, "dismiss", then=lambda seq: self._dismissed(conv, seq))
        return self._change(conv, who, "leave", then=lambda seq: conv.leave(who, seq))

    @staticmethod
    def _dismissed(conv, seq):
        for name in list(conv.current()):
            conv.leave(name, seq)
        conv.dismissed, conv.handle = True, None

    def group_invite(self, who, conv, users):
        error = self.outside(conv, who)
        if error:
            return refused(error)
        if conv.invite == "admins" and conv.rank(who) < RANK["admin"]:
            return refused("forbidden")
        failed = self._add_failures(who, users, conv)
        added = [name for name in users if name not in failed]
        if not added:
            return Plan(expect={"seq": None, "added": [], "failed": failed})
        return self._added(conv, who, added, {"seq": conv.head + 1, "added": added, "failed": failed})

    def _rule_errors(self, conv, who, whom, least="admin"):
        """Of what admins do to lower roles."""
        error = self.outside(conv, who)
        if error:
            return {error}
        errors = set()
        if conv.rank(who) < RANK[least]:
            errors.add("forbidden")
        elif whom != who and not self.exists(whom):
            errors.add("not_found")
        elif least == "admin" and conv.rank(whom) >= conv.rank(who):
            errors.add("forbidden")
        return errors

    def group_remove(self, who, conv, whom, ban=False):
        errors = self._rule_errors(conv, who, whom)
        if errors and who == whom and conv.rank(who) >= RANK["admin"]:
            errors.add("invalid_params")
        if errors:
            return refused(*errors)
        if not conv.has(whom):
            if not ban:
                return refused("not_found")
            if whom in conv.banned:
                return refused("already")

        def then(seq):
            if conv.has(whom):
                conv.leave(whom, seq)
            if ban:
                conv.banned.add(whom)

        return self._change(conv, who, "remove", {"user": whom, "ban": ban}, then)

    def group_unban(self, who, conv, whom):
        error = self.outside(conv, who)
        if error:
            return refused(error)
        if conv.rank(who) < RANK["admin"]:
            return refused("forbidden")
        if whom not in conv.banned or not self.exists(whom):
            return refused("not_found")
        return Plan(lambda _: conv.banned.discard(whom))

    def group_role(self, who, conv, whom, role):
        errors = self._rule_errors(conv, who, whom, "owner")
        if not errors and not conv.has(whom):
            errors = {"not_found"}
        if errors:
            return refused(*errors)
        member = conv.members[whom]
        if member.role == role:
            return Plan(expect={"seq": None})
        if member.role == "owner" and len(conv.owners()) == 1:
            return refused("forbidden")
        return self._change(conv, who, "role", {"user": whom, "role": role}, lambda _: setattr(member, "role", role))

    def group_mute(self, who, conv, whom, seconds):
        errors = self._rule_errors(conv, who, whom)
        if not errors and not conv.has(whom):
            errors = {"not_found"}
        if errors:
            return refused(*errors)
        member = conv.members[whom]
        if not seconds and not member.muted:
            return Plan(expect={"seq": None})
        return self._change(conv, who, "mute", {"user": whom, "until": ANY if seconds else 0},
                            lambda _: setattr(member, "muted", bool(seconds)))

    def group_set(self, who, conv, **settings):
        error = self.outside(conv, who)
        if error:
            return refused(error)
        least = "owner" if {"handle", "open"} & set(settings) else "admin"
        if conv.rank(who) < RANK[least]:
            return refused("forbidden")
        changed = {name: value for name, value in settings.items() if (getattr(conv, name) or "") != (value or "")}
        if changed.get("handle") and self.handle_taken(changed["handle"], conv):
            return refused("name_taken")
        if not changed:
            return Plan(expect={"seq": None})

        def then(_):
            for name, value in changed.items():
                setattr(conv, name, (value or None) if name == "handle" else value)

        return self._change(conv, who, "set", changed, then)

    def group_dismiss(self, who, conv):
        error = self.outside(conv, who)
        if error:
            return refused(error)
        if conv.rank(who) < RANK["owner"]:
            return refused("forbidden")
        return self._change(conv, who, "dismiss", then=lambda seq: self._dismissed(conv, seq))

    def group_info(self, who, conv):
        if not conv.has(who) and (conv.dismissed or not conv.open):
            return refused(self.outside(conv, who))
        return Plan(expect={
            "cid": conv.cid, "title": conv.title, "topic": conv.topic or ANY, "handle": conv.handle or ANY,
            "open": conv.open, "history": conv.history, "post": conv.post, "invite": conv.invite,
            "members": len(conv.current()), "owners": conv.owners(),
            "role": conv.members[who].role if conv.has(who) else ANY})

    def group_members(self, who, conv, role=None):
        error = self.outside(conv, who)
        if error:
            return refused(error)
        if role == "banned":
            if conv.rank(who) < RANK["admin"]:
                return refused("forbidden")
            return Plan(expect={"names": sorted(name for name in conv.banned if self.exists(name))})
        return Plan(expect={"names": sorted(name for name, one in conv.current().items() if role in (None, one.role))})

    # --- People ---

    def _contact(self, one, other, state, told=None):
        """Sets one's side, and notes that he is told."""
        if state is None:
            self.contacts.pop((one, other), None)
        else:
            self.contacts[one, other] = state
        if told:
            self.notes.append((one, {"user": other, "state": told}))

    def contact_add(self, who, whom):
        if not self.exists(whom):
            return refused("not_found")
        if self.blocked(who, whom):
            return refused("blocked")
        state = self.contacts.get((who, whom))
        if state == "contact":
            return refused("already")
        if state == "requested":
            return refused("already")
        if state == "incoming":
            return Plan(lambda _: self._both(who, whom), {"state": "contact"})

        def ask(_):
            self._contact(who, whom, "requested", "requested")
            self._contact(whom, who, "incoming", "incoming")

        return Plan(ask, {"state": "requested"})

    def _both(self, one, other):
        for a, b in ((one, other), (other, one)):
            self._contact(a, b, "contact", "contact")

    def _end(self, one, other, told):
        for a, b in ((one, other), (other, one)):
            self._contact(a, b, None, told)

    def contact_accept(self, who, whom):
        state = self.contacts.get((who, whom))
        if state == "incoming":
            return Plan(lambda _: self._both(who, whom))
        return refused("already" if state == "contact" else "not_found")

    def contact_reject(self, who, whom):
        if self.contacts.get((who, whom)) == "incoming":
            return Plan(lambda _: self._end(who, whom, "rejected"))
        return refused("not_found")

    def contact_remove(self, who, whom):
        if self.contacts.get((who, whom)) in ("contact", "requested"):
            return Plan(lambda _: self._end(who, whom, "removed"))
        return refused("not_found")

    def contact_block(self, who, whom):
        if not self.exists(whom):
            return refused("not_found")
        if self.contacts.get((who, whom)) == "blocked":
            return refused("already")

        def apply(_):
            self._contact(who, whom, "blocked", "blocked")
            if self.contacts.get((whom, who)) not in (None, "blocked"):
                self._contact(whom, who, None, "removed")

        return Plan(apply)

    def contact_unblock(self, who, whom):
        if self.contacts.get((who, whom)) == "blocked":
            return Plan(lambda _: self._contact(who, whom, None, "unblocked"))
        return refused("not_found")

    def contact_list(self, who):
        return sorted((other, state) for (one, other), state in self.contacts.items() if one == who)

    # --- The end of a user ---

    def account_delete(self, who):
        """His contacts go; what his groups are like then is read from their entries: gone()."""
        def apply(_):
            self.users[who].deleted = True
            for pair in [pair for pair in self.contacts if who in pair]:
                one, other = pair
                told = self.contacts[pair] != "blocked" and one != who
                self._contact(one, other, None, "removed" if told else None)

        return Plan(apply)

    def gone(self, conv, who, entries):
        """Takes the entries by which a deleted user left a group: his leaving, and an owner in his place."""
        for entry in entries:
            seq = conv.head + 1
            assert entry["seq"] == seq and entry["from"] == "deleted", entry
            if entry["kind"] == "leave":
                self.append(conv, who, "leave")
                conv.leave(who, seq)
                continue
            assert entry["kind"] == "role" and entry["data"]["role"] == "owner", entry
            heir = entry["data"]["user"]
            others = [one for name, one in conv.current().items() if name != who]
            best = max(others, key=lambda one: (one.role == "admin", -one.join))
            assert not [one for one in others if one.role == "owner"], entry
            assert (conv.members[heir].role, conv.members[heir].join) == (best.role, best.join), (entry, best.name)
            self.append(conv, who, "role", data={"user": heir, "role": "owner"})
            conv.members[heir].role = "owner"
        assert not conv.has(who), f"{who} is still in {conv.cid}"
        if conv.current():
            assert conv.owners(), f"{conv.cid} has no owner"
        else:
            conv.dismissed, conv.handle = True, None

    # --- What is shown ---

    def shown(self, conv, entry):
        """(from, kind, re, data) of a change, or of a message without its body."""
        return self.users[entry.sender].author if entry.sender in self.users else entry.sender

    def check_entry(self, conv, got, live=False, reader=None):
        """An entry as it was sent: as it is now to the reader, or (live) as it was at some time since."""
        entry = conv.entries[got["seq"] - 1]
        where = f"{conv.cid}:{entry.seq} {entry.kind} by {entry.sender}: {got}"
        authors = {self.shown(conv, entry)} | ({entry.sender} if live else set())
        assert got["from"] in authors, where
        assert got["kind"] == entry.kind and got.get("re") == entry.re, where
        assert entry.ts is ANY or got["ts"] == entry.ts, where
        if "deleted" in got:
            assert got["deleted"] == entry.deleted and "body" not in got and "data" not in got, where
            return
        assert live or entry.deleted is None, f"deleted by {entry.deleted}: {where}"
        assert got.get("cmid") == entry.cmid, where
        if entry.is_message:
            known = [one for one in entry.states if live or one[2] is None or one[2] <= conv.head_of(reader)]
            states = known if live else known[-1:]
            assert (got.get("body"), got.get("data"), got.get("edited")) in states, f"{states}: {where}"
        elif entry.kind == "edit":
            assert got.get("body") == entry.body and got.get("data") in (entry.data, *self._data_of(conv, entry)), where
        else:
            self._check_data(entry, got.get("data"), where)

    @staticmethod
    def _data_of(conv, edit):
        return [data for _, data, seq in conv.entries[edit.re - 1].states if seq == edit.seq]

    def _check_data(self, entry, data, where):
        if entry.data is None:
            assert data is None, where
            return
        assert data is not None and set(data) == set(entry.data), f"{entry.data}: {where}"
        for name, value in entry.data.items():
            if value is ANY:
                continue
            if name in ("user", "users"):  # one whose account is deleted since
                names, found = ([value], [data[name]]) if name == "user" else (value, data[name])
                assert len(names) == len(found), f"{entry.data}: {where}"
                assert all(f == n or f == self.users[n].author for n, f in zip(sorted(names), sorted(found))) \
                    or set(found) - {"deleted"} <= set(names), f"{entry.data}: {where}"
            else:
                assert data[name] == value, f"{entry.data}: {where}"


def numbers(prefix):
    """cmids that nobody used."""
    return (f"{prefix}-{i}" for i in itertools.count())
