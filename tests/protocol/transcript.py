"""Transcripts: docs/transcripts/*.txt, read, played against a server, and recorded anew.

A line is one of

    # text                    for people
    alice-> {...}             what the connection "alice" sends, as it is
    alice<- {...}             a frame that it gets
    * alice and bob are logged in and synced        what somebody does; the DEEDS below

A placeholder stands for a value that differs from run to run: <ts> for one that is not a string, "<token>" for a
string.  The first frame in which it stands binds it; everywhere else the value must be the same.  In what is sent,
"<x*20000>" is a string of so many letters, and ["<user*200>"] a list of user1, user2 and so on.

Frames of one connection are matched in any order, since answers and notifications may overtake each other; but
each must come, and nothing else may.
"""

import json
import pathlib
import re
import time

from lib.client import Closed
from lib.server import dumps, wait_for

TOP = pathlib.Path(__file__).resolve().parents[2]
FOLDER = TOP / "docs/transcripts"
PASSWORD = "correct horse battery"
PATIENCE = 60
SETTLED = 0.3   # while recording: what comes of a request comes within this time

LINE = re.compile(r"([a-z][a-z0-9_]*)?(->|<-) (.+)")
MARK = re.compile(r'"<([a-z][a-z0-9_]*)>"|<([a-z][a-z0-9_]*)>')
LONG = re.compile(r'"<([a-z])\*(\d+)>"')
MANY = re.compile(r'\["<([a-z]+)\*(\d+)>"\]')

# Members whose values a recording replaces, each a family of names.
VARYING = {"token", "session", "epoch", "ts", "created", "seen", "cid", "user_id", "version", "trace", "limits",
           "reconnect_ms", "until"}


class Mismatch(AssertionError):
    pass


class Hole:
    """A placeholder within a frame."""

    def __init__(self, name, text):
        self.name, self.text = name, text


def frame_of(text):
    """A frame with holes."""
    def hole(match):
        return json.dumps("\0" + ("s" if match[1] else "v") + (match[1] or match[2]))

    def put(value):
        if isinstance(value, str) and value.startswith("\0"):
            return Hole(value[2:], value[1] == "s")
        if isinstance(value, list):
            return [put(one) for one in value]
        if isinstance(value, dict):
            return {name: put(one) for name, one in value.items()}
        return value

    return put(json.loads(MARK.sub(hole, text)))


def match(want, got, bound, where=""):
    """Binds what is free in `bound`; raises Mismatch."""
    if isinstance(want, Hole):
        if isinstance(got, str) != want.text:
            raise Mismatch(f"{where}: {got!r} for <{want.name}>")
        if type(bound.setdefault(want.name, got)) is not type(got) or bound[want.name] != got:
            raise Mismatch(f"{where}: {got!r}, but <{want.name}> is {bound[want.name]!r}")
    elif type(want) is not type(got):
        raise Mismatch(f"{where}: {got!r} instead of {want!r}")
    elif isinstance(want, dict):
        if want.keys() != got.keys():
            raise Mismatch(f"{where}: the members are {sorted(got)}, not {sorted(want)}")
        for name in want:
            match(want[name], got[name], bound, f"{where}.{name}")
    elif isinstance(want, list):
        if len(want) != len(got):
            raise Mismatch(f"{where}: {len(got)} elements instead of {len(want)}: {got!r:.300}")
        for i, (one, other) in enumerate(zip(want, got)):
            match(one, other, bound, f"{where}[{i}]")
    elif want != got:
        raise Mismatch(f"{where}: {got!r} instead of {want!r}")


def write_out(text):
    """What stands for something long."""
    text = MANY.sub(lambda m: json.dumps([f"{m[1]}{i + 1}" for i in range(int(m[2]))]), text)
    return LONG.sub(lambda m: json.dumps(m[1] * int(m[2])), text)


