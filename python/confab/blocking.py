# SPDX-License-Identifier: MIT
"""The client without asyncio: the same methods, which wait; the connection lives in a thread of its own.

    with confab.blocking.Client("127.0.0.1:7000", "alice", "correct horse") as client:
        client.send("@bob", "hi")
        for message in client.messages():
            print(message.sender, message.body)
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from typing import Any, Callable, Coroutine, Dict, Iterator, List, Optional, Tuple, Type, TypeVar

from . import client as _client
from ._blocking import BlockingMethods
from .address import Address
from .errors import Closed, Disconnected
from .model import Conversation, Event, Limits, Message, Sent, Target
from .outbox import Outgoing

__all__ = ["Client"]

T = TypeVar("T")
E = TypeVar("E")


class Client(BlockingMethods):
    """As confab.Client, with its arguments. Any thread may use it; messages come to one at a time."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._client = _client.Client(*args, **options)
        self._callbacks: List[Tuple[Type[Any], Callable[[Any], Any]]] = []
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._thread: Optional[threading.Thread] = None
        self._lock = threading.Lock()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        loop = self._loop
        if loop is None or threading.current_thread() is self._thread:
            work.close()
            raise Closed("the client is not started, or closed" if loop is None
                         else "this would wait for itself: callbacks of the login must not use the client")
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise Closed("the client was closed") from None
        except BaseException:
            future.cancel()  # an interrupt from the keyboard
            raise

    def outcome(self, outgoing: Outgoing, timeout: Optional[float] = None) -> Sent:
        """What came of post(); Disconnected if there is no answer in time: the message is on its way all the same."""
        async def outcome() -> Sent:
            try:
                return await asyncio.wait_for(_wait_for(outgoing), timeout)
            except asyncio.TimeoutError:
                raise Disconnected("there is no answer yet; what was said is kept, and will be sent") from None
        return self._wait(outcome())

    # --- Beginning and ending ---

    def start(self, timeout: Optional[float] = None) -> None:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._live, args=(self._loop,), name="confab", daemon=True)
                self._thread.start()
        self._wait(self._client.start(timeout))

    @staticmethod
    def _live(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def close(self, done: bool = True) -> None:
        """What was taken last counts as dealt with, unless done=False."""
        with self._lock:
            loop, thread = self._loop, self._thread
            if loop is None or thread is None:
                return
            try:
                asyncio.run_coroutine_threadsafe(self._client.close(done), loop).result()
            finally:
                self._loop = None
                loop.call_soon_threadsafe(loop.stop)
                thread.join()

    def __enter__(self) -> "Client":
        try:
            self.start()
        except BaseException:
            self.close(done=False)
            raise
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.close(done=kind is None)

    # --- What it is like now ---

    @property
    def address(self) -> Address:
        return self._client.address

    @property
    def session(self) -> Optional[str]:
        return self._client.session

    @property
    def user(self) -> Optional[str]:
        return self._client.user

    @property
    def state(self) -> str:
        return self._client.state

    @property
    def trouble(self) -> str:
        return self._client.trouble

    @property
    def limits(self) -> Limits:
        return self._client.limits

    @property
    def unsent(self) -> int:
        return self._client.unsent

    @property
    def conversations(self) -> Dict[int, Conversation]:
        return dict(self._client.conversations)

    def find(self, target: Target) -> Optional[Conversation]:
        return self._client.find(target)

    # --- Events ---

    def on(self, kind: Type[E], callback: Optional[Callable[[E], Any]] = None) -> Any:
        """Calls back, in the thread that iterates, for events of a class; also a decorator."""
        if callback is None:
            return lambda function: self.on(kind, function)
        self._callbacks.append((kind, callback))
        return callback

    def next_event(self, timeout: Optional[float] = None, fill: bool = False) -> Optional[Event]:
        """The next event, or None after the timeout; the one before it is dealt with."""
        event = self._wait(self._client.next_event(timeout, fill))
        for kind, callback in self._callbacks:
            if event is not None and isinstance(event, kind):
                callback(event)
        return event

    def events(self, timeout: Optional[float] = None, *, fill: bool = False) -> Iterator[Event]:
        """Everything that comes, until there is nothing for so many seconds, or the client is closed."""
        try:
            while True:
                event = self.next_event(timeout, fill)
                if event is None:
                    return
                yield event
        except Closed:
            return

    def messages(self, timeout: Optional[float] = None, *, own: bool = True, changes: bool = False,
                 fill: bool = True) -> Iterator[Message]:
        """As confab.Client.messages(); ends when none came for so many seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while True:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                event = self.next_event(left, fill)
                if event is None:
                    return
                if not isinstance(event, Message) or (event.is_change and not changes):
                    continue
                if own or event.sender != self.user:
                    yield event
                    deadline = None if timeout is None else time.monotonic() + timeout
        except Closed:
            return

    def run(self) -> None:
        """Does nothing but call back, until the client is closed."""
        for _ in self.events():
            pass

    def done(self) -> None:
        """What was taken last is dealt with: it does not come again after a restart."""
        async def done() -> None:
            self._client.done()
        self._wait(done())


async def _wait_for(outgoing: Outgoing) -> Sent:
    return await outgoing
