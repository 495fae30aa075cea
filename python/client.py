#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A chat client for the terminal, on the confab library.

  client.py [OPTIONS] [TARGET]            interactive: lines are messages, /help lists the commands
  client.py [OPTIONS] COMMAND [WORDS...]  one command, without its slash: client.py send @bob hi

A TARGET is @bob, #ops, or the number of a conversation.  Of its own there are also
  register NAME, login NAME               make a user, or log in; the login is kept
  send TARGET [TEXT]                      without TEXT the standard input is sent
  tail [TARGET]                           print what was missed, then what arrives
Exit codes: 0 done, 1 refused, 2 usage, 3 login needed, 4 no connection.
"""

import argparse
import getpass
import os
import pathlib
import re
import ssl
import sys
import threading
import time

import confab
import confab.blocking

try:
    import readline
except ImportError:  # a Python without it: lines cannot be edited, all else works
    readline = None  # type: ignore[assignment]

DONE, REFUSED, USAGE, LOGIN, CONNECT = range(5)
CONNECT_SECONDS = 15
ANSWER_SECONDS = 30
CALM_SECONDS = 0.2  # nothing came for so long: what was shown is marked as read
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class Usage(Exception):
    """The command was not given what it needs."""


def clean(text):
    """What others wrote must not drive the terminal."""
    return CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def target_of(word):
    return int(word) if word.isdigit() else word


def user_of(word):
    return word[1:] if word.startswith("@") else word


def two_words(text):
    """The first word, and what follows."""
    first, _, rest = text.strip().partition(" ")
    return first, rest.strip()


def users_of(rest):
    if not rest:
        raise Usage("who?")
    return [user_of(word) for word in rest.split()]


def when(ms):
    moment = time.localtime(ms / 1000)
    today = time.localtime()[:3] == moment[:3]
    return time.strftime("%H:%M" if today else "%Y-%m-%d %H:%M", moment)


def yes(word):
    if word.lower() not in ("yes", "no", "on", "off", "true", "false"):
        raise Usage(f"{word}: yes or no?")
    return word.lower() in ("yes", "on", "true")


def change_of(message):
    """What a change of a conversation says, in words."""
    data = message.data or {}
    who, user, users = message.sender, data.get("user"), data.get("users", [])
    if message.kind == "edit":
        return f"{who} changed {message.re}: {'(deleted)' if message.deleted else message.body}"
    if message.kind == "delete":
        return f"{who} deleted {message.re}"
    if message.kind == "create":
        return f"{who} began {data.get('title', '')} with {', '.join(users)}"
    if message.kind == "join":
        return f"{who} joined" if users == [who] else f"{who} brought in {', '.join(users)}"
    if message.kind == "leave":
        return f"{who} left"
    if message.kind == "dismiss":
        return f"{who} dismissed the group"
    if message.kind == "remove":
        return f"{who} {'banned' if data.get('ban') else 'removed'} {user}"
    if message.kind == "role":
        return f"{who} made {user} {data.get('role')}"
    if message.kind == "mute":
        return f"{who} muted {user} until {when(data['until'])}" if data.get("until") else f"{who} lets {user} speak"
    if message.kind == "set":
        return f"{who} set {', '.join(f'{name}: {value}' for name, value in data.items())}"
    return f"{message.kind} {message.body} {data or ''}".rstrip()


class Screen:
    """Prints above the line that is being typed."""

    def __init__(self, interactive):
        self.interactive = interactive
        self.prompt = ""
        self.typing = False
        self.lock = threading.Lock()

    def show(self, text):
        with self.lock:
            if self.typing:
                line = readline.get_line_buffer() if readline else ""
                sys.stdout.write(f"\r\x1b[K{text}\n{self.prompt}{line}")
            else:
                sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def notice(self, text):
        self.show(f"* {text}") if self.interactive else print(f"client.py: {text}", file=sys.stderr)

    def ask(self, prompt):
        with self.lock:
            self.prompt, self.typing = prompt, True
        try:
            return input(prompt)
        finally:
            with self.lock:
                self.typing = False


class Talk:
    """What the commands work on: a client, the conversation one is in, and what to print on."""

    def __init__(self, client, screen):
        self.client, self.screen = client, screen
        self.target = None
        self.names = set()
        self.ended = self.password_stdin = False

    def show(self, text):
        self.screen.show(text)

    # --- Words ---

    def here(self):
        if self.target is None:
            raise Usage("to whom? /to TARGET says it")
        return self.target

    def place(self, words):
        """A target at the beginning of words, or the one that one is in."""
        if words and (words[0][:1] in "@#" or words[0].isdigit()):
            return target_of(words[0]), words[1:]
        return self.here(), words

    def name_of(self, cid, to=None):
        conversation = self.client.find(cid)
        if conversation is not None:
            return str(conversation.target)
        return str(to if to is not None else cid)

    def line(self, message, number=False):
        own = message.sender == self.client.user
        direct = isinstance(message.to, str) and message.to.startswith("@")
        place = self.name_of(message.cid, message.to)
        who = f"{message.sender} → {place}" if own or not direct else message.sender
        what = clean(message.body)
        if message.is_change:
            return f"{when(message.ts)} {f'{message.seq} ' if number else ''}{place}: {clean(change_of(message))}"
        if message.deleted:
            what = "(deleted)"
        elif message.kind != "text":
            what = f"[{message.kind}] {what} {clean(str(message.data or ''))}".rstrip()
        if message.edited:
            what += " (edited)"
        return f"{when(message.ts)} {f'{message.seq} ' if number else ''}{who}: {what}"

    # --- Messages ---

    def to(self, rest):
        """TARGET: whom to write to"""
        if not rest:
            raise Usage("to whom?")
        self.target = target_of(rest)

    def send(self, rest):
        """TARGET TEXT: say something there"""
        to, _, text = rest.partition(" ")
        if not to:
            raise Usage("to whom?")
        if not text and not self.screen.interactive:
            text = sys.stdin.read().rstrip("\n")
        if not text:
            raise Usage("say what?")
        self.say(target_of(to), text)

    def say(self, to, text, re=None):
        outgoing = self.client.post(to, text, re=re)
        if not self.screen.interactive:
            self.client.outcome(outgoing, ANSWER_SECONDS)
            return
        threading.Thread(target=self.told, args=(outgoing,), daemon=True).start()

    def told(self, outgoing):
        try:
            self.client.outcome(outgoing)
        except confab.Closed:
            pass
        except confab.ConfabError as error:
            self.screen.notice(f"not sent: {error}")

    def message_and_text(self, rest):
        """[TARGET] SEQ TEXT; alone on a command line a target comes first, also as a number."""
        to = self.target
        seq, text = two_words(rest)
        if not seq.isdigit() or to is None:
            to = target_of(seq)
            seq, text = two_words(text)
        if not seq.isdigit() or not text:
            raise Usage("[TARGET] SEQ TEXT")
        return to, int(seq), text

    def reply(self, rest):
        """[TARGET] SEQ TEXT: answer a message"""
        to, seq, text = self.message_and_text(rest)
        self.say(to, text, re=seq)

    def edit(self, rest):
        """[TARGET] SEQ TEXT: change one's own message"""
        to, seq, text = self.message_and_text(rest)
        self.client.edit(to, seq, text)

    def delete(self, rest):
        """[TARGET] SEQ: erase a message"""
        words = rest.split()
        to = target_of(words.pop(0)) if len(words) == 2 else self.here()
        if len(words) != 1 or not words[0].isdigit():
            raise Usage("[TARGET] SEQ")
        self.client.delete(to, int(words[0]))

    def history(self, rest):
        """[TARGET] [N]: the last N messages"""
        words = rest.split()
        to = self.target
        if words and (words[0][:1] in "@#" or len(words) == 2 or to is None):
            to = target_of(words.pop(0))
        if to is None or len(words) > 1 or (words and not words[0].isdigit()):
            raise Usage("[TARGET] [N]")
        left, before = int(words[0]) if words else 20, None
        pages: "list[list[confab.Message]]" = []
        while left > 0:
            page = self.client.history(to, before=before, limit=min(left, 200))
            pages.insert(0, page.messages)
            left -= len(page.messages)
            if not page.more or not page.messages:
                break
            before = page.messages[0].seq
        for message in [one for page in pages for one in page]:
            self.show(self.line(message, number=True))

    def read(self, rest):
        """[TARGET]: all there is has been read"""
        to, _ = self.place(rest.split())
        self.client.mark(to, read=self.client.history(to, limit=1).head)

    def receipts(self, rest):
        """[TARGET] SEQ: whom a message has reached"""
        words = rest.split()
        to = target_of(words.pop(0)) if len(words) == 2 else self.here()
        if len(words) != 1 or not words[0].isdigit():
            raise Usage("[TARGET] SEQ")
        seen = self.client.receipts(to, int(words[0]))
        self.show(f"of {seen.members}: delivered to {seen.delivered}, read by {seen.read}")
        for one in seen.users:
            self.show(f"  {one.user}: delivered to {one.delivered}, read to {one.read}")

    def list(self, rest):
        """: one's conversations"""
        for one in sorted(self.client.conversations.values(), key=lambda c: -c.ts):
            unread = f", {one.unread} unread" if one.unread else ""
            self.show(f"{one.cid}  {one.target}  {clean(one.title)}  {one.head} entries{unread}")

    # --- People ---

    def who(self, rest):
        """[contacts|#GROUP]: who is online"""
        scope, after, shown = target_of(rest or "all"), None, 0
        if isinstance(scope, str) and scope[:1] in "@#":
            scope = self.cid_of(scope)
        while True:
            page = self.client.who(scope, after=after)
            for one in page.users:
                self.names.add(f"@{one.user}")
                self.show(f"{one.user}  {clean(one.display)}  {one.state}")
            shown += len(page.users)
            if not page.more or not page.users or shown >= 1000:
                break
            after = page.users[-1].user
        self.show(f"{page.online} online")

    def cid_of(self, target):
        found = self.client.find(target)
        return found.cid if found else self.client.history(target, limit=1).cid

    def find(self, rest):
        """QUERY: users by the beginning of their name"""
        for one in self.client.user_find(rest):
            self.names.add(f"@{one.user}")
            self.show(f"{one.user}  {clean(one.display)}")

    def profile(self, rest):
        """USER...: what they say of themselves"""
        for one in self.client.profile_get(users_of(rest)):
            self.show(f"{one.user}  {clean(one.display)}  {clean(one.status)}  since {when(one.created)}")

    def contacts(self, rest):
        """: one's contacts, and requests"""
        after = None
        while True:
            page = self.client.contact_list(after=after)
            for one in page.contacts:
                self.names.add(f"@{one.user}")
                note = clean(one.note or "")
                self.show(f"{one.user}  {clean(one.display)}  {one.state}  {one.presence}  {note}".rstrip())
            if not page.more or not page.contacts:
                return
            after = page.contacts[-1].user

    def contact(self, rest):
        """add|accept|reject|remove|block|unblock USER [NOTE]: ask for, or end, a contact"""
        what, *words = rest.split(maxsplit=2)
        if not words or what not in ("add", "accept", "reject", "remove", "block", "unblock"):
            raise Usage("add|accept|reject|remove|block|unblock USER [NOTE]")
        if what == "add":
            self.show(self.client.contact_add(user_of(words[0]), words[1] if len(words) > 1 else None))
        else:
            getattr(self.client, f"contact_{what}")(user_of(words[0]))

    def presence(self, rest):
        """online|away|busy|invisible [TEXT], or USER...: how one appears, or others do"""
        first, _, text = rest.partition(" ")
        if first in SECOND_WORDS["presence"]:
            self.client.presence_set(first, text or None)
        else:
            self.show_presence(self.client.presence_get(users_of(rest)))

    def watch(self, rest):
        """[USER...]: tell when they come and go, instead of those before"""
        self.show_presence(self.client.presence_watch([user_of(word) for word in rest.split()]))

    def show_presence(self, users):
        for one in users:
            seen = f"seen {when(one.seen)}" if one.seen and one.state == "offline" else ""
            self.show(f"{one.user}  {one.state}  {clean(one.text or '')}  {seen}".rstrip())

    # --- Groups ---

    def groups(self, rest):
        """[QUERY]: open groups"""
        page = self.client.group_list(rest or None)
        for one in page.groups:
            handle = f"#{one.handle}" if one.handle else str(one.cid)
            self.names.add(handle)
            self.show(f"{handle}  {clean(one.title)}  {one.members} members  {clean(one.topic)}".rstrip())
        if page.more:
            self.show("and more")

    def group(self, rest):
        """create|join|leave|info|members|banned|dismiss|invite|remove|ban|unban|role|mute|set …: groups"""
        what, _, rest = rest.partition(" ")
        if what not in SECOND_WORDS["group"]:
            raise Usage(", ".join(SECOND_WORDS["group"]))
        getattr(self, f"_group_{what}")(rest.split())

    def _group_create(self, words):
        is_open = words[-1:] == ["open"]
        words = words[:-1] if is_open else words
        handle = words[-1][1:] if words and words[-1].startswith("#") else None
        title = " ".join(words[:-1] if handle else words) or handle
        if not title:
            raise Usage("group create TITLE [#HANDLE] [open]")
        made = self.client.group_create(title, handle=handle, open=is_open or None)
        self.target = f"#{handle}" if handle else made.cid
        self.show(f"you are in {self.target}")

    def _group_join(self, words):
        to, _ = self.place(words)
        self.client.group_join(to)
        self.target = to

    def _group_leave(self, words):
        self.client.group_leave(self.place(words)[0])

    def _group_dismiss(self, words):
        self.client.group_dismiss(self.place(words)[0])

    def _group_info(self, words):
        info = self.client.group_info(self.place(words)[0])
        self.show(f"{info.cid}  {'#' + info.handle if info.handle else ''}  {clean(info.title)}  {clean(info.topic)}")
        self.show(f"{info.members} members, {info.online} online, {'open' if info.open else 'closed'}, "
                  f"owned by {', '.join(info.owners)}, {info.post} may post, {info.invite} may invite")

    def _group_banned(self, words):
        self._group_members(words, "banned")

    def _group_members(self, words, role=None):
        to, after = self.place(words)[0], None
        while True:
            page = self.client.group_members(to, role, after=after)
            for one in page.members:
                self.names.add(f"@{one.user}")
                self.show(f"{one.user}  {clean(one.display)}  {one.role}{'  online' if one.online else ''}")
            if not page.more or not page.members:
                return
            after = page.members[-1].user

    def _people(self, words, least=1):
        if len(words) > least and (words[0].startswith("#") or words[0].isdigit()):
            return target_of(words[0]), words[1:]
        if len(words) < least:
            raise Usage("who?")
        return self.here(), words

    def _group_invite(self, words):
        to, users = self._people(words)
        invited = self.client.group_invite(to, [user_of(one) for one in users])
        for user, why in invited.failed.items():
            self.show(f"{user}: {why}")

    def _group_remove(self, words):
        to, users = self._people(words)
        self.client.group_remove(to, user_of(users[0]))

    def _group_ban(self, words):
        to, users = self._people(words)
        self.client.group_remove(to, user_of(users[0]), ban=True)

    def _group_unban(self, words):
        to, users = self._people(words)
        self.client.group_unban(to, user_of(users[0]))

    def _group_role(self, words):
        to, users = self._people(words, 2)
        self.client.group_role(to, user_of(users[0]), users[1])

    def _group_mute(self, words):
        to, users = self._people(words, 2)
        if not users[1].isdigit():
            raise Usage("group mute [TARGET] USER SECONDS")
        self.client.group_mute(to, user_of(users[0]), int(users[1]))

    def _group_set(self, words):
        to, words = self._people(words, 2)
        name, value = words[0], " ".join(words[1:])
        if name not in ("title", "topic", "handle", "open", "post", "invite"):
            raise Usage("group set [TARGET] title|topic|handle|open|post|invite VALUE")
        settings = {name: yes(value) if name == "open" else value.lstrip("#") if name == "handle" else value}
        self.client.group_set(to, **settings)

    # --- Oneself ---

    def me(self, rest):
        """: who and where one is"""
        hello = self.client.hello()
        self.show(f"{self.client.user} at {self.client.address} ({hello.server}, {hello.version}), {self.client.state}")

    whoami = me

    def display(self, rest):
        """NAME: the name that people see"""
        self.client.profile_set(display=rest)

    def status(self, rest):
        """[TEXT]: what one says of oneself"""
        self.client.profile_set(status=rest)

    def accept(self, rest):
        """all|contacts: who may begin to write to one, or add one to a group"""
        self.client.profile_set(accept=rest)

    def sessions(self, rest):
        """: where one is logged in"""
        for one in self.client.session_list():
            state = "this one" if one.current else "online" if one.online else f"last seen {when(one.seen)}"
            self.show(f"{one.session}  {clean(one.device or '')}  {one.ip}  {state}")

    def revoke(self, rest):
        """SESSION: end another login"""
        self.client.session_revoke(rest)

    def passwd(self, rest):
        """: another password; all other logins end"""
        self.client.password_change(secret("Old password: "), new_password())

    def logout(self, rest):
        """[all]: end this login, or all"""
        self.client.logout(True if rest == "all" else None)
        self.ended = True

    def forget(self, rest):
        """: delete one's account, for good"""
        self.client.account_delete(sys.stdin.readline().rstrip("\n") if self.password_stdin else secret("Password: "))
        self.ended = True

    def help(self, rest):
        """: this list"""
        for name in COMMANDS:
            usage, _, text = (getattr(Talk, name).__doc__ or ":").partition(":")
            self.show(f"/{name}{' ' + usage if usage else ''}".ljust(36) + text)

    def quit(self, rest):
        """: end; so does Ctrl-D"""
        self.ended = True

    def do(self, name, rest):
        if name not in COMMANDS:
            raise Usage(f"there is no {name}; help says what there is")
        getattr(self, name)(rest.strip())


