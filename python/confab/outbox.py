# SPDX-License-Identifier: MIT
"""What is to be said: kept before it is sent, sent in order, and again until there is an answer."""

from __future__ import annotations

import asyncio
import functools
import heapq
import json
import logging
import random
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Generator, List, Optional

from .connection import Connection, encode, result_of
from .errors import (ConfabError, EpochChanged, NotLoggedIn, OutboxFull, ServerError, SessionRevoked, StateError,
                     TooLarge)
from .keeper import Keeper
from .model import Json, Sent, Settled, build
from .vault import Row

log = logging.getLogger("confab")

OUTBOX_MOST = 10_000
PAUSE_MOST = 60.0


class Outgoing:
    """A message on its way. Await it for its place; nobody has to."""

    def __init__(self, cmid: str, future: "asyncio.Future[Sent]") -> None:
        self.cmid = cmid
        self._future = future

    def __await__(self) -> Generator[Any, None, Sent]:
        return asyncio.shield(self._future).__await__()

    @property
    def done(self) -> bool:
        return self._future.done()


@dataclass
class _Item:
    row: Row
    params: Json
    future: "Optional[asyncio.Future[Sent]]" = None
    silent: bool = False  # sent once more although it was answered
    tries: int = 0


class Outbox:
    def __init__(self, keeper: Keeper, rows: List[Row], number: int, window: int,
                 settled: Callable[[Settled], None]) -> None:
        self._keeper = keeper
        self._settled = settled
        self._window = window
        self._number = number
        self._items = {row.number: _Item(row, json.loads(row.params)) for row in rows}
        self._due: List[int] = [row.number for row in rows]  # a heap: the eldest first
        self._flying: Dict[int, Connection] = {}
        self._held = False
        self._paused_until = 0.0
        self._connection: Optional[Connection] = None
        self._idle = asyncio.Event()
        self._closed = False
        self.resends = 0
        self._note_idle()

    def __len__(self) -> int:
        return len(self._items)

    async def add(self, cmid: str, method: str, params: Json) -> Outgoing:
        """Returns when it is kept; from then on it is sent, whatever becomes of the caller."""
        if len(self._items) >= OUTBOX_MOST:
            raise OutboxFull(f"{OUTBOX_MOST} messages wait for an answer")
        frame = encode({"jsonrpc": "2.0", "id": 1 << 52, "method": method, "params": params})
        most = self._connection.limits.frame if self._connection else 65536
        if len(frame) > most:
            raise TooLarge("this is too long for a frame", {"max": most})
        self._number += 1
        row = Row(self._number, cmid, method, json.dumps(params, ensure_ascii=False), time.time())
        item = _Item(row, params, asyncio.get_running_loop().create_future())
        assert item.future is not None
        item.future.add_done_callback(_retrieve)
        self._items[row.number] = item
        self._note_idle()
        keeping = asyncio.ensure_future(self._keep(item))
        await asyncio.shield(keeping)
        return Outgoing(cmid, item.future)

    async def _keep(self, item: _Item) -> None:
        try:
            await self._keeper.add(item.row)
        except StateError:
            del self._items[item.row.number]
            self._note_idle()
            raise
        heapq.heappush(self._due, item.row.number)
        self.pump()

    # --- Sending ---

    def connected(self, connection: Connection) -> None:
        self._connection = connection
        self._paused_until = 0.0
        self.pump()

    def disconnected(self) -> None:
        self._connection = None

    def pump(self) -> None:
        connection = self._connection
        if connection is None or self._held:
            return
        while self._due and len(self._flying) < self._window and connection.usable:
            if time.monotonic() < self._paused_until:
                return
            item = self._items[heapq.heappop(self._due)]
            self._flying[item.row.number] = connection
            self.resends += item.tries > 0
            item.tries += 1
            try:
                connection.request(item.row.method, item.params, functools.partial(self._answered, item))
            except ServerError as error:  # it does not fit into this server's frames
                self._settle(item, None, error)

    def _answered(self, item: _Item, frame: Optional[Json]) -> None:
        if frame is None:
            self._again(item)
            return
        try:
            sent = build(Sent, result_of(frame))
        except (SessionRevoked, NotLoggedIn):  # that is about the session, not about what was said
            self._again(item)
        except ServerError as error:
            if error.retry:
                self._again(item)
                self._pause(error, item.tries)
            else:
                self._settle(item, None, error)
        else:
            self._settle(item, sent, None)
        self.pump()

    def _again(self, item: _Item) -> None:
        self._flying.pop(item.row.number, None)
        if item.row.number in self._items:
            heapq.heappush(self._due, item.row.number)

    def _pause(self, error: ServerError, tries: int) -> None:
        jitter = random.uniform(0, min(PAUSE_MOST, 0.5 * 2 ** min(tries, 8)))
        seconds = max(error.retry_after or 0.0, jitter)
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)
        asyncio.get_running_loop().call_later(self._paused_until - time.monotonic() + 0.001, self.pump)

    def _settle(self, item: _Item, sent: Optional[Sent], error: Optional[ConfabError]) -> None:
        number = item.row.number
        self._flying.pop(number, None)
        if self._items.pop(number, None) is None:
            return
        if error is None and item.row.method == "send":
            self._keeper.answered(number)
        else:
            self._keeper.drop(number)
        future = item.future
        if future is None or future.done():
            if not item.silent or error is not None:
                self._settled(Settled(item.row.cmid, item.params.get("to", item.params.get("cid", 0)), sent, error))
        elif sent is not None:
            future.set_result(sent)
        elif error is not None:
            future.set_exception(error)
        self._note_idle()

    # --- When the store went back ---

    async def revive(self, mine: Callable[[int], bool]) -> bool:
        """Everything of the last day is sent again; mine() says whether a number still names the same conversation."""
        rows: List[Row] = []
        read = False
        try:
            rows = await self._keeper.messages_of_today()
            read = True
        except StateError as error:
            log.error("what was sent today cannot be read: %s", error)
        self._held = False
        for item in list(self._items.values()):
            if item.row.method != "send" or not _same(item.params, mine):
                self._drop_due(item)
                self._settle(item, None, EpochChanged("the store went back to an older state"))
        for row in rows:
            params = json.loads(row.params)
            if row.number not in self._items and _same(params, mine):
                self._items[row.number] = _Item(row, params, silent=True)
                heapq.heappush(self._due, row.number)
        self._note_idle()
        self.pump()
        return read

    def hold(self) -> None:
        """Sends nothing until revive() is done: what is older goes first."""
        self._held = True

    def _drop_due(self, item: _Item) -> None:
        if item.row.number in self._due:
            self._due.remove(item.row.number)
            heapq.heapify(self._due)

    # --- Waiting ---

    def _note_idle(self) -> None:
        if self._items and not self._closed:
            self._idle.clear()
        else:
            self._idle.set()

    async def idle(self) -> None:
        await self._idle.wait()

    def give_up_waiting(self, error: ConfabError) -> None:
        """Those who wait are told; what they said stays, and goes out when there is a login again."""
        for item in self._items.values():
            if item.future is not None and not item.future.done():
                item.future.set_exception(error)

    def close(self, error: ConfabError) -> None:
        self._closed = True
        self.disconnected()
        self.give_up_waiting(error)
        self._idle.set()


def _same(params: Json, mine: Callable[[int], bool]) -> bool:
    to = params.get("to", params.get("cid"))
    return not isinstance(to, int) or mine(to)


def _retrieve(future: "asyncio.Future[Sent]") -> None:
    if not future.cancelled():
        future.exception()
