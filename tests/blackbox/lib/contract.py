"""What PROTOCOL promises about shapes: errors, results, notifications, and the order of streams.

Every frame that a test's client receives goes through here, so that each test also checks these.
Shapes are dicts of member -> type; "name?" may be absent.  Unknown members fail: whoever adds one
to the protocol adds it here.
"""

import json

ERRORS = {
    "parse_error": -32700, "invalid_request": -32600, "unknown_method": -32601, "invalid_params": -32602,
    "internal": -32603, "not_logged_in": 1000, "bad_credentials": 1001, "name_taken": 1002,
    "weak_password": 1003, "token_invalid": 1004, "already_logged_in": 1005, "not_found": 1010,
    "not_member": 1011, "forbidden": 1012, "blocked": 1013, "already": 1014, "conflict": 1015,
    "too_large": 1016, "limit": 1017, "rate_limited": 1020, "busy": 1021, "unavailable": 1022,
    "unknown_outcome": 1023, "session_revoked": 1030,
}
RETRY = {"rate_limited", "busy", "unavailable", "unknown_outcome"}
GOAWAY = {"shutdown", "epoch", "idle", "slow", "busy", "errors", "session_revoked"}
FRAME_MAX = 256 * 1024


class Violation(AssertionError):
    """The server broke its contract."""


class Any:
    pass


class OneOf:
    def __init__(self, *values):
        self.values = values


class Map:
    """An object whose members' names are data."""

    def __init__(self, value):
        self.value = value


def check(value, shape, where):
    if shape is Any:
        return
    if isinstance(shape, OneOf):
        if not any(_fits(value, one) for one in shape.values):
            raise Violation(f"{where}: {value!r} is none of {shape.values}")
    elif isinstance(shape, Map):
        if not isinstance(value, dict):
            raise Violation(f"{where}: an object is due, not {value!r}")
        for name, inner in value.items():
            check(inner, shape.value, f"{where}.{name}")
    elif isinstance(shape, dict):
        if not isinstance(value, dict):
            raise Violation(f"{where}: an object is due, not {value!r}")
        names = {}
        for name, inner in shape.items():
            names[name.rstrip("?")] = inner
            if name.endswith("?"):
                continue
            if name not in value:
                raise Violation(f"{where}: {name} is missing in {value!r:.300}")
        for name, inner in value.items():
            if name not in names:
                raise Violation(f"{where}: unknown member {name} in {value!r:.300}")
            check(inner, names[name], f"{where}.{name}")
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise Violation(f"{where}: a list is due, not {value!r}")
        for i, inner in enumerate(value):
            check(inner, shape[0], f"{where}[{i}]")
    elif not _fits(value, shape):
        raise Violation(f"{where}: {shape} is due, not {value!r}")


def _fits(value, shape):
    if isinstance(shape, type):
        if shape is int:
            return type(value) is int and 0 <= value < 2 ** 53
        return type(value) is shape
    return type(value) is type(shape) and value == shape


LIMITS = {name: int for name in ("frame", "body", "data", "conversations", "groups", "members", "contacts",
                                 "sessions", "connections", "idle_ms")}
ENTRY = {"cid": int, "seq": int, "from": str, "to": OneOf(str, int), "ts": int, "kind": str, "body?": str,
         "data?": dict, "cmid?": str, "re?": int, "edited?": int, "deleted?": int}
CONVERSATION = {
    "cid": int, "kind": OneOf("direct", "group"), "title": str, "handle?": str, "peer?": str,
    "role": OneOf("member", "admin", "owner", "none"), "min_seq": int, "next": int, "head": int, "ts": int,
    "read": int, "delivered": int, "unread": int, "peer_read?": int, "peer_delivered?": int,
    "muted_until?": int, "last?": ENTRY}
