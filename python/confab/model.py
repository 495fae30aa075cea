# SPDX-License-Identifier: MIT
"""What the server tells, as dataclasses, and how they are made from JSON.

A member that is not known is passed over; one that is missing takes the field's default, or is an error.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Type, TypeVar, Union, cast

from .errors import ConfabError, ProtocolError

__all__ = [
    "Message", "Gap", "Conversation", "Reset", "Synced", "ConversationChanged", "Marked", "Signal",
    "Presence", "ContactChanged", "Goaway", "StateChanged", "Settled", "Notification", "Sent", "Limits",
    "Hello", "Login", "Session", "Profile", "Found", "History", "Marks", "Receipt", "Receipts", "Created",
    "Joined", "Change", "Invited", "GroupInfo", "Member", "Members", "GroupListed", "Groups", "Contact",
    "Contacts", "Present", "Who", "Event", "Json", "Target"]

Json = Dict[str, Any]
Target = Union[str, int]
"""`"@alice"`, `"#ops"`, or the number of a conversation."""

T = TypeVar("T")


# Fields that have another name in JSON.
_FROM = {"wire": "from"}
_TO = {"wire": "to"}


# --- The stream ---

@dataclass(frozen=True)
class Message:
    """An entry of a conversation's log: a message (`text`, `x-…`) or a change (`edit`, `join`, …)."""

    cid: int
    seq: int
    sender: str = field(metadata=_FROM)
    to: Target
    ts: int
    kind: str
    body: str = ""
    data: Optional[Json] = None
    cmid: Optional[str] = None
    re: Optional[int] = None
    edited: Optional[int] = None
    deleted: Optional[int] = None

    @property
    def is_change(self) -> bool:
        return self.kind != "text" and not self.kind.startswith("x-")


@dataclass(frozen=True)
class Gap:
    """The entries first … last were not sent; history() has them, unless they are gone for good."""

    cid: int
    first: int = field(metadata=_FROM)
    last: int = field(metadata=_TO)
    gone: bool = False


@dataclass(frozen=True)
class Conversation:
    cid: int
    kind: str
    title: str
    role: str
    min_seq: int
    next: int
    head: int
    ts: int = 0
    read: int = 0
    delivered: int = 0
    unread: int = 0
    handle: Optional[str] = None
    peer: Optional[str] = None
    peer_read: Optional[int] = None
    peer_delivered: Optional[int] = None
    muted_until: Optional[int] = None
    last: Optional[Message] = None

    @property
    def target(self) -> Target:
        """How a person would name it."""
        if self.peer is not None:
            return "@" + self.peer
        return "#" + self.handle if self.handle else self.cid


@dataclass(frozen=True)
class Reset:
    """The store went back to an older state: all that was known of entries is void, and comes anew."""

    epoch: str


@dataclass(frozen=True)
class Synced:
    """The client is in step again: what there is. Conversations beyond the first 200 follow one by one."""

    epoch: str
    reset: bool
    total: int
    gone: List[int]
    conversations: List[Conversation]


@dataclass(frozen=True)
class ConversationChanged:
    """`added` or `listed`, before its first entry; `removed`, after its last."""

    cid: int
    change: str
    conversation: Optional[Conversation] = None


@dataclass(frozen=True)
class Marked:
    cid: int
    user: str
    read: int
    delivered: int


@dataclass(frozen=True)
class Signal:
    """Something passing: `typing`, `x-…`. Without a cid it was pushed to everyone."""

    sender: str = field(metadata=_FROM)
    kind: str
    cid: Optional[int] = None
    body: str = ""
    data: Optional[Json] = None


@dataclass(frozen=True)
class Presence:
    user: str
    state: str
    text: Optional[str] = None
    seen: Optional[int] = None


@dataclass(frozen=True)
class ContactChanged:
    user: str
    state: str
    note: Optional[str] = None


@dataclass(frozen=True)
class Goaway:
    """The server ends the connection; without reconnect_ms for good."""

    reason: str
    reconnect_ms: Optional[int] = None


@dataclass(frozen=True)
class StateChanged:
    """`offline`, `waiting`, `connecting`, `login_needed` or `ready`; trouble says why, or is empty."""

    state: str
    trouble: str = ""


@dataclass(frozen=True)
class Settled:
    """What came of a message that nobody waits for any more: `sent` or `error`."""

    cmid: str
    to: Target
    sent: Optional["Sent"]
    error: Optional[ConfabError]


@dataclass(frozen=True)
class Notification:
    """One that this library does not know."""

    method: str
    params: Json


Event = Union[Message, Gap, Reset, Synced, ConversationChanged, Marked, Signal, Presence, ContactChanged, Goaway,
              StateChanged, Settled, Notification]


# --- Answers ---

@dataclass(frozen=True)
class Sent:
    """The place of what was sent; dup if an earlier try had stored it."""

    cid: int
    seq: int
    ts: int
    cmid: Optional[str] = None
    dup: bool = False


@dataclass(frozen=True)
class Limits:
    frame: int = 65536
    body: int = 16384
    data: int = 16384
    conversations: int = 2000
    groups: int = 1000
    members: int = 100_000
    contacts: int = 1000
    sessions: int = 20
    connections: int = 100
    idle_ms: int = 75_000


