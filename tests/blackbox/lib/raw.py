"""Plain blocking sockets: for readers that stop, bytes that no library would send, and frames made by hand."""

import base64
import hashlib
import json
import os
import re
import selectors
import socket
import struct
import time

from .client import PATIENCE
from .contract import ERRORS
from .server import dumps

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def ws_frame(opcode, payload=b"", fin=True, mask=b"\x01\x02\x03\x04", rsv=0, length=None, length_bytes=None):
    """A frame as a client sends it; everything can be made wrong."""
    if isinstance(payload, str):
        payload = payload.encode()
    size = len(payload) if length is None else length
    head = bytes([fin << 7 | rsv << 4 | opcode])
    flag = 0x80 if mask is not None else 0
    if length_bytes == 8 or (length_bytes is None and size > 0xFFFF):
        head += bytes([flag | 127]) + struct.pack(">Q", size)
    elif length_bytes == 2 or (length_bytes is None and size > 125):
        head += bytes([flag | 126]) + struct.pack(">H", size)
    else:
        head += bytes([flag | size])
    if mask is None:
        return head + payload
    return head + mask + bytes(b ^ mask[i & 3] for i, b in enumerate(payload))


def ws_text(text):
    """A text message quickly: masked with zeroes."""
    payload = text.encode() if isinstance(text, str) else text
    return ws_frame(TEXT, b"", length=len(payload), mask=b"\0\0\0\0") + payload