SYNC = {"epoch": str, "reset": bool, "total": int, "gone": [int], "conversations": [CONVERSATION]}
SESSION = {"user": str, "user_id": int, "display": str, "token": str, "session": str, "server": str,
           "epoch": str, "limits": LIMITS, **{name + "?": shape for name, shape in SYNC.items() if name != "epoch"}}
STATE = OneOf("online", "away", "busy", "offline")

RESULTS = {
    "hello": {"server": str, "version": str, "protocol": 1,
              "durability": OneOf("local", "replicated", "relaxed"), "limits": LIMITS,
              "auth": [OneOf("password", "token")], "registration": OneOf("open", "closed"),
              "directory": OneOf("open", "closed")},
    "register": SESSION, "login": SESSION, "resume": SESSION,
    "ping": {"ts": int},
    "sync": SYNC,
    "logout": {},
    "session.list": {"sessions": [{"session": str, "device?": OneOf(str, None), "created": int, "seen": int,
                                   "ip": str, "online": bool, "current": bool}]},
    "session.revoke": {}, "password.change": {}, "profile.set": {},
    "profile.get": {"users": [{"user": str, "user_id": int, "display": str, "status": str, "created": int}]},
    "user.find": {"users": [{"user": str, "display": str}]},
    "send": {"cid": int, "seq": int, "ts": int, "cmid?": str, "dup?": True},
    "history": {"cid": int, "head": int, "min_seq": int, "messages": [ENTRY], "more": bool},
    "mark": {"read": int, "delivered": int},
    "edit": {"cid": int, "seq": int, "ts": int, "cmid?": str, "dup?": True},
    "delete": {"cid": int, "seq": int, "ts": int, "dup?": True},
    "receipts": {"read": int, "delivered": int, "members": int, "users": [{"user": str, "read": int, "delivered": int}],
                 "more": bool},
    "signal": {},
    "contact.add": {"state": OneOf("requested", "contact")},
    "contact.accept": {}, "contact.reject": {}, "contact.remove": {}, "contact.block": {}, "contact.unblock": {},
    "contact.list": {"contacts": [{"user": str, "display": str, "state": OneOf("requested", "incoming", "contact", "blocked"),
                                   "note?": str, "presence": STATE, "seen?": int}], "more": bool},
    "account.delete": {},
    "presence.set": {},
    "presence.watch": {"users": [{"user": str, "state": STATE, "text?": str, "seen?": int}], "more?": True},
    "presence.get": {"users": [{"user": str, "state": STATE, "text?": str, "seen?": int}]},
    "group.create": {"cid": int, "seq": 1, "failed": Map(OneOf(*ERRORS))},
    "group.join": {"cid": int, "seq": int},
    "group.leave": {"seq": int},
    "group.invite": {"seq?": int, "added": [str], "failed": Map(OneOf(*ERRORS))},
    "group.remove": {"seq": int},
    "group.unban": {},
    "group.role": {"seq?": int}, "group.mute": {"seq?": int}, "group.set": {"seq?": int},
    "group.info": {"cid": int, "title": str, "topic": str, "handle": str, "open": bool, "history": bool,
                   "post": OneOf("all", "admins"), "invite": OneOf("all", "admins"), "members": int, "online": int,
                   "created": int, "owners": [str], "role?": OneOf("member", "admin", "owner")},
    "group.members": {"members": [{"user": str, "display": str, "role": OneOf("member", "admin", "owner", "banned"),
                                   "online": bool}], "more": bool},
    "group.list": {"groups": [{"cid": int, "title": str, "topic": str, "handle": str, "members": int}], "more": bool},
    "group.dismiss": {"seq": int},
    "who": {"online": int, "users": [{"user": str, "display": str, "state": STATE}], "more": bool},
}
NOTIFICATIONS = {
    "message": ENTRY,
    "conversation": {**{name if name == "cid" else name.rstrip("?") + "?": shape
                        for name, shape in CONVERSATION.items()},
                     "change": OneOf("added", "listed", "removed")},
    "gap": {"cid": int, "from": int, "to": int},
    "mark": {"cid": int, "user": str, "read": int, "delivered": int},
    "signal": {"cid?": int, "from": str, "kind": str, "body?": str, "data?": dict},
    "presence": {"user": str, "state": STATE, "text?": str, "seen?": int},
    "contact": {"user": str, "note?": str,
                "state": OneOf("requested", "incoming", "contact", "rejected", "removed", "blocked", "unblocked")},
    "goaway": {"reason": OneOf(*GOAWAY), "reconnect_ms?": int},
}
ERROR = {"code": int, "message": str,
         "data": {"name": OneOf(*ERRORS), "retry?": bool, "retry_after_ms?": int, "param?": str, "max?": int,
                  "trace?": OneOf(str, int)}}