@dataclass(frozen=True)
class Hello:
    server: str
    version: str
    protocol: int
    durability: str
    limits: Limits
    auth: List[str]
    registration: str
    directory: str


@dataclass(frozen=True)
class Login:
    user: str
    user_id: int
    display: str
    token: str = field(repr=False)
    session: str
    server: str
    epoch: str
    limits: Limits


@dataclass(frozen=True)
class Session:
    session: str
    created: int
    seen: int
    ip: str
    online: bool
    current: bool
    device: Optional[str] = None


@dataclass(frozen=True)
class Profile:
    user: str
    user_id: int
    display: str
    status: str
    created: int


@dataclass(frozen=True)
class Found:
    user: str
    display: str


@dataclass(frozen=True)
class History:
    cid: int
    head: int
    min_seq: int
    messages: List[Message]
    more: bool


@dataclass(frozen=True)
class Marks:
    read: int
    delivered: int


@dataclass(frozen=True)
class Receipt:
    user: str
    read: int
    delivered: int


@dataclass(frozen=True)
class Receipts:
    read: int
    delivered: int
    members: int
    users: List[Receipt]
    more: bool


@dataclass(frozen=True)
class Created:
    cid: int
    seq: int
    failed: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Joined:
    cid: int
    seq: int


@dataclass(frozen=True)
class Change:
    """The place of the entry that tells of it; None where nothing changed."""

    seq: Optional[int] = None


@dataclass(frozen=True)
class Invited:
    added: List[str]
    failed: Dict[str, str]
    seq: Optional[int] = None


@dataclass(frozen=True)
class GroupInfo:
    cid: int
    title: str
    open: bool
    history: bool
    post: str
    invite: str
    members: int
    created: int
    owners: List[str]
    topic: str = ""
    handle: Optional[str] = None
    online: int = 0
    role: Optional[str] = None


@dataclass(frozen=True)
class Member:
    user: str
    display: str
    role: str
    online: bool = False


@dataclass(frozen=True)
class Members:
    members: List[Member]
    more: bool


@dataclass(frozen=True)
class GroupListed:
    cid: int
    title: str
    members: int
    topic: str = ""
    handle: Optional[str] = None


@dataclass(frozen=True)
class Groups:
    groups: List[GroupListed]
    more: bool


@dataclass(frozen=True)
class Contact:
    user: str
    display: str
    state: str
    presence: str = "offline"
    note: Optional[str] = None
    seen: Optional[int] = None


@dataclass(frozen=True)
class Contacts:
    contacts: List[Contact]
    more: bool


@dataclass(frozen=True)
class Present:
    user: str
    display: str
    state: str


@dataclass(frozen=True)
class Who:
    online: int
    users: List[Present]
    more: bool


# --- From JSON ---

_Convert = Callable[[Any], Any]


def _plain(kind: type) -> _Convert:
    def convert(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"{kind.__name__} is due, not {value!r:.100}")
        return value
    return convert


def _converter(hint: Any) -> _Convert:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return lambda value: value
    if origin is Union:
        inner = [a for a in args if a is not type(None)]
        if len(inner) == 1:
            return _converter(inner[0])
        kinds = tuple(inner)

        def one_of(value: Any) -> Any:
            if type(value) not in kinds:
                raise TypeError(f"one of {kinds} is due, not {value!r:.100}")
            return value
        return one_of
    if origin is list:
        item = _converter(args[0])
        as_list = _plain(list)
        return lambda value: [item(one) for one in as_list(value)]
    if origin is dict:
        item = _converter(args[1])
        as_dict = _plain(dict)
        return lambda value: {name: item(one) for name, one in as_dict(value).items()}
    if dataclasses.is_dataclass(hint):
        return lambda value: build(cast(Type[Any], hint), value)
    return _plain(hint)


@functools.lru_cache(maxsize=None)
def _plan(cls: Any) -> List[Tuple[str, str, _Convert, bool]]:
    """(field, its name in JSON, converter, must be there), for every field of a dataclass."""
    hints = typing.get_type_hints(cls)
    return [(f.name, f.metadata.get("wire", f.name), _converter(hints[f.name]),
             f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING)
            for f in dataclasses.fields(cls)]


def build(cls: Type[T], value: Any) -> T:
    """A dataclass from the JSON object that the server sent."""
    if type(value) is not dict:
        raise ProtocolError(f"{cls.__name__}: an object is due, not {value!r:.100}")
    members: Json = {}
    for name, key, convert, due in _plan(cast(Any, cls)):
        got = value.get(key)
        if got is None:
            if due:
                raise ProtocolError(f"{cls.__name__}: {key} is missing in {value!r:.200}")
            continue
        try:
            members[name] = convert(got)
        except TypeError as error:
            raise ProtocolError(f"{cls.__name__}.{key}: {error}") from None
    return cls(**members)


def build_list(cls: Type[T], value: Mapping[str, Any], key: str) -> List[T]:
    """The list of dataclasses in a member of an answer."""
    items = value.get(key)
    if type(items) is not list:
        raise ProtocolError(f"a list {key} is due, not {items!r:.100}")
    return [build(cls, item) for item in items]