class Transcript:
    def __init__(self, path):
        self.path = path
        self.name = path.stem
        self.lines = path.read_text().splitlines()

    def steps(self):
        """(line number, kind, connection, text) of what is not for people only."""
        for number, line in enumerate(self.lines, 1):
            if not line or line.startswith("#"):
                continue
            if line.startswith("* "):
                yield number, "*", None, line[2:]
                continue
            got = LINE.fullmatch(line)
            assert got, f"{self.path.name}:{number}: not a line of a transcript: {line}"
            yield number, got[2], got[1] or "", got[3]

    def frames(self):
        """(kind, connection, frame) of what is sent and is JSON, and of what comes; placeholders are holes."""
        for _, kind, who, text in self.steps():
            if kind != "*":
                try:
                    yield kind, who, frame_of(write_out(text))
                except ValueError:
                    assert kind == "->"

    def config(self):
        """The server's configuration: `* the server has KEY = VALUE`."""
        found = {}
        for _, kind, _, text in self.steps():
            got = re.fullmatch(r"the server has (\w+) = (.+)", text) if kind == "*" else None
            if got:
                found[got[1]] = got[2]
        return found


def all_transcripts():
    return [Transcript(path) for path in sorted(FOLDER.glob("*.txt"))]


class Player:
    """Plays one transcript.  `observed` are the exchanges: (method, params, answer), and (method, params) of
    notifications."""

    def __init__(self, transcript, server, dial, recording=False):
        self.transcript, self.server, self.dial, self.recording = transcript, server, dial, recording
        self.bound = {}
        self.clients = {}
        self.taken = {}         # connection -> how its frames were seen: True if taken
        self.asked = {}         # (connection, id) -> (method, params)
        self.users = {}
        self.observed, self.notified = [], []
        self.recorded = []

    def client(self, who):
        if who not in self.clients:
            self.clients[who] = self.dial(self.server, check=False)
            self.taken[who] = []
        return self.clients[who]

    def fill(self, text):
        """What is sent, with its placeholders filled in."""
        def value(match):
            name = match[1] or match[2]
            assert name in self.bound, f"<{name}> is sent before it was seen"
            return dumps(str(self.bound[name]) if match[1] else self.bound[name])

        return MARK.sub(value, write_out(text))

    # --- Playing ---

    def play(self):
        for number, kind, who, text in self.transcript.steps():
            try:
                if kind == "*":
                    self.deed(text)
                elif kind == "->":
                    self.send(who, text)
                else:
                    self.expect(who, frame_of(text))
            except (AssertionError, Closed) as error:
                raise AssertionError(f"{self.transcript.path.name}:{number}: {error}") from None
        self.judge_rest()

    def send(self, who, text):
        text = self.fill(text)
        client = self.client(who)
        self.note_request(who, text)
        client.send_text(text)

    def note_request(self, who, text):
        try:
            request = json.loads(text)
        except ValueError:
            return
        if isinstance(request, dict) and isinstance(request.get("id"), (int, str)):
            self.asked[who, request["id"]] = request.get("method"), request.get("params", {})

    def note_frame(self, who, frame):
        if "method" in frame:
            self.notified.append((frame["method"], frame["params"]))
        else:
            method, params = self.asked.get((who, frame["id"]), (None, None))
            self.observed.append((method, params, frame))

    def untaken(self, who):
        """(place, frame) of what came and was not expected yet; under the client's lock."""
        client, taken = self.clients[who], self.taken[who]
        taken.extend([False] * (len(client.frames) - len(taken)))
        return [(i, json.loads(text)) for i, text in enumerate(client.frames) if not taken[i]]

    def expect(self, who, want):
        client = self.client(who)
        mishaps = []

        def find():
            del mishaps[:]
            for place, frame in self.untaken(who):
                bound = dict(self.bound)
                if frame.get("id", 0) != want.get("id", 0) or frame.get("method") != want.get("method"):
                    continue
                try:
                    match(want, frame, bound)
                except Mismatch as mishap:
                    mishaps.append(str(mishap))
                    if "method" not in want and want["id"] is not None:
                        raise
                    continue
                self.bound = bound
                self.taken[who][place] = True
                self.note_frame(who, frame)
                return True
            return None

        try:
            client._wait(find, PATIENCE, "the frame")
        except AssertionError as error:
            raise AssertionError(f"{error} {mishaps}") from None

    def judge_rest(self):
        """Nothing came that is not in the transcript."""
        for who, client in self.clients.items():
            if client.ended is None:
                client.call("ping")
            with client.changed:
                rest = [frame for _, frame in self.untaken(who)
                        if not (isinstance(frame.get("id"), int) and frame["id"] in client.asked)]
            assert not rest, f"{self.transcript.name}: {who} also got {rest}"

    # --- Recording ---

    def record(self):
        """Plays what is sent and done, and gives the lines with what came."""
        steps = {number: (kind, who, text) for number, kind, who, text in self.transcript.steps()}
        for number, line in enumerate(self.transcript.lines, 1):
            kind, who, text = steps.get(number, (None, None, None))
            if kind == "<-":
                continue
            self.recorded.append(line)
            if kind == "->":
                self.send(who, text)
            elif kind == "*" and text.startswith("the server closes"):
                self.recorded.pop()
                self.settle(who)
                self.recorded.append(line)
            if kind == "*":
                self.deed(text)
            if kind:
                self.settle(who)
        return "\n".join(self.recorded) + "\n"

    def settle(self, first):
        time.sleep(SETTLED)
        for who in sorted(self.clients, key=lambda one: one != first):
            with self.clients[who].changed:
                fresh = self.untaken(who)
            for place, frame in fresh:
                self.taken[who][place] = True
                whole = self.asked.get((who, frame.get("id")), ("",))[0] in ("hello", "register")
                self.recorded.append(f"{who}<- {self.blur(frame, None, whole)}")

    def blur(self, value, key, whole):
        """A frame as text, with placeholders for what varies."""
        if key == "to" and type(value) is int:
            key = "cid"
        if key in VARYING and not (key == "limits" and whole) and value not in ([], 0):
            name = self.name_of(key, value)
            return f'"<{name}>"' if isinstance(value, str) else f"<{name}>"
        if isinstance(value, dict):
            return "{" + ",".join(f"{dumps(k)}:{self.blur(v, k, whole)}" for k, v in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ",".join(self.blur(v, None, whole) for v in value) + "]"
        return dumps(value)

    def name_of(self, key, value):
        for name, known in self.bound.items():
            if known == value and re.fullmatch(rf"(?:[a-z0-9]+_)?{key}\d*", name):
                return name
        number = 1
        while (name := key if number == 1 else f"{key}{number}") in self.bound:
            number += 1
        self.bound[name] = value
        return name

    # --- Deeds ---

    def deed(self, text):
        for pattern, act in DEEDS:
            got = re.fullmatch(pattern, text)
            if got:
                act(self, *got.groups())
                return
        raise AssertionError(f"nobody knows how to do this: {text}")

    def enter(self, who, method, params, synced):
        client = self.client(who)
        result = client.call(method, {**params, **({"sync": True} if synced else {})})
        with client.changed:
            for place, frame in self.untaken(who):
                self.taken[who][place] = frame.get("id") in client.asked
        for name in ("token", "session"):
            self.bound[f"{who}_{name}"] = result[name]
        self.bound["epoch"] = result["epoch"]
        self.users[who] = result["user"]
        if self.recording:
            time.sleep(SETTLED)

    def are_logged_in(self, names, synced):
        for who in re.split(r", | and ", names):
            self.enter(who, "register", {"user": who, "password": PASSWORD, "display": who.title(),
                                         "device": "laptop"}, synced)

    def is_another(self, who, other, synced):
        self.enter(who, "login", {"user": self.users[other], "password": PASSWORD, "device": who}, synced)

    def hangs_up(self, who):
        open_ones = self.server.fds()
        self.clients[who].close()
        wait_for(lambda: self.server.fds() < open_ones, what="the end of the connection")

    def is_closed(self, who):
        self.client(who).wait_closed(PATIENCE)

    def restarts(self):
        for client in self.clients.values():
            client.close()
        self.server.restart()

    def terminates(self):
        self.server.terminate()


NAMES = r"((?:[a-z0-9]+(?:, | and )?)+)"
DEEDS = [
    (r"the server has \w+ = .+", lambda player: None),
    (r"the server restarts", Player.restarts),
    (r"the server is told to end", Player.terminates),
    (NAMES + r" (?:is|are) logged in( and synced)?", Player.are_logged_in),
    (r"([a-z0-9]+) is another device of ([a-z0-9]+), logged in( and synced)?", Player.is_another),
    (r"([a-z0-9]+) hangs up", Player.hangs_up),
    (r"the server closes the connection", lambda player: player.is_closed("")),
    (r"the server closes ([a-z0-9]+)", Player.is_closed),
]