COMMANDS = ("to", "send", "reply", "edit", "delete", "history", "read", "receipts", "list", "who", "find", "profile",
            "contacts", "contact", "presence", "watch", "groups", "group", "me", "whoami", "display", "status",
            "accept", "sessions", "revoke", "passwd", "logout", "forget", "help", "quit")
ALONE = set(COMMANDS) - {"to", "watch", "help", "quit"}
TAKE_USERS = {"profile", "presence", "watch", "contact", "group"}
SECOND_WORDS = {
    "contact": ("add", "accept", "reject", "remove", "block", "unblock"),
    "group": ("create", "join", "leave", "info", "members", "banned", "dismiss", "invite", "remove", "ban", "unban",
              "role", "mute", "set"),
    "accept": ("all", "contacts"),
    "presence": ("online", "away", "busy", "invisible"),
    "who": ("all", "contacts"),
}


# --- Interactive ---

class Completer:
    """Commands, their second words, and the names that were seen."""

    def __init__(self, talk):
        self.talk = talk
        self.found = []

    def candidates(self, line, word):
        before = line[:len(line) - len(word)].split()
        if not before and word.startswith("/"):
            return [f"/{name} " for name in COMMANDS]
        if len(before) == 1 and before[0][:1] == "/" and before[0][1:] in SECOND_WORDS and word[:1] not in ("@", "#"):
            return [f"{one} " for one in SECOND_WORDS[before[0][1:]]]
        names = {str(one.target) for one in self.talk.client.conversations.values()} | self.talk.names
        if word[:1] in ("@", "#"):
            return [f"{one} " for one in names]
        if before[:1] and before[0].lstrip("/") in TAKE_USERS:
            return [f"{one[1:]} " for one in names if one.startswith("@")]
        return []

    def __call__(self, word, state):
        if state == 0:
            line = readline.get_line_buffer()[:readline.get_endidx()]
            self.found = sorted(one for one in self.candidates(line, word) if one.startswith(word))
        return self.found[state] if state < len(self.found) else None