class Raw:
    """A blocking connection that reads only when it is told to."""

    transport = "tcp"

    def __init__(self, port, host="127.0.0.1", receive_buffer=None, timeout=PATIENCE, first=b"", tls=None,
                 source=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect((host, port))
        self.local_port = self.socket.getsockname()[1]
        self._data, self._at = b"", 0
        self.number = 0
        if first:
            self.socket.sendall(first)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.begin()

    def begin(self):
        pass

    @property
    def buffer(self):
        """What was read and not yet taken."""
        return self._data[self._at:]

    @buffer.setter
    def buffer(self, data):
        self._data, self._at = data, 0

    def write(self, data):
        self.socket.sendall(data)

    @staticmethod
    def pack(text):
        return text.encode() + b"\n"

    def post(self, method, params=None, **more):
        """Sends a request, gives its id."""
        self.number += 1
        self.write(self.pack(dumps({"id": self.number, "method": method, "params": {**(params or {}), **more}})))
        return self.number

    def read_some(self):
        """More bytes into the buffer; False at the end."""
        data = self.socket.recv(1 << 18)
        self._data, self._at = self._data[self._at:] + data, 0
        return bool(data)

    def next_text(self):
        """The next frame as bytes; None at the end."""
        while True:
            end = self._data.find(b"\n", self._at)
            if end >= 0:
                line, self._at = self._data[self._at:end], end + 1
                return line
            if not self.read_some():
                return None

    def next(self):
        text = self.next_text()
        return None if text is None else json.loads(text)

    def answer(self, number=None):
        """The next answer (of this id); what comes before it is passed over."""
        while True:
            frame = self.next()
            assert frame is not None, "the connection ended before the answer"
            if "method" not in frame and number in (None, frame["id"]):
                return frame

    def call(self, method, params=None, **more):
        frame = self.answer(self.post(method, params, **more))
        assert "result" in frame, frame
        return frame["result"]

    def fails(self, name, method, params=None, **more):
        frame = self.answer(self.post(method, params, **more))
        assert "error" in frame and frame["error"]["data"]["name"] == name, frame
        assert frame["error"]["code"] == ERRORS[name]
        return frame["error"]["data"]

    def at_end(self):
        """Reads to the end; gives what was left as frames."""
        frames = []
        try:
            while (frame := self.next()) is not None:
                frames.append(frame)
        except ConnectionResetError:
            pass
        return frames

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class RawWs(Raw):
    """The same over WebSocket; frames of the server are read strictly."""

    transport = "ws"
    path = "/ws"

    def begin(self):
        status, headers = self.upgrade()
        assert status == 101, (status, headers)

    def upgrade(self, extra=(), path=None, version="13", key=None):
        key = key or base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path or self.path} HTTP/1.1", "Host: localhost", "Upgrade: websocket",
                 "Connection: keep-alive, Upgrade", f"Sec-WebSocket-Key: {key}",
                 f"Sec-WebSocket-Version: {version}", *extra]
        self.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        status, headers = self.read_head()
        if status == 101:
            due = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
            assert headers["sec-websocket-accept"] == due
            assert headers["upgrade"].lower() == "websocket"
        return status, headers

    def read_head(self):
        while b"\r\n\r\n" not in self.buffer:
            assert self.read_some(), f"ended within the head: {self.buffer!r}"
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        got = re.fullmatch(r"HTTP/1\.1 (\d{3})(?: .*)?", first)
        assert got, first
        headers = {}
        for line in rest:
            name, colon, value = line.partition(":")
            assert colon and name.lower() not in headers, line
            headers[name.lower()] = value.strip()
        return int(got[1]), headers

    @staticmethod
    def pack(text):
        return ws_text(text)

    def _need(self, count):
        while len(self._data) - self._at < count:
            if not self.read_some():
                return False
        return True

    def next_frame(self):
        """(opcode, payload); None at the end without a close frame."""
        if not self._need(2):
            assert not self.buffer, "ended within a frame"
            return None
        first, second = self._data[self._at], self._data[self._at + 1]
        assert first & 0x70 == 0, "reserved bits are set"
        assert second & 0x80 == 0, "a server must not mask"
        assert first & 0x80, "the server has no need to fragment"
        size, start = second & 0x7F, 2
        if size == 126:
            assert self._need(4)
            size, start = struct.unpack_from(">H", self._data, self._at + 2)[0], 4
            assert size > 125, "a length that is not the shortest"
        elif size == 127:
            assert self._need(10)
            size, start = struct.unpack_from(">Q", self._data, self._at + 2)[0], 10
            assert size > 0xFFFF, "a length that is not the shortest"
        assert self._need(start + size), "ended within a frame"
        payload = self._data[self._at + start:self._at + start + size]
        self._at += start + size
        assert first & 0xF in (TEXT, CLOSE, PING, PONG), f"opcode {first & 0xF}"
        if first & 0xF == CLOSE:
            assert len(payload) != 1 and size <= 125
            payload[2:].decode()
        return first & 0xF, payload

    def next_text(self):
        while True:
            frame = self.next_frame()
            if frame is None or frame[0] == CLOSE:
                self.close_code = struct.unpack(">H", frame[1][:2])[0] if frame and len(frame[1]) >= 2 else None
                return None
            if frame[0] == TEXT:
                frame[1].decode()
                return frame[1]

    def closed_with(self):
        """Reads until the server's close frame and gives its code; the texts before it are in .before."""
        self.before = []
        while True:
            frame = self.next_frame()
            assert frame is not None, "ended without a close frame"
            if frame[0] == CLOSE:
                return struct.unpack(">H", frame[1][:2])[0] if frame[1] else 1005
            if frame[0] == TEXT:
                self.before.append(json.loads(frame[1]))


RAWS = {"tcp": Raw, "ws": RawWs}


def read_all(connections, done, timeout=60):
    """Reads from all of them at once until done(last bytes) of each; what was read is in their buffers."""
    chunks = {c: [c.buffer] for c in connections}
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            connection.socket.setblocking(False)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        while selector.get_map():
            assert time.monotonic() < deadline, f"{len(selector.get_map())} readers are not done"
            for key, _ in selector.select(1):
                connection = key.data
                data = connection.socket.recv(1 << 18)
                chunks[connection].append(data)
                if not data or done((chunks[connection][-2][-4096:] if len(chunks[connection]) > 1 else b"") + data):
                    selector.unregister(connection.socket)
    for connection in connections:
        connection.socket.settimeout(PATIENCE)
        connection.buffer = b"".join(chunks[connection])


class Plain(RawWs):
    """No upgrade yet: HTTP by hand."""

    def begin(self):
        pass
