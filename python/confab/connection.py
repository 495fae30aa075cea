# SPDX-License-Identifier: MIT
"""One connection: requests and their answers, and whether the other side still lives."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any, Awaitable, Callable, Dict, Mapping, Optional, Tuple

from . import errors
from .errors import Disconnected, InvalidParams, ProtocolError, ServerError
from .model import Goaway, Json, Limits, build
from .wire import Wire

log = logging.getLogger("confab")

PING_SECONDS = 30.0
DEAD_SECONDS = 60.0
ANSWER_SECONDS = 30.0  # a request without an answer: the connection is taken for dead
LEAVE_SECONDS = 5.0    # after a goaway it is closed from here
DEPTH_MOST = 32

Answered = Callable[[Optional[Json]], None]
"""Takes the frame with `result` or `error`, or None: the connection ended before."""


def encode(frame: Mapping[str, Any]) -> bytes:
    """One frame; InvalidParams for what the server could not even read."""
    try:
        if _depth(frame) > DEPTH_MOST:
            raise InvalidParams("this is nested too deep")
        return json.dumps(frame, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidParams(f"this cannot be written as JSON in UTF-8: {error}") from None


def _depth(value: Any) -> int:
    if isinstance(value, Mapping):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, (list, tuple)):
        return 1 + max(map(_depth, value), default=0)
    return 0


def result_of(frame: Optional[Json]) -> Json:
    """The result of an answer, or its error as an exception."""
    if frame is None:
        raise Disconnected("the connection ended before the answer")
    if "error" in frame:
        error = frame["error"]
        raise errors.from_wire(error if isinstance(error, dict) else {})
    result = frame.get("result")
    if not isinstance(result, dict):
        raise ProtocolError(f"an object is due as result, not {result!r:.100}")
    return result


class Connection:
    """Its owner awaits run(), and gets every notification in order, between the answers as they came."""

    def __init__(self, wire: Wire, notification: Callable[[str, Json], None],
                 room: Callable[[], Awaitable[None]]) -> None:
        self._wire = wire
        self._notification = notification
        self._room = room
        self._pending: Dict[int, Tuple[Answered, float]] = {}
        self._number = 0
        self._last_in = self._last_out = time.monotonic()
        self._pinging = False
        self._ended = False
        self.limits = Limits()
        self.goaway: Optional[Goaway] = None
        self.trouble: Optional[BaseException] = None

    @property
    def usable(self) -> bool:
        return not self._ended and self.goaway is None

    # --- Asking ---

    def request(self, method: str, params: Mapping[str, Any], answered: Answered) -> None:
        """answered() is called once, at once if the connection is over; never if this raises."""
        number = self._number + 1
        frame = encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        if len(frame) > self.limits.frame:
            raise errors.TooLarge("this is too long for a frame", {"max": self.limits.frame})
        if self._ended:
            answered(None)
            return
        self._number = number
        self._pending[number] = (answered, time.monotonic())
        self._write(frame)

    async def ask(self, method: str, params: Mapping[str, Any], first: Optional[Callable[[Json], None]] = None) -> Json:
        """The result; `first` sees it before anything that came behind it is looked at."""
        future: "asyncio.Future[Json]" = asyncio.get_running_loop().create_future()

        def answered(frame: Optional[Json]) -> None:
            try:
                result = result_of(frame)
                if first is not None:
                    first(result)
            except errors.ConfabError as error:
                if not future.done():
                    future.set_exception(error)
                if not isinstance(error, (ServerError, Disconnected)):
                    raise
            else:
                if not future.done():
                    future.set_result(result)

        self.request(method, params, answered)
        return await future

    def tell(self, method: str, params: Mapping[str, Any]) -> None:
        """A request that wants no answer."""
        if not self._ended:
            self._write(encode({"jsonrpc": "2.0", "method": method, "params": params}))

    def _write(self, frame: bytes) -> None:
        self._last_out = time.monotonic()
        self._wire.write((frame,))

    # --- Living ---

    async def run(self) -> None:
        """Until the connection ends; `trouble` says why."""
        watch = asyncio.ensure_future(self._watch())
        try:
            await self._read()
        except (OSError, EOFError, errors.ConfabError) as error:
            self.trouble = self.trouble or error
            if isinstance(error, ProtocolError):
                log.warning("%s", error)
        finally:
            watch.cancel()
            self._end()

    async def _read(self) -> None:
        frames = 0
        while True:
            text = await self._wire.recv()
            if text is None:
                return
            self._last_in = time.monotonic()
            if not text.strip():
                continue
            try:
                frame = json.loads(text)
            except (ValueError, RecursionError):
                raise ProtocolError(f"the server sent what is not JSON: {text[:100]!r}") from None
            if not isinstance(frame, dict):
                raise ProtocolError(f"the server sent {text[:100]!r}")
            self._frame(frame)
            await self._room()
            frames += 1
            if frames % 64 == 0:
                await asyncio.sleep(0)  # what is in the buffer already would keep others from running

    def _frame(self, frame: Json) -> None:
        method = frame.get("method")
        if isinstance(method, str):
            params = frame.get("params")
            params = params if isinstance(params, dict) else {}
            if method == "goaway":
                self._leave(build(Goaway, params))
            self._notification(method, params)
            return
        number = frame.get("id")
        pending = self._pending.pop(number, None) if isinstance(number, int) else None
        if pending is not None:
            pending[0](frame)
        elif "error" in frame:
            log.warning("the server does not take what was sent: %.200r", frame["error"])

    def _leave(self, goaway: Goaway) -> None:
        self.goaway = goaway
        asyncio.get_running_loop().call_later(LEAVE_SECONDS, self.abort)

    async def _watch(self) -> None:
        ping = min(PING_SECONDS, self.limits.idle_ms / 2500)
        while True:
            await asyncio.sleep(min(5.0, ping / 4))
            ping = min(PING_SECONDS, self.limits.idle_ms / 2500)
            now = time.monotonic()
            oldest = next(iter(self._pending.values()), None)
            if now - self._last_in >= DEAD_SECONDS:
                self._die("nothing came for a minute")
            elif oldest is not None and now - oldest[1] >= ANSWER_SECONDS:
                self._die("the server does not answer")
            elif not self._pinging and (now - self._last_in >= ping or now - self._last_out >= ping):
                self._pinging = True
                self.request("ping", {}, self._pong)

    def _pong(self, _: Optional[Json]) -> None:
        self._pinging = False

    def _die(self, why: str) -> None:
        self.trouble = Disconnected(why)
        self.abort()

    def abort(self) -> None:
        self._wire.abort()

    async def close(self) -> None:
        """Politely; run() must not be running any more."""
        self._end()
        await self._wire.close()

    def _end(self) -> None:
        self._ended = True
        pending, self._pending = self._pending, {}
        for answered, _ in pending.values():
            answered(None)