def follow(talk, only=None):
    """Prints what comes, and marks it as read when it has calmed down; returns when the client ends."""
    client = talk.client
    shown: "dict[int, int]" = {}
    try:
        while not talk.ended:
            event = client.next_event(CALM_SECONDS, fill=only is not None)
            if event is None:
                for cid, seq in shown.items():
                    mark(client, cid, seq)
                shown.clear()
            elif isinstance(event, confab.Message):
                talk.names.add(f"@{event.sender}")
                if only is None or only in (event.cid, talk.name_of(event.cid, event.to)):
                    talk.show(talk.line(event))
                    shown[event.cid] = event.seq
            else:
                tell(talk, event)
    except confab.Closed:
        pass


def mark(client, cid, seq):
    try:
        client.mark(cid, read=seq)
    except confab.ConfabError:
        pass  # the next message's mark covers it


def tell(talk, event):
    notice = talk.screen.notice
    if isinstance(event, confab.Gap):
        notice(f"{talk.name_of(event.cid)}: {event.last - event.first + 1} older messages; /history has them")
    elif isinstance(event, confab.Reset):
        notice("the server went back to an older state; what was known comes anew")
    elif isinstance(event, confab.Settled) and event.error is not None:
        notice(f"not sent to {event.to}: {event.error}")
    elif isinstance(event, confab.ContactChanged):
        notice(f"contact {event.user}: {event.state} {clean(event.note or '')}".rstrip())
    elif isinstance(event, confab.Presence):
        notice(f"{event.user} is {event.state} {clean(event.text or '')}".rstrip())
    elif isinstance(event, confab.ConversationChanged) and event.change != "listed" and event.conversation is None:
        notice(f"conversation {event.cid} is over for you")
    elif isinstance(event, confab.ConversationChanged) and event.change == "added" and event.conversation is not None \
            and event.conversation.kind == "group":
        notice(f"you are in {event.conversation.target}: {clean(event.conversation.title)}")
    elif isinstance(event, confab.StateChanged) and event.state == "waiting":
        notice(f"no connection: {event.trouble}")
    elif isinstance(event, confab.Goaway) and event.reconnect_ms is None:
        notice(f"the server sends you away: {event.reason}")


