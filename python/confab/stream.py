# SPDX-License-Identifier: MIT
"""What comes by itself: puts every entry at its place, once, and hands all on as events, in order.

Two sets of cursors: `_seen`, up to where entries were received (a new connection goes on from there), and
those in the vault, up to where the application has dealt with them (the next process goes on from there).
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from typing import Any, Callable, Deque, Dict, Optional, Tuple, Type

from .errors import ProtocolError
from .keeper import Keeper
from .model import (ContactChanged, Conversation, ConversationChanged, Event, Gap, Goaway, Json, Marked, Message,
                    Notification, Presence, Reset, Signal, StateChanged, Synced, build)

QUEUE_MOST = 4096  # events that wait for the application; what is passing is dropped beyond
QUEUE_ROOM = 1024  # fewer: there is room for a new stream
CURSORS_MARGIN = 2048  # of a frame's bytes, for what stands beside the cursors

_KINDS: Dict[str, Type[Any]] = {
    "message": Message, "gap": Gap, "mark": Marked, "signal": Signal, "presence": Presence,
    "contact": ContactChanged, "goaway": Goaway}
_PASSING = (Signal, Presence, Marked, StateChanged, Goaway)


class Stream:
    def __init__(self, keeper: Keeper, epoch: Optional[str], cursors: Dict[int, int],
                 dealt: Callable[[int, int], None]) -> None:
        self._keeper = keeper
        self._dealt = dealt
        self._seen = dict(cursors)
        self._kept = set(cursors)  # the conversations that have a cursor in the vault
        self._kept_epoch = epoch
        self._hole: Optional[Tuple[int, int]] = None
        self._queue: Deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.epoch = epoch
        self.user: Optional[str] = None  # whose stream it is, when that is known
        self.conversations: Dict[int, Conversation] = {}
        self.duplicates = 0

    # --- Getting in step ---

    def sync_params(self, backlog: int, most: int) -> Json:
        """Cursors that do not fit are left out: those conversations begin at the read mark, with a gap if need be."""
        params: Json = {"backlog": backlog}
        if self.epoch is None or not self._seen:
            return params
        cursors: Dict[str, int] = {}
        size = CURSORS_MARGIN
        for cid, seq in self._seen.items():
            size += len(str(cid)) + len(str(seq)) + 4
            if size > most:
                break
            cursors[str(cid)] = seq
        params.update(epoch=self.epoch, cursors=cursors)
        return params

    def synced(self, result: Json) -> Synced:
        """Takes the answer to sync, before anything that came behind it."""
        synced = build(Synced, result)
        if synced.reset:
            self._seen.clear()
            self.put(Reset(synced.epoch))
        for cid in synced.gone:
            self._seen.pop(cid, None)
        self.epoch = synced.epoch
        self.conversations = {}
        self.put(synced)
        for conversation in synced.conversations:
            self._begin(conversation)
        return synced

    def _begin(self, conversation: Conversation) -> None:
        cid = conversation.cid
        self.conversations[cid] = conversation
        seen = self._seen.get(cid)
        if seen is None:
            self._seen[cid] = conversation.next - 1
        elif conversation.next > seen + 1:
            self._seen[cid] = conversation.next - 1
            held = max(conversation.min_seq, seen + 1)
            if held > seen + 1:
                self.put(Gap(cid, seen + 1, min(held, conversation.next) - 1, gone=True))
            if conversation.next > held:
                self.put(Gap(cid, held, conversation.next - 1))
        self._left(cid)

    def _left(self, cid: int) -> None:
        """A conversation that one has left ends where its last entry was received."""
        conversation = self.conversations.get(cid)
        if conversation is not None and conversation.role == "none" and self._seen.get(cid, 0) >= conversation.head:
            self._removed(cid)

    def _removed(self, cid: int) -> None:
        self._seen.pop(cid, None)
        self.conversations.pop(cid, None)
        self.put(ConversationChanged(cid, "removed"))

    # --- What comes then ---

    def notification(self, method: str, params: Json) -> None:
        if method == "conversation":
            self._conversation(params)
            return
        kind = _KINDS.get(method)
        if kind is None:
            self.put(Notification(method, params))
            return
        event = build(kind, params)
        if isinstance(event, Message):
            if not self._advance(event.cid, event.seq, event.seq):
                return
            self._grow(event)
        elif isinstance(event, Gap):
            if not self._advance(event.cid, event.first, event.last):
                return
        elif isinstance(event, Marked):
            self._marked(event)
        self.put(event)
        if isinstance(event, (Message, Gap)):
            self._left(event.cid)

    def _conversation(self, params: Json) -> None:
        change, cid = params.get("change"), params.get("cid")
        if not isinstance(change, str) or not isinstance(cid, int):
            raise ProtocolError(f"not a change of a conversation: {params!r:.200}")
        if change == "removed":
            self._removed(cid)
        elif "next" in params:
            conversation = build(Conversation, params)
            if change == "added" and conversation.min_seq > self._seen.get(cid, 0) + 1:
                self._seen.pop(cid, None)  # joined again: what lies between was never his
            if _is_new(conversation, change):
                self._seen.setdefault(cid, conversation.min_seq - 1)
            self.put(ConversationChanged(cid, change, conversation))
            self._begin(conversation)
        else:
            self.put(Notification("conversation", params))

    def _advance(self, cid: int, first: int, last: int) -> bool:
        """False for what was had before; a hole costs the connection, and is believed the second time."""
        seen = self._seen.get(cid, first - 1)
        if last <= seen:
            self.duplicates += 1
            return False
        if first > seen + 1:
            if self._hole != (cid, seen):
                self._hole = (cid, seen)
                raise ProtocolError(f"conversation {cid} goes on at {first} where {seen + 1} is due")
            self.put(Gap(cid, seen + 1, first - 1))
        self._seen[cid] = last
        return True

    def _grow(self, message: Message) -> None:
        """What is newer than what was listed changes what is known of the conversation."""
        conversation = self.conversations.get(message.cid)
        if conversation is None or message.seq <= conversation.head:
            return
        self.conversations[message.cid] = dataclasses.replace(
            conversation, head=message.seq, ts=message.ts, unread=conversation.unread + 1,
            **self._changed(conversation, message))

    def _changed(self, conversation: Conversation, message: Message) -> Json:
        data = message.data or {}
        changed: Json = {}
        if message.kind == "set":
            if isinstance(data.get("title"), str):
                changed["title"] = data["title"]
            if isinstance(data.get("handle"), str):
                changed["handle"] = data["handle"] or None
        elif message.kind == "role" and data.get("user") == self.user and isinstance(data.get("role"), str):
            changed["role"] = data["role"]
        elif message.kind == "mute" and data.get("user") == self.user and isinstance(data.get("until"), int):
            changed["muted_until"] = data["until"] or None
        return changed

    def _marked(self, mark: Marked) -> None:
        conversation = self.conversations.get(mark.cid)
        if conversation is None:
            return
        if mark.user == conversation.peer:
            conversation = dataclasses.replace(conversation, peer_read=mark.read, peer_delivered=mark.delivered)
        else:
            conversation = dataclasses.replace(conversation, read=mark.read, delivered=mark.delivered,
                                               unread=max(0, conversation.head - mark.read))
        self.conversations[mark.cid] = conversation

    def own_mark(self, cid: int, user: str, read: int, delivered: int) -> None:
        """What this connection's own call to mark said; the others get a notification."""
        self._marked(Marked(cid, user, read, delivered))

    # --- The queue ---

    def put(self, event: Event) -> None:
        if len(self._queue) >= QUEUE_MOST and isinstance(event, _PASSING):
            return
        self._queue.append(event)
        if len(self._queue) >= QUEUE_MOST:
            self._room.clear()
        self._arrived.set()

    @property
    def empty(self) -> bool:
        return not self._queue

    @property
    def full(self) -> bool:
        return not self._room.is_set()

    async def room(self) -> None:
        await self._room.wait()

    def take(self) -> Event:
        event = self._queue.popleft()
        if len(self._queue) < QUEUE_ROOM:
            self._room.set()
        return event

    async def arrival(self) -> None:
        """Until there is an event, or poke() was called."""
        self._arrived.clear()
        if not self._queue:
            await self._arrived.wait()

    def poke(self) -> None:
        self._arrived.set()

    # --- What the application has dealt with ---

    def done(self, event: Event) -> None:
        """Events are done in the order in which they were taken."""
        if isinstance(event, Message):
            self.keep(event.cid, event.seq)
        elif isinstance(event, Gap):
            self.keep(event.cid, event.last)
        elif isinstance(event, Synced):
            if event.reset:
                self._keeper.forget_cursors()
                self._kept.clear()
            self._kept_epoch = event.epoch
            self._keeper.meta("epoch", event.epoch)
            for cid in event.gone:
                self._forget(cid)
            for conversation in event.conversations:
                self._baseline(conversation, conversation.next)
        elif isinstance(event, ConversationChanged):
            if event.conversation is not None:
                new = _is_new(event.conversation, event.change)
                self._baseline(event.conversation, event.conversation.min_seq if new else event.conversation.next)
            elif event.change == "removed":
                self._forget(event.cid)

    def keep(self, cid: int, seq: int) -> None:
        self._kept.add(cid)
        self._keeper.cursor(cid, seq)
        if self._kept_epoch == self.epoch:
            self._dealt(cid, seq)

    def _baseline(self, conversation: Conversation, first: int) -> None:
        """Without a cursor the stream would begin at the read mark, which another device may have moved by then."""
        if conversation.cid not in self._kept:
            self._kept.add(conversation.cid)
            self._keeper.cursor(conversation.cid, first - 1)

    def _forget(self, cid: int) -> None:
        self._kept.discard(cid)
        self._keeper.cursor(cid, None)


def _is_new(conversation: Conversation, change: str) -> bool:
    """A direct conversation that began just now: all of it is due here, also what another device has read by now."""
    return change == "added" and conversation.kind == "direct"
