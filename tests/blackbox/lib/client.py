"""Independent clients: TCP lines and WebSocket (by the websockets library) behind one interface.

All connections of a test process live on one asyncio loop in one thread; tests are plain code.
"""

import asyncio
import itertools
import json
import ssl
import threading
import time

import websockets

from .contract import ERRORS, Contract, Violation
from .server import PATIENCE, dumps


class Loop:
    _lock = threading.Lock()
    _loop = None

    @classmethod
    def get(cls):
        with cls._lock:
            if cls._loop is None:
                cls._loop = asyncio.new_event_loop()
                threading.Thread(target=cls._loop.run_forever, name="clients", daemon=True).start()
            return cls._loop


def on_loop(coroutine, timeout=PATIENCE):
    future = asyncio.run_coroutine_threadsafe(coroutine, Loop.get())
    try:
        return future.result(timeout)
    except TimeoutError:
        future.cancel()
        raise


class TcpWire:
    """Lines over TCP; a frame is one line without its end.  source: the address to come from."""

    async def open(self, host, port, tls=None, source=None, **_):
        self.hung_up = False
        self.reader, self.writer = await asyncio.open_connection(
            host, port, ssl=tls, limit=1 << 20, local_addr=(source, 0) if source else None)
        self.local_port = self.writer.get_extra_info("sockname")[1]

    async def send(self, *texts):
        self.writer.write(b"".join(t.encode() + b"\n" for t in texts))
        await self.writer.drain()

    async def recv(self):
        """The next frame; None at the end."""
        try:
            line = await self.reader.readline()
        except ConnectionError:
            return None
        except ssl.SSLError:
            if self.hung_up:    # what came after our own good-bye
                return None
            raise
        if line and not line.endswith(b"\n"):
            if self.hung_up:    # by ourselves, in the middle of it
                return None
            raise Violation(f"a line was cut off: {line[:200]!r}")
        return line[:-1].decode() if line else None

    def closed(self):
        return {"code": None, "reason": ""}

    async def shut_sending(self):
        self.writer.write_eof()

    async def close(self):
        self.hung_up = True
        self.writer.close()

    def abort(self):
        self.writer.transport.abort()


class WsWire:
    """Text messages over WebSocket."""

    async def open(self, host, port, tls=None, headers=None, compression="deflate", subprotocols=("confab.v1",), source=None,
                   **_):
        self.ws = await websockets.connect(
            f"{'wss' if tls else 'ws'}://{host}:{port}/ws", ssl=tls, max_size=1 << 20, ping_interval=None,
            subprotocols=list(subprotocols) or None, compression=compression, close_timeout=10,
            extra_headers=headers or {}, open_timeout=PATIENCE, max_queue=None,
            local_addr=(source, 0) if source else None)
        self.local_port = self.ws.transport.get_extra_info("sockname")[1]
        if subprotocols and self.ws.subprotocol != "confab.v1":
            raise Violation(f"the subprotocol is {self.ws.subprotocol}")
        if self.ws.extensions:
            raise Violation("the server took an extension")

    async def send(self, *texts):
        try:
            for text in texts:
                await self.ws.send(text)
        except websockets.ConnectionClosed as error:
            raise ConnectionError(str(error)) from error

    async def recv(self):
        try:
            frame = await self.ws.recv()
        except (websockets.ConnectionClosed, ConnectionError):
            return None
        if not isinstance(frame, str):
            raise Violation("the server sent a binary message")
        return frame

    def closed(self):
        return {"code": self.ws.close_code, "reason": self.ws.close_reason}

    async def shut_sending(self):
        self.ws.transport.write_eof()

    async def close(self):
        await self.ws.close()

    def abort(self):
        self.ws.transport.abort()


WIRES = {"tcp": TcpWire, "ws": WsWire}


class RpcError(Exception):
    def __init__(self, error, method):
        super().__init__(f"{method}: {error['data'].get('name')}: {error['message']}")
        self.error = error
        self.name = error["data"].get("name")
        self.data = error["data"]


class Closed(Exception):
    """The connection ended while an answer was awaited."""