def converse(talk):
    """Reads lines until there are no more."""
    if readline:
        readline.set_completer_delims(" ")
        readline.set_completer(Completer(talk))
        readline.parse_and_bind("tab: complete")
    talk.screen.notice(f"{talk.client.user} at {talk.client.address}; /help says what can be typed")

    def watch():
        try:
            follow(talk)
        except confab.ConfabError as error:
            talk.screen.notice(f"{error}; /quit ends")

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    while not talk.ended:
        try:
            line = talk.screen.ask(f"{talk.target}> " if talk.target is not None else "> ")
        except EOFError:
            break
        except KeyboardInterrupt:
            print()
            continue
        try:
            if line.startswith("/") and not line.startswith("//"):
                name, _, rest = line[1:].partition(" ")
                talk.do(name, rest)
            elif line.strip():
                talk.say(talk.here(), line[1:] if line.startswith("//") else line)
        except (confab.ConfabError, Usage, ValueError) as error:
            talk.screen.notice(clean(str(error)))
    talk.ended = True
    talk.client.flush(2)
    watching.join(2)
    return DONE


# --- Logging in ---

def secret(prompt):
    return getpass.getpass(prompt)


def new_password():
    first = secret("Password: ")
    if secret("Once more: ") != first:
        raise Usage("those were not the same")
    return first