ERROR["code"] = OneOf(*ERRORS.values())


def strict_loads(text):
    def members(pairs):
        names = [name for name, _ in pairs]
        if len(set(names)) != len(names):
            raise Violation(f"a member is there twice: {text[:300]}")
        return dict(pairs)

    def refuse(word):
        raise Violation(f"not JSON: {word}")

    try:
        return json.loads(text, object_pairs_hook=members, parse_constant=refuse)
    except (ValueError, UnicodeDecodeError) as error:
        raise Violation(f"the server's frame is not JSON: {error}: {text[:300]!r}") from None


def check_error(error, where):
    check(error, ERROR, where)
    name = error["data"]["name"]
    if ERRORS[name] != error["code"]:
        raise Violation(f"{where}: {name} has code {error['code']}")
    if error["data"].get("retry", False) != (name in RETRY):
        raise Violation(f"{where}: {name} with retry {error['data'].get('retry')}")
    if not error["message"] or "\n" in error["message"]:
        raise Violation(f"{where}: the message {error['message']!r}")
    if name == "too_large" and "max" not in error["data"]:
        raise Violation(f"{where}: too_large without data.max")


def check_conversation(view, where):
    direct = view["kind"] == "direct"
    for name in ("peer", "peer_read", "peer_delivered"):
        if direct and name not in view:
            raise Violation(f"{where}: a direct conversation without {name}")
    if not direct and "peer" in view:
        raise Violation(f"{where}: a group with a peer")
    if direct and view["role"] != "member":
        raise Violation(f"{where}: role {view['role']} in a direct conversation")
    if view["min_seq"] < 1 or view["next"] < view["min_seq"]:
        raise Violation(f"{where}: next {view['next']} below min_seq {view['min_seq']}")
    if view["next"] > view["head"] + 1:
        raise Violation(f"{where}: next {view['next']} beyond head {view['head']}")
    if view["unread"] != max(0, view["head"] - max(view["read"], view["min_seq"] - 1)):
        raise Violation(f"{where}: unread {view['unread']}: {view}")
    if not view["read"] <= view["delivered"]:
        raise Violation(f"{where}: read {view['read']} above delivered {view['delivered']}")
    last = view.get("last")
    if last and (last["seq"] != view["head"] or last["cid"] != view["cid"]
                 or len(last.get("body", "").encode()) > 256 or "data" in last):
        raise Violation(f"{where}: last is {last}")


