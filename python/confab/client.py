# SPDX-License-Identifier: MIT
"""A client that loses nothing: it comes back by itself, goes on where it was, and repeats what was not answered."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import json
import logging
import os
import random
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import (Any, AsyncIterator, Awaitable, Callable, Dict, Generic, List, Mapping, Optional, Sequence, Tuple,
                    Type, TypeVar, Union)

from . import model
from .address import Address, parse_address
from .cmid import new_cmid
from .connection import Connection
from .errors import (AlreadyLoggedIn, Closed, ConfabError, Disconnected, LoginNeeded, NameTaken,
                     ProtocolError, SentAway, ServerError, SessionRevoked, StateError, TokenInvalid, UnknownOutcome)
from .keeper import Keeper
from .methods import REPEATABLE, Methods
from .model import Conversation, Event, Gap, Json, Limits, Message, Sent, StateChanged, Target, build
from .outbox import Outbox, Outgoing
from .stream import Stream
from .vault import MemoryVault, SqliteVault, Vault
from .wire import open_wire

log = logging.getLogger("confab")

BACKOFF_FIRST = 0.5
BACKOFF_MOST = 60.0
STEADY_SECONDS = 10.0   # ready for so long: earlier failures do not count any more
REFUSED_SECONDS = 10.0  # at least, before the next try where the server refused this one without `retry`
FULL_SECONDS = 1.0      # so long the server waits for an application that is slow; then the stream is given up for now
MARK_SECONDS = 0.5      # delivered marks are gathered for so long
INLINE_MOST = 2000      # bytes of cursors in a login, which has 4096 in all
CLOSE_SECONDS = 5.0     # for the tasks to end, before they are told again
PAGE = 200              # entries asked for at a time to fill a gap

T = TypeVar("T")
E = TypeVar("E")


@dataclass(frozen=True)
class Credentials:
    """What a login callback gives; with register=True a new user is made."""

    user: str
    password: str
    register: bool = False
    display: Optional[str] = None

    def __repr__(self) -> str:
        return f"Credentials({self.user!r})"


LoginCallback = Callable[[Optional[ConfabError]], Union[Optional[Credentials], Awaitable[Optional[Credentials]]]]
"""Asked when there is no token that the server knows; gets the error that told so, or None the first time."""


class _Overflow(ConfabError):
    """The application is too slow for the stream."""


@dataclass
class _Filling:
    """A gap that is being read from the history: entries after `after`, up to `last`."""

    cid: int
    after: int
    last: int
    epoch: Optional[str]
    page: List[Message]
    more: bool = True


class Client(Methods):
    """One user on one server.

    `state` is a file that keeps token, cursors and unanswered messages (None: they are kept in memory), `login`
    a callback that is asked for a password where user and password are not given, or refused.  With follow=False
    it only asks and sends, and gets no messages.
    """

    def __init__(self, server: str = "127.0.0.1:7000", user: Optional[str] = None, password: Optional[str] = None, *,
                 register: bool = False, display: Optional[str] = None, login: Optional[LoginCallback] = None,
                 state: Union[None, str, "os.PathLike[str]", Vault] = None, device: Optional[str] = None,
                 follow: bool = True, backlog: int = 500, delivered: bool = True, window: int = 64,
                 timeout: float = 30.0, tls: Optional[ssl.SSLContext] = None) -> None:
        self.address: Address = parse_address(server)
        self.timeout = timeout
        self._given = None
        if user is not None and password is not None:
            self._given = Credentials(user, password, register, display)
        self._user = user
        self._ask_login = login
        self._vault: Vault = state if isinstance(state, Vault) else SqliteVault(state) if state else MemoryVault()
        self._device = device
        self._follow, self._backlog, self._mark_delivered, self._window = follow, backlog, delivered, window
        self._tls = tls
        self._callbacks: List[Tuple[Type[Any], Callable[[Any], Any]]] = []
        self._started = self._closed = False
        self._state, self._trouble = "offline", ""
        self._failure: Optional[ConfabError] = None  # it does not go on by itself
        self._refused: Optional[Exception] = None    # it does, but whoever starts it had better know
        self._connection: Optional[Connection] = None
        self._credentials: Optional[Credentials] = None
        self._login_future: "Optional[asyncio.Future[model.Login]]" = None
        self._login: Optional[model.Login] = None
        self._meta: Dict[str, str] = {}
        self._registered_perhaps = False
        self._held: Optional[Event] = None
        self._filling: Optional[_Filling] = None
        self._marks: Dict[int, int] = {}
        self._mark_timer: Optional[asyncio.TimerHandle] = None
        self._watched: Optional[List[str]] = None
        self._away: Optional[Json] = None            # what presence.set was told, which is the connection's
        self._in_step = self._stream_given_up = self._went_back = self._left = False
        self._tasks: "set[asyncio.Task[Any]]" = set()
        self._waiters: "List[asyncio.Future[None]]" = []

    # --- What it is like now ---

    @property
    def user(self) -> Optional[str]:
        """Whose login this is, as far as it is known."""
        return self._login.user if self._login else self._meta.get("user") or self._user

    @property
    def state(self) -> str:
        """"offline", "waiting", "connecting", "login_needed" or "ready"."""
        return self._state

    @property
    def trouble(self) -> str:
        """Why it is not ready, or ""."""
        return self._trouble

    @property
    def limits(self) -> Limits:
        return self._login.limits if self._login else Limits()

    @property
    def session(self) -> Optional[str]:
        return self._login.session if self._login else None

    @property
    def conversations(self) -> Dict[int, Conversation]:
        """By cid, as they were received last; with follow=False there are none."""
        return self._stream.conversations

    @property
    def unsent(self) -> int:
        """Messages without an answer."""
        return len(self._outbox)

    def find(self, target: Target) -> Optional[Conversation]:
        """The conversation that a target names, if it is one's own."""
        if isinstance(target, str):
            target = target.lower()
        else:
            return self.conversations.get(target)
        for conversation in self.conversations.values():
            if target in (f"@{conversation.peer}", f"#{conversation.handle}"):
                return conversation
        return None

    # --- Beginning and ending ---

    async def start(self, timeout: Optional[float] = None) -> None:
        """Returns when it is ready; raises what the login was refused with, or Disconnected after the timeout.

        After LoginNeeded and the like the client goes on: login() is the answer.
        """
        if self._closed:
            raise Closed("the client was closed")
        if not self._started:
            keeper = Keeper(self._vault)
            snapshot = await keeper.open()
            self._keeper = keeper
            self._meta = snapshot.meta
            self._stream = Stream(keeper, snapshot.meta.get("epoch"), snapshot.cursors, self._mark_soon)
            self._outbox = Outbox(keeper, snapshot.outbox, snapshot.number, self._window, self._stream.put)
            self._wake = asyncio.Event()
            self._started = True
            self._spawn(self._live())
        self._failure = self._refused = None
        self._wake.set()
        await self.ready(timeout)

    async def ready(self, timeout: Optional[float] = None) -> None:
        """Waits until it is logged in and in step."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._state != "ready":
            self._check()
            if self._refused is not None:
                raise self._refused
            if not await self._changed(deadline):
                raise Disconnected(self._trouble or f"no connection to {self.address}")

    def _check(self) -> None:
        if self._closed or not self._started:
            raise Closed("the client is not started, or closed")
        if self._failure is not None:
            raise self._failure

    async def close(self, done: bool = True) -> None:
        """Keeps what there is to keep, and closes the connection.

        What was taken last from messages() or events() counts as dealt with, unless done=False.
        """
        if self._closed:
            return
        self._closed = True
        if not self._started:
            return
        if done:
            self.done()
        self._flush_marks()
        self._outbox.close(Closed("the client was closed"))
        tasks = {task for task in self._tasks if task is not asyncio.current_task()}
        while tasks:  # wait_for() of some Pythons may swallow a cancellation
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
        self._set_state("offline")
        self._stream.poke()
        await self._keeper.close()

    async def __aenter__(self) -> "Client":
        try:
            await self.start()
        except BaseException:
            await self.close(done=False)
            raise
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        await self.close(done=kind is None)

    def _spawn(self, work: Any) -> "asyncio.Task[Any]":
        task: "asyncio.Task[Any]" = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- State ---

    def _set_state(self, state: str, trouble: str = "") -> None:
        if (state, trouble) != (self._state, self._trouble):
            self._state, self._trouble = state, trouble
            self._stream.put(StateChanged(state, trouble))
        self._pulse()

    def _pulse(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _changed(self, deadline: Optional[float]) -> bool:
        """Waits for a change of state; False at the deadline."""
        waiter: "asyncio.Future[None]" = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            done, _ = await asyncio.wait([waiter], timeout=left)
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        return bool(done)

    def _fail(self, error: ConfabError, state: str) -> None:
        """It cannot go on by itself: who waits is told so."""
        self._failure = error
        self._outbox.give_up_waiting(error)
        self._stream.poke()
        self._set_state(state, str(error))

    # --- The life of connections ---

    async def _live(self) -> None:
        try:
            await self._run()
        except Exception as error:
            log.exception("the client ends")
            self._fail(ConfabError(f"the client ended: {error!r}"), "offline")

    async def _run(self) -> None:
        failures = 0
        refused: Optional[ConfabError] = None
        while not self._closed:
            delay, self._refused = 0.0, None
            try:
                if "token" not in self._meta and self._credentials is None:
                    await self._need_login(refused)
                refused = None
                steady, goaway = await self._one_connection()
                failures = 0 if steady else failures
                if self._left:
                    self._left, refused = False, SentAway("logged out")
                    continue
                if goaway is not None and goaway.reconnect_ms is None:
                    await self._sent_away(goaway.reason)
                    failures = 0
                    continue
                if goaway is not None:
                    delay = goaway.reconnect_ms / 1000 if goaway.reconnect_ms else 0.0
                elif not self._stream_given_up:
                    delay, failures = self._backoff(failures), failures + 1
            except _Refused as refusal:
                error = refusal.error
                if self._login_refused(error):
                    refused = error
                    continue
                delay, failures = self._backoff(failures), failures + 1
                if not isinstance(error, ServerError) or not error.retry:
                    delay, self._refused = max(delay, REFUSED_SECONDS), error
                elif error.retry_after is not None:
                    delay = max(delay, error.retry_after)
                self._trouble = str(error)
            except (OSError, EOFError, asyncio.TimeoutError, Disconnected, ProtocolError) as problem:
                if isinstance(problem, (ssl.SSLCertVerificationError, ProtocolError)):
                    self._refused = problem
                self._trouble = str(problem) or type(problem).__name__
                delay, failures = self._backoff(failures), failures + 1
            log.info("%s: %s; again in %.1f s", self.address, self._trouble or "the connection ended", delay)
            self._wake.clear()
            self._set_state("waiting", self._trouble or "the connection ended")
            try:
                await asyncio.wait_for(self._wake.wait(), delay)
            except asyncio.TimeoutError:
                pass

    @staticmethod
    def _backoff(failures: int) -> float:
        return random.uniform(0, min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** min(failures, 10)))

    async def _one_connection(self) -> Tuple[bool, Optional[model.Goaway]]:
        """Connects, logs in, and lives until the end: (whether it was steady, what the server said last)."""
        self._set_state("connecting", self._trouble)
        self._stream_given_up = self._in_step = self._went_back = False
        connection = Connection(await open_wire(self.address, self._tls), self._stream.notification, self._make_room)
        reading = asyncio.ensure_future(connection.run())
        since = None
        try:
            await self._enter(connection)
            since = time.monotonic()
            self._connection, self._trouble = connection, ""
            self._revive_if_due()
            self._outbox.connected(connection)
            self._set_state("ready")
            self._watch_again(connection)
            if not self._in_step and self._follow:
                self._spawn(self._step_in_later(connection))
            self._flush_marks()
            await asyncio.wait([reading])
            if isinstance(connection.trouble, _Overflow):
                self._stream_given_up = True
            elif connection.trouble is not None:
                self._trouble = str(connection.trouble)
        finally:
            self._connection = None
            self._outbox.disconnected()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await connection.close()
        steady = since is not None and time.monotonic() - since >= STEADY_SECONDS
        return steady, connection.goaway

    async def _sent_away(self, reason: str) -> None:
        if reason == "session_revoked":
            self._forget_token()
        self._fail(SentAway(f"the server ended the connection: {reason}"), "offline")
        await self._until_woken()

    async def _until_woken(self) -> None:
        self._wake.clear()
        if self._closed:
            raise asyncio.CancelledError
        await self._wake.wait()
        self._failure = None
        self._trouble = ""

    # --- Logging in ---

    async def login(self, user: str, password: str) -> model.Login:
        """For a client that needs a login; retries until the server is there."""
        return await self._log_in(Credentials(user, password))

    async def register(self, user: str, password: str, display: Optional[str] = None) -> model.Login:
        """Makes a new user and logs in."""
        return await self._log_in(Credentials(user, password, True, display))

    async def _log_in(self, credentials: Credentials) -> model.Login:
        if "token" in self._meta:
            raise AlreadyLoggedIn(f"{self.user} is logged in here")
        if not self._started:
            self._given = None
            try:
                await self.start()
            except LoginNeeded:
                pass
        self._credentials = credentials
        self._registered_perhaps = False
        future: "asyncio.Future[model.Login]" = asyncio.get_running_loop().create_future()
        self._login_future = future
        self._wake.set()
        try:
            return await future
        finally:
            self._login_future = None
            if not future.done() or future.cancelled():
                self._credentials = None

    async def _need_login(self, refused: Optional[ConfabError]) -> None:
        """Finds credentials, or waits until somebody brings some."""
        if self._given is not None and (refused is None or isinstance(refused, (TokenInvalid, SessionRevoked))):
            register = self._given.register and "user" not in self._meta
            self._credentials = dataclasses.replace(self._given, register=register)
            return
        if self._ask_login is not None and not isinstance(refused, SentAway):
            answer: Any = self._ask_login(refused)
            self._credentials = await answer if inspect.isawaitable(answer) else answer
            if self._credentials is not None:
                return
        error = refused if refused is not None and not isinstance(refused, TokenInvalid) else LoginNeeded(
            str(refused) if refused else "no login is known here")
        while self._credentials is None:
            self._fail(error, "login_needed")
            await self._until_woken()

    async def _enter(self, connection: Connection) -> None:
        """resume, login or register, with sync if there is room for what it brings."""
        sync: Optional[Json] = None
        if self._follow and not self._stream.full:
            sync = self._stream.sync_params(self._backlog, self.limits.frame)
        inline = sync if sync is not None and len(json.dumps(sync)) <= INLINE_MOST else None

        def entered(result: Json) -> None:
            self._entered(connection, result, inline is not None)

        try:
            await self._authenticate(connection, inline, entered)
        except (ServerError, StateError) as error:
            raise _Refused(error) from None
        if sync is not None and inline is None:
            await self._step_in(connection)
        if self._login_future is not None and not self._login_future.done() and self._login is not None:
            self._login_future.set_result(self._login)

    async def _authenticate(self, connection: Connection, sync: Optional[Json],
                            entered: Callable[[Json], None]) -> None:
        token, credentials = self._meta.get("token"), self._credentials
        common = {} if sync is None else {"sync": sync}
        if token is not None:
            await connection.ask("resume", {"token": token, **common}, entered)
            return
        assert credentials is not None
        owner = self._meta.get("user")
        if owner is not None and owner != credentials.user.lower():
            raise StateError(f"the state kept here is {owner}'s, not {credentials.user}'s")
        params: Json = {"user": credentials.user, "password": credentials.password, **common}
        if self._device:
            params["device"] = self._device[:64]
        if credentials.register:
            if credentials.display is not None:
                params["display"] = credentials.display
            # The answer to an earlier try may have been lost.
            again, self._registered_perhaps = self._registered_perhaps, True
            try:
                await connection.ask("register", params, entered)
                return
            except NameTaken:
                if not again:
                    raise
                del params["display"]
        await connection.ask("login", params, entered)

    def _entered(self, connection: Connection, result: Json, synced: bool) -> None:
        """Runs before anything is looked at that came behind the answer."""
        self._login = login = build(model.Login, result)
        connection.limits = login.limits
        self._stream.user = login.user
        self._credentials = None
        for name, value in (("token", login.token), ("user", login.user)):
            if self._meta.get(name) != value:
                self._meta[name] = value
                self._keeper.meta(name, value)
        if self._meta.get("outbox_epoch", login.epoch) != login.epoch:
            self._go_back()
        elif "outbox_epoch" not in self._meta:
            self._keeper.meta("outbox_epoch", login.epoch)
        self._meta["outbox_epoch"] = login.epoch
        if synced:
            self._synced(result)

    def _go_back(self) -> None:
        self._went_back = True
        self._outbox.hold()

    def _revive_if_due(self) -> None:
        if self._went_back:
            self._went_back = False
            self._spawn(self._revive(self._meta["outbox_epoch"]))

    async def _revive(self, epoch: str) -> None:
        if await self._outbox.revive(self._my_group):
            self._keeper.meta("outbox_epoch", epoch)

    def _my_group(self, cid: int) -> bool:
        """A direct conversation is named by its peer in what is kept, so a number is a group's."""
        conversation = self.conversations.get(cid)
        return conversation is not None and conversation.kind == "group"

    def _login_refused(self, error: ConfabError) -> bool:
        """True if another login is needed."""
        if isinstance(error, (TokenInvalid, SessionRevoked)) and "token" in self._meta:
            self._forget_token()
            return True
        if "token" in self._meta or (isinstance(error, ServerError) and error.retry) or self._credentials is None:
            return False
        self._credentials = None
        if self._login_future is not None and not self._login_future.done():
            self._login_future.set_exception(error)
        return True

    def _forget_token(self) -> None:
        self._meta.pop("token", None)
        self._keeper.meta("token", None)

    async def logout(self, all: Optional[bool] = None) -> None:
        """Ends this device's login, or all of the user's."""
        await self._leave("logout", {"all": all})

    async def account_delete(self, password: str) -> None:
        """For good. Messages stay, without their author."""
        await self._leave("account.delete", {"password": password})

    async def _leave(self, method: str, params: Json) -> None:
        self._left = True  # the connection ends right behind the answer
        try:
            await self.call(method, params)
        except ConfabError:
            self._left = False
            raise
        self._forget_token()
        if self._connection is not None:
            self._connection.abort()

    # --- The stream ---

    async def _step_in(self, connection: Connection) -> None:
        params = self._stream.sync_params(self._backlog, connection.limits.frame)

        try:
            await connection.ask("sync", params, self._synced)
        except ServerError as error:
            raise _Refused(error) from None

    async def _step_in_later(self, connection: Connection) -> None:
        """The stream was given up because the application was slow: when it has come along, it goes on."""
        await self._stream.room()
        if connection is self._connection:
            try:
                await self._step_in(connection)
                self._revive_if_due()
            except (_Refused, ConfabError) as error:
                log.info("sync: %s", error)
                connection.abort()

    def _synced(self, result: Json) -> None:
        synced = self._stream.synced(result)
        self._in_step = True
        if synced.reset:
            self._marks.clear()
            self._go_back()

    async def _make_room(self) -> None:
        """Called after every frame: the socket waits a little for a slow application, but answers must not."""
        if self._stream.full and self._in_step:
            try:
                await asyncio.wait_for(self._stream.room(), FULL_SECONDS)
            except asyncio.TimeoutError:
                raise _Overflow("the application is slower than the stream") from None

    def _watch_again(self, connection: Connection) -> None:
        if self._away is not None:
            connection.tell("presence.set", self._away)
        if self._watched is not None:
            connection.tell("presence.watch", {"users": self._watched})

    async def presence_watch(self, users: Sequence[str]) -> List[model.Presence]:
        """Tells of their presence from now on, in place of those watched before; contacts always are."""
        result = await super().presence_watch(users)
        self._watched = list(users)
        return result

    async def presence_set(self, state: str, text: Optional[str] = None) -> None:
        """state: "online", "away", "busy" or "invisible"; `away` is this client's, the others the user's."""
        await super().presence_set(state, text)
        self._away = {"state": state} if state == "away" else None

    # --- Marks ---

    def _mark_soon(self, cid: int, seq: int) -> None:
        """What was dealt with is delivered."""
        conversation = self._stream.conversations.get(cid)
        if not self._mark_delivered or conversation is None or conversation.delivered >= seq:
            return
        self._marks[cid] = max(seq, self._marks.get(cid, 0))
        if self._mark_timer is None:
            self._mark_timer = asyncio.get_running_loop().call_later(MARK_SECONDS, self._flush_marks)

    def _flush_marks(self) -> None:
        if self._mark_timer is not None:
            self._mark_timer.cancel()
            self._mark_timer = None
        connection = self._connection
        if connection is None or not connection.usable or not self._in_step:
            return
        marks, self._marks = self._marks, {}
        for cid, seq in marks.items():
            connection.tell("mark", {"cid": cid, "delivered": seq})

    async def mark(self, cid: Target, read: Optional[int] = None, delivered: Optional[int] = None) -> model.Marks:
        """Marks only grow; `read` draws `delivered` along."""
        marks = await super().mark(cid, read, delivered)
        conversation = self.find(cid)
        if conversation is not None:
            self._stream.own_mark(conversation.cid, self.user or "", marks.read, marks.delivered)
        return marks

    # --- Asking and saying ---

    async def call(self, method: str, params: Optional[Mapping[str, Any]] = None,
                   timeout: Optional[float] = None) -> Json:
        """Any method: waits for a connection if there is none, and tries again where that does no harm.

        Parameters that are None are left out.  Disconnected: after the timeout, or when the connection ended
        before the answer to what should not be asked twice.
        """
        given = {name: value for name, value in (params or {}).items() if value is not None}
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            await self._usable(deadline)
            connection = self._connection
            assert connection is not None
            pause = 0.05
            try:
                return await asyncio.wait_for(connection.ask(method, given), max(0.0, deadline - time.monotonic()))
            except asyncio.TimeoutError:
                raise Disconnected(f"no answer to {method} in time") from None
            except Disconnected:
                if method not in REPEATABLE:
                    raise
            except ServerError as error:
                if not error.retry or (isinstance(error, UnknownOutcome) and method not in REPEATABLE):
                    raise
                pause = (error.retry_after or 0.1) + random.uniform(0, 0.1)
                if time.monotonic() + pause >= deadline:
                    raise
            await asyncio.sleep(pause)

    async def _usable(self, deadline: float) -> None:
        while self._connection is None or not self._connection.usable:
            self._check()
            if self._connection is not None:  # it is being closed
                await asyncio.sleep(0.05)
                if time.monotonic() >= deadline:
                    raise Disconnected(self._trouble or f"no connection to {self.address}")
            elif not await self._changed(deadline):
                raise Disconnected(self._trouble or f"no connection to {self.address}")

    async def hello(self) -> model.Hello:
        """What the server is like; also before a login."""
        if self._connection is not None:
            return build(model.Hello, await self.call("hello"))
        wire = await open_wire(self.address, self._tls)

        async def room() -> None:
            pass

        connection = Connection(wire, lambda method, params: None, room)
        reading = asyncio.ensure_future(connection.run())
        try:
            return build(model.Hello, await asyncio.wait_for(connection.ask("hello", {}), self.timeout))
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await connection.close()

    async def post(self, to: Target, body: str = "", *, kind: Optional[str] = None, data: Optional[Json] = None,
                   re: Optional[int] = None, cmid: Optional[str] = None) -> Outgoing:
        """Says something, and returns when it is kept: it will be sent, once. Await the result for its place."""
        return await self._put("send", self._lasting(to), cmid,
                               {"body": body, "kind": kind, "data": data, "re": re})

    async def send(self, to: Target, body: str = "", *, kind: Optional[str] = None, data: Optional[Json] = None,
                   re: Optional[int] = None, cmid: Optional[str] = None) -> Sent:
        """Says something, and returns when the server has committed it, however long that takes.

        A caller that stops waiting does not take the message back.
        """
        return await (await self.post(to, body, kind=kind, data=data, re=re, cmid=cmid))

    async def reply(self, message: Message, body: str = "", *, kind: Optional[str] = None,
                    data: Optional[Json] = None) -> Sent:
        """Answers a message, where it was said."""
        return await self.send(message.cid, body, kind=kind, data=data, re=message.seq)

    async def edit(self, cid: Target, seq: int, body: str, *, data: Optional[Json] = None,
                   cmid: Optional[str] = None) -> Sent:
        """Another body for one's own message; data that is left out stays."""
        return await (await self._put("edit", {"cid": cid, "seq": seq}, cmid, {"body": body, "data": data}))

    async def delete(self, cid: Target, seq: int) -> Sent:
        """Erases a message; there is no cmid, since a second time gives the same answer."""
        self._check_started()
        return await (await self._outbox.add("", "delete", {"cid": cid, "seq": seq}))

    async def _put(self, method: str, target: Json, cmid: Optional[str], rest: Json) -> Outgoing:
        self._check_started()
        cmid = new_cmid() if cmid is None else cmid
        params = {**target, "cmid": cmid, **{name: value for name, value in rest.items() if value is not None}}
        return await self._outbox.add(cmid, method, params)

    def _check_started(self) -> None:
        if self._closed or not self._started:
            raise Closed("the client is not started, or closed")

    def _lasting(self, to: Target) -> Json:
        """After the store went back a number may name something else; a name does not."""
        conversation = self._stream.conversations.get(to) if self._started and isinstance(to, int) else None
        if conversation is not None and conversation.peer not in (None, "deleted"):
            return {"to": f"@{conversation.peer}"}
        return {"to": to}

    async def flush(self, timeout: Optional[float] = None) -> bool:
        """Waits until all messages are answered; False if some are not in time."""
        self._check_started()
        try:
            await asyncio.wait_for(self._outbox.idle(), timeout)
        except asyncio.TimeoutError:
            return False
        return len(self._outbox) == 0

    # --- Events ---

    def on(self, kind: Type[E], callback: Optional[Callable[[E], Any]] = None) -> Any:
        """Calls back for events of a class, as run(), messages() or events() comes to them; also a decorator.

        A coroutine is awaited before the next event is taken.
        """
        if callback is None:
            return lambda function: self.on(kind, function)
        self._callbacks.append((kind, callback))
        return callback

    async def run(self) -> None:
        """Does nothing but call back, until the client is closed."""
        async for _ in self.events():
            pass

    def messages(self, *, own: bool = True, changes: bool = False, fill: bool = True) -> "Iterator[Message]":
        """Every message once, in the order of its conversation, across reconnects and, with a state file, restarts.

        A message counts as dealt with when the next one is asked for, or the client closed.  own=False leaves out
        what the user said himself, changes=True adds edits, joins and the like, fill=False passes over gaps
        instead of reading the history.
        """
        def wanted(event: Event) -> Optional[Message]:
            if not isinstance(event, Message) or (event.is_change and not changes):
                return None
            return event if own or event.sender != self.user else None

        return Iterator(self, wanted, fill)

    def events(self, *, fill: bool = False) -> "Iterator[Event]":
        """Everything that comes, in order; fill=True gives the messages of a gap in its place."""
        return Iterator(self, lambda event: event, fill)

    async def next_event(self, timeout: Optional[float] = None, fill: bool = False) -> Optional[Event]:
        """The next event, or None after the timeout; the one before it is dealt with."""
        self.done()
        while True:
            event: Optional[Event] = None
            if self._filling is not None:
                event = await self._fill(fill)
            else:
                if not await self._wait_event(timeout):
                    return None
                event = self._stream.take()
                if fill and isinstance(event, Gap) and not event.gone:
                    self._filling = _Filling(event.cid, event.first - 1, event.last, self._stream.epoch, [])
                    continue
            if event is not None:
                for kind, callback in self._callbacks:
                    if isinstance(event, kind):
                        answer = callback(event)
                        if inspect.isawaitable(answer):
                            await answer
                self._held = event
                return event

    async def _wait_event(self, timeout: Optional[float]) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._started:
            self._check()
        while self._stream.empty:
            self._check()
            try:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                await asyncio.wait_for(self._stream.arrival(), left)
            except asyncio.TimeoutError:
                return not self._stream.empty
        if self._closed:
            raise Closed("the client was closed")
        return True

    async def _fill(self, fill: bool) -> Optional[Event]:
        """The next entry of a gap; None when there is none any more."""
        filling = self._filling
        assert filling is not None
        if filling.epoch != self._stream.epoch:  # a Reset waits in the queue
            self._filling = None
            return None
        if not fill:
            self._filling = None
            return Gap(filling.cid, filling.after + 1, filling.last)
        if not filling.page and filling.more:
            try:
                history = await self.history(filling.cid, after=filling.after, before=filling.last + 1, limit=PAGE)
            except Disconnected:
                return None
            except ServerError as error:
                log.warning("the history of conversation %d cannot be read: %s", filling.cid, error)
                self._filling = None
                return Gap(filling.cid, filling.after + 1, filling.last, gone=True)
            filling.page, filling.more = history.messages, history.more
        if not filling.page:
            self._filling = None
            self._stream.keep(filling.cid, filling.last)
            return None
        message = filling.page.pop(0)
        filling.after = message.seq
        return message

    def done(self) -> None:
        """What was taken last is dealt with: it does not come again after a restart."""
        event, self._held = self._held, None
        if event is not None:
            self._stream.done(event)


class _Refused(Exception):
    """A login that the server refused."""

    def __init__(self, error: ConfabError) -> None:
        super().__init__(str(error))
        self.error = error


class Iterator(Generic[T]):
    """Ends when the client is closed; raises LoginNeeded, SentAway… when it cannot go on by itself."""

    def __init__(self, client: Client, wanted: Callable[[Event], Optional[T]], fill: bool) -> None:
        self._client, self._wanted, self._fill = client, wanted, fill

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while True:
            try:
                event = await self._client.next_event(fill=self._fill)
            except Closed:
                raise StopAsyncIteration from None
            found = None if event is None else self._wanted(event)
            if found is not None:
                return found


def default_state(server: str, user: str) -> Path:
    """Where a person's state file belongs: below $XDG_STATE_HOME, or ~/.local/state."""
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return home / "confab-python" / parse_address(server).authority.replace("/", "_") / f"{user}.db"