def password(options, fresh):
    if options.password_stdin:
        return sys.stdin.readline().rstrip("\n")
    return new_password() if fresh else secret("Password: ")


def state_directory(server):
    return confab.default_state(server, "x").parent


def known_user(options):
    """Whose login is meant: the one that was named, or the only one there is."""
    if options.user:
        return user_of(options.user).lower()
    paths = state_directory(options.server).glob("*.db")
    found = sorted(path.stem for path in paths if confab.peek(path).get("token"))
    if len(found) > 1:
        raise Usage(f"which user? -u {' or -u '.join(found)}")
    return found[0] if found else None


def make_client(options, user, following):
    path = pathlib.Path(options.state) if options.state else confab.default_state(options.server, user)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    vault: confab.Vault = confab.SqliteVault(path)
    if confab.in_use(path):  # by a client in another terminal: its login will do, its place is its own
        vault = confab.MemoryVault()
        meta = confab.peek(path)
        vault.apply(confab.Batch(meta={name: meta[name] for name in ("token", "user") if name in meta}))
    tls = ssl.create_default_context(cafile=options.cafile) if options.cafile else None
    return confab.blocking.Client(options.server, user, state=vault, follow=following, delivered=following,
                                  device=options.device, tls=tls)


def enter(options, client, user, how):
    """Starts the client; asks for a password if that is needed and there is somebody to ask."""
    try:
        client.start(CONNECT_SECONDS)
        if how is not None:
            raise Usage(f"{client.user} is logged in already")
        return
    except confab.LoginNeeded:
        if how is None and not sys.stdin.isatty():
            raise
    if how == "register":
        client.register(user, password(options, True))
    elif how == "login":
        client.login(user, password(options, False))
    else:
        ask_in(options, client, user)