class Stream:
    """Promises 4 and 5 of one connection: nothing before sync; then next, +1, +2…, or an announced gap."""

    def __init__(self):
        self.synced = False
        self.next = {}    # cid -> the seq that is due
        self.past = {}    # cid -> the seq behind all that there was of it: left before the sync, or removed
        self.total = None

    def sync_result(self, result):
        if self.synced:
            raise Violation("sync succeeded twice on one connection")
        self.synced = True
        self.total = result["total"]
        views = result["conversations"]
        if len(views) > 200 or len(views) > result["total"]:
            raise Violation(f"sync lists {len(views)} of {result['total']}")
        for view in views:
            self._begin(view, "sync")

    def _begin(self, view, where):
        check_conversation(view, where)
        cid = view["cid"]
        if self.next.get(cid, 0) < self.past.get(cid, 0):
            raise Violation(f"{where}: conversation {cid} comes back before {self.past[cid] - 1} was told of")
        if cid in self.next and cid not in self.past:
            raise Violation(f"{where}: conversation {cid} is announced twice")
        if view["next"] < self.past.pop(cid, 0):
            raise Violation(f"{where}: conversation {cid} begins again at {view['next']}")
        self.next[cid] = view["next"]
        if view["role"] == "none" and where == "sync":
            self.past[cid] = view["head"] + 1

    def notification(self, method, params):
        if method == "goaway":
            return
        if not self.synced:
            raise Violation(f"{method} before sync: {params!r:.200}")
        if method == "conversation":
            if params["change"] == "removed":
                cid = params["cid"]
                if cid not in self.next or cid in self.past:
                    raise Violation(f"conversation {cid} is removed and was not there")
                self.past[cid] = self.next[cid]
                return
            check({k: v for k, v in params.items() if k != "change"}, CONVERSATION, "conversation")
            self._begin(params, "conversation")
        elif method == "message":
            cid, seq = params["cid"], params["seq"]
            if self.next.get(cid) != seq or self.past.get(cid, seq + 1) <= seq:
                raise Violation(f"message {seq} of {cid} where {self.next.get(cid)} is due")
            self.next[cid] = seq + 1
        elif method == "gap":
            cid = params["cid"]
            if self.next.get(cid) != params["from"] or params["to"] < params["from"]:
                raise Violation(f"gap {params} where {self.next.get(cid)} is due")
            self.next[cid] = params["to"] + 1


class Contract:
    """Checks every frame of one connection."""

    def __init__(self):
        self.stream = Stream()

    def frame(self, text, asked):
        """`asked` gives the method and params of an id (or None).  Returns the frame, parsed."""
        if len(text) > FRAME_MAX:
            raise Violation(f"a frame of {len(text)} bytes")
        frame = strict_loads(text)
        if not isinstance(frame, dict) or frame.get("jsonrpc") != "2.0":
            raise Violation(f"not JSON-RPC 2.0: {text[:300]!r}")
        if "method" in frame:
            if set(frame) != {"jsonrpc", "method", "params"} or frame["method"] not in NOTIFICATIONS:
                raise Violation(f"not a notification: {text[:300]!r}")
            check(frame["params"], NOTIFICATIONS[frame["method"]], frame["method"])
            self.stream.notification(frame["method"], frame["params"])
        else:
            if set(frame) not in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"}):
                raise Violation(f"not an answer: {text[:300]!r}")
            method, params = asked(frame["id"]) or (None, {})
            if "error" in frame:
                check_error(frame["error"], f"{method} error")
            elif method in RESULTS:
                self._result(method, params, frame["result"])
        return frame

    def _result(self, method, params, result):
        check(result, RESULTS[method], f"{method} result")
        if method in ("register", "login", "resume"):
            synced = (params or {}).get("sync") not in (None, False)
            if ("total" in result) != synced:
                raise Violation(f"{method}: sync's members {'missing' if synced else 'unasked'}: {result!r:.300}")
            if len(result["token"]) > 128:
                raise Violation("the token is too long")
            if synced:
                self.stream.sync_result({"epoch": result["epoch"], **{k: result[k] for k in SYNC}})
        elif method == "sync":
            self.stream.sync_result(result)
        elif method == "history":
            seqs = [m["seq"] for m in result["messages"]]
            if seqs != sorted(set(seqs)):
                raise Violation(f"history is not in rising seq: {seqs}")
            for one in result["messages"]:
                if one["cid"] != result["cid"] or not result["min_seq"] <= one["seq"] <= result["head"]:
                    raise Violation(f"history of {result['cid']} gives {one!r:.200}")