class Client:
    """One connection.  Every frame is checked against the contract; close() raises what was found."""

    def __init__(self, port, transport, host="127.0.0.1", check=True, **options):
        self.transport, self.port = transport, port
        self.checked = check
        self.contract = Contract()
        self.violations = []
        self.ids = itertools.count(10 ** 6)   # away from the ids that tests write themselves
        self.asked = {}     # id -> (method, params)
        self.answers = {}   # id -> frame
        self.order = []     # ids as they were answered
        self.notes = []     # (method, params, text), oldest first, not yet taken
        self.frames = []    # the last frames as text
        self.ended = None
        self.name = self.token = self.session = self.epoch = None
        self.changed = threading.Condition()
        self.wire = WIRES[transport]()
        on_loop(self.wire.open(host, port, **options))
        self.local_port = self.wire.local_port
        self.pump = asyncio.run_coroutine_threadsafe(self._pump(), Loop.get())

    async def _pump(self):
        try:
            while True:
                text = await self.wire.recv()
                if text is None:
                    break
                self._arrived(text)
        except Exception as error:  # noqa: BLE001 - told by close()
            self.violations.append(error)
        await self.wire.close()     # who is hung up on hangs up
        with self.changed:
            self.ended = self.wire.closed()
            self.changed.notify_all()

    def _arrived(self, text):
        frame = None
        # In one go: who waits for the stream to come somewhere finds the entry among the notes.
        with self.changed:
            try:
                if self.checked:
                    frame = self.contract.frame(text, self.asked.get)
            except Violation as error:
                self.violations.append(error)
            frame = frame or json.loads(text)
            self.frames.append(text)
            if "method" in frame:
                self.notes.append((frame["method"], frame["params"], text))
            elif frame["id"] is None:
                self.notes.append(("error", frame["error"], text))
            else:
                if self.checked and (frame["id"] not in self.asked or frame["id"] in self.answers):
                    self.violations.append(Violation(f"an answer nobody asked for: {text[:300]}"))
                self.answers[frame["id"]] = frame
                self.order.append(frame["id"])
            self.changed.notify_all()

    # --- Requests ---

    def send_text(self, *texts):
        """Frames as they are."""
        on_loop(self.wire.send(*texts))

    def build(self, method, params=None, **more):
        """A new request as text, and its id."""
        number = next(self.ids)
        params = {**(params or {}), **more}
        self.asked[number] = (method, params)
        frame = {"jsonrpc": "2.0", "id": number, "method": method}
        if params:
            frame["params"] = params
        return number, dumps(frame)

    def post(self, method, params=None, **more):
        """Sends a request; gives its id for answer()."""
        number, text = self.build(method, params, **more)
        self.send_text(text)
        return number

    def post_all(self, requests, may_end=False):
        """Sends many (method, params) in one go; gives their ids.  may_end: the server may hang up meanwhile."""
        built = [self.build(method, params) for method, params in requests]
        try:
            self.send_text(*[text for _, text in built])
        except ConnectionError:
            if not may_end:
                raise
        return [number for number, _ in built]

    def notify(self, method, params=None, **more):
        self.send_text(dumps({"jsonrpc": "2.0", "method": method, "params": {**(params or {}), **more}}))

    def _wait(self, condition, timeout, what):
        timeout = max(timeout, PATIENCE)
        deadline = time.monotonic() + timeout
        with self.changed:
            while True:
                found = condition()
                if found is not None:
                    return found
                if self.violations:
                    raise self.violations[0]
                if self.ended is not None:
                    raise Closed(f"closed ({self.ended}) while waiting for {what}; "
                                 f"last frames: {self.frames[-3:]!r:.1500}")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"{what} did not come within {timeout} s; "
                                         f"untaken: {[n[:2] for n in self.notes][-5:]!r:.1500}")
                self.changed.wait(left)

    def frame(self, number, timeout=PATIENCE):
        """The whole answer frame of an id."""
        return self._wait(lambda: self.answers.get(number), timeout, f"the answer to {self.asked.get(number)!r:.200}")

    def answer(self, number, timeout=PATIENCE):
        frame = self.frame(number, timeout)
        if "error" in frame:
            raise RpcError(frame["error"], self.asked.get(number, ("?",))[0])
        return frame["result"]

    def call(self, method, params=None, timeout=PATIENCE, **more):
        return self.answer(self.post(method, params, **more), timeout)

    def fails(self, name, method, params=None, timeout=PATIENCE, **more):
        """The request is answered with this error (or one of these); gives error.data."""
        names = [name] if isinstance(name, str) else list(name)
        frame = self.frame(self.post(method, params, **more), timeout)
        assert "error" in frame, f"{method} {params} {more} succeeded: {frame!r:.300}; due was {names}"
        error = frame["error"]
        assert error["data"]["name"] in names, f"{method} {params!r:.300}: {error} instead of {names}"
        assert error["code"] == ERRORS[error["data"]["name"]]
        return error["data"]

    def raw(self, text, timeout=PATIENCE):
        """Sends a frame as it is and gives the answer that comes next, whatever its id."""
        with self.changed:
            before = len(self.frames)
        self.send_text(text)

        def next_answer():
            for frame in self.frames[before:]:
                parsed = json.loads(frame)
                if "method" not in parsed:
                    return parsed
            return None

        return self._wait(next_answer, timeout, f"an answer to {text[:100]!r}")

    # --- Notifications ---

    def expect(self, method, timeout=PATIENCE, **want):
        """Takes the first notification of this method whose members are these; gives its params."""
        return self.expect_text(method, timeout, **want)[0]

    def expect_text(self, method, timeout=PATIENCE, **want):
        want = {k.rstrip("_"): v for k, v in want.items()}

        def find():
            for i, (kind, params, text) in enumerate(self.notes):
                if kind == method and want.items() <= params.items():
                    del self.notes[i]
                    return params, text
            return None

        return self._wait(find, timeout, f"{method} {want}")

    def message(self, timeout=PATIENCE, **want):
        return self.expect("message", timeout, **want)

    def messages(self, count, timeout=PATIENCE, **want):
        """The next so many messages, in the order of arrival."""
        return [self.message(timeout, **want) for _ in range(count)]

    def taken(self, method):
        """What has arrived and was not taken yet: the params, oldest first; they are taken."""
        with self.changed:
            found = [params for kind, params, _ in self.notes if kind == method]
            self.notes = [note for note in self.notes if note[0] != method]
        return found

    def seen(self, method):
        """What has arrived and was not taken yet; it stays."""
        with self.changed:
            return [params for kind, params, _ in self.notes if kind == method]

    def until_head(self, cid, head, timeout=PATIENCE):
        """Waits until the stream of a conversation has come to this seq."""
        self._wait(lambda: self.contract.stream.next.get(cid, 0) > head or None, timeout, f"seq {head} of {cid}")

    # --- The end ---

    def wait_closed(self, timeout=PATIENCE):
        """Waits for the server to close; gives {"code", "reason"} (None over TCP)."""
        timeout = max(timeout, PATIENCE)
        deadline = time.monotonic() + timeout
        with self.changed:
            while self.ended is None:
                left = deadline - time.monotonic()
                assert left > 0, f"the server did not close within {timeout} s"
                self.changed.wait(left)
            return self.ended

    def gone_away(self, reason, timeout=PATIENCE):
        """goaway with this reason, then the end, with the close code that belongs to it."""
        params = self.expect("goaway", timeout)
        assert params["reason"] == reason, params
        ended = self.wait_closed(timeout)
        if self.transport == "ws":
            assert ended["code"] == (1001 if "reconnect_ms" in params else 1008), (ended, params)
        return params

    def shut_sending(self):
        on_loop(self._do(self.wire.shut_sending()))

    @staticmethod
    async def _do(coroutine):
        await coroutine

    def abort(self):
        """Gone without a word."""
        Loop.get().call_soon_threadsafe(self.wire.abort)
        self.wait_closed()

    def close(self):
        if self.ended is None:
            try:
                on_loop(self.wire.close())
            except (ConnectionError, TimeoutError):
                pass
            self.wait_closed()
        if self.violations:
            raise self.violations[0]

    # --- Short words ---

    def login_as(self, result):
        self.name, self.token, self.session = result["user"], result["token"], result["session"]
        self.user_id, self.epoch = result["user_id"], result["epoch"]
        return result

    def send(self, to, body, **more):
        return self.call("send", to=to, body=body, **more)