def ask_in(options, client, user):
    """Until there is a login."""
    while True:
        try:
            client.login(user, secret(f"Password of {user}: "))
            return
        except confab.BadCredentials as error:
            print(f"{error}")
            if input(f"Register {user}? [y/N] ").strip().lower() not in ("y", "yes"):
                continue
        try:
            client.register(user, new_password())
            return
        except (confab.ServerError, Usage) as error:
            print(f"{error}")


def arguments():
    parser = argparse.ArgumentParser(prog="client.py", usage=__doc__.split("\n", 2)[2],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-s", "--server", default=os.environ.get("CONFAB_SERVER", "127.0.0.1:7000"),
                        help="HOST:PORT, confabs://HOST:PORT for TLS, ws:// or wss:// for WebSocket")
    parser.add_argument("-u", "--user", default=os.environ.get("CONFAB_USER"))
    parser.add_argument("--state", help="the file that keeps login, place and unanswered messages")
    parser.add_argument("--cafile", help="certificates to trust for TLS")
    parser.add_argument("--device", default=f"client.py on {os.uname().nodename}"[:64])
    parser.add_argument("--password-stdin", action="store_true")
    parser.add_argument("words", nargs=argparse.REMAINDER)
    return parser.parse_args()


def work(options):
    words = options.words
    command = words[0] if words else ""
    how = command if command in ("register", "login") else None
    interactive = not command or command[:1] in "@#" or command.isdigit()
    if not interactive and how is None and command != "tail" and command not in ALONE:
        raise Usage(f'there is no command "{command}"; client.py --help says more')
    if how is not None and len(words) != 2:
        raise Usage(f"{how} NAME")
    user = user_of(words[1]).lower() if how else known_user(options)
    if user is None and (interactive and sys.stdin.isatty()):
        user = user_of(input("Name: ").strip()).lower()
    if not user:
        raise confab.LoginNeeded("nobody is logged in here: client.py register NAME, or login NAME")
    client = make_client(options, user, interactive or command in ("tail", "list"))
    talk = Talk(client, Screen(interactive))
    talk.password_stdin = options.password_stdin
    try:
        enter(options, client, user, how)
        if how is not None:
            print(f"{client.user} is logged in")
        elif interactive:
            talk.target = target_of(command) if command else None
            return converse(talk)
        elif command == "tail":
            follow(talk, target_of(words[1]) if len(words) > 1 else None)
        else:
            talk.do(command, " ".join(words[1:]))
    finally:
        client.close()
    return DONE


def main():
    options = arguments()
    try:
        return work(options)
    except (Usage, ValueError) as error:
        code, text = USAGE, str(error)
    except (confab.LoginNeeded, confab.TokenInvalid, confab.BadCredentials, confab.SentAway) as error:
        code, text = LOGIN, str(error)
    except (confab.Disconnected, confab.ProtocolError, OSError) as error:
        code, text = CONNECT, str(error)
    except confab.ConfabError as error:
        code, text = REFUSED, str(error)
    except (KeyboardInterrupt, EOFError):
        return 130
    print(f"client.py: {clean(text)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
