# SPDX-License-Identifier: MIT
"""Frames over a connection: lines over TCP or TLS, text messages over WebSocket (RFC 6455)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import ssl
from typing import List, Optional, Sequence, Tuple, Union

from .address import Address
from .errors import ProtocolError

FRAME_MAX = 256 * 1024  # of the server's; a longer one ends the connection
CONNECT_SECONDS = 20.0
_HEADER_MAX = 16 * 1024
_CLOSE_SECONDS = 2.0
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10


class Lines:
    """One JSON object a line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def write(self, frames: Sequence[bytes]) -> None:
        """Takes frames for sending, in this order."""
        _put(self._writer, b"".join([frame + b"\n" for frame in frames]))

    async def recv(self) -> Optional[bytes]:
        """The next frame; None at the end."""
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            if error.partial.strip():
                raise ConnectionResetError("the connection ended in the middle of a line") from None
            return None
        except asyncio.LimitOverrunError:
            raise ProtocolError("the server sent a line that is too long") from None

    async def close(self) -> None:
        self._writer.close()
        await _closed(self._writer)

    def abort(self) -> None:
        _abort(self._writer)


class WebSocket:
    """One JSON object a text message."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._closing = False
        self._at_end = False

    async def handshake(self, address: Address) -> None:
        key = base64.b64encode(os.urandom(16))
        self._writer.write(
            f"GET {address.path} HTTP/1.1\r\nHost: {address.authority}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key.decode()}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: confab.v1\r\n\r\n".encode("ascii"))
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("the connection ended before the WebSocket was open") from error
        except asyncio.LimitOverrunError:
            raise ProtocolError("the answer to the WebSocket handshake is too long") from None
        if len(head) > _HEADER_MAX:
            raise ProtocolError("the answer to the WebSocket handshake is too long")
        status, *lines = head.decode("latin-1").split("\r\n")
        words = status.split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.1") or words[1] != "101":
            if len(words) > 1 and words[1] in ("429", "502", "503", "504"):
                raise ConnectionRefusedError(f"the server is not ready: {status[:100]}")
            raise ProtocolError(f"no WebSocket at {address}: {status[:100]!r}")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
        if (headers.get("upgrade", "").lower() != "websocket" or headers.get("sec-websocket-accept") != accept
                or "sec-websocket-extensions" in headers
                or headers.get("sec-websocket-protocol", "confab.v1") != "confab.v1"):
            raise ProtocolError(f"{address} does not speak WebSocket as it should")

    def write(self, frames: Sequence[bytes]) -> None:
        _put(self._writer, b"".join([ws_frame(_TEXT, frame) for frame in frames]))

    async def recv(self) -> Optional[bytes]:
        try:
            return await self._message()
        except asyncio.IncompleteReadError:
            return None

    async def _message(self) -> Optional[bytes]:
        pieces: List[bytes] = []
        size = 0
        while not self._at_end:
            final, opcode, payload = await self._frame(FRAME_MAX - size)
            if opcode == _PING:
                _put(self._writer, ws_frame(_PONG, payload))
            elif opcode == _CLOSE:
                self._end(payload)
            elif opcode in (_TEXT, _CONTINUATION):
                if (opcode == _CONTINUATION) != bool(pieces):
                    raise ProtocolError("the server's WebSocket frames are out of order")
                pieces.append(payload)
                size += len(payload)
                if final:
                    return b"".join(pieces)
            elif opcode != _PONG:
                raise ProtocolError(f"the server sent a WebSocket frame of kind {opcode}")
        return None

    def _end(self, payload: bytes) -> None:
        self._at_end = True
        if not self._closing:
            self._closing = True
            _put(self._writer, ws_frame(_CLOSE, payload[:2]))
        self._writer.close()

    async def _frame(self, most: int) -> Tuple[bool, int, bytes]:
        first, second = await self._reader.readexactly(2)
        final, opcode, length = bool(first & 0x80), first & 0x0F, second & 0x7F
        if first & 0x70 or second & 0x80 or (opcode >= 8 and (length > 125 or not final)):
            raise ProtocolError("the server sent a malformed WebSocket frame")
        if length == 126:
            length = int.from_bytes(await self._reader.readexactly(2), "big")
        elif length == 127:
            length = int.from_bytes(await self._reader.readexactly(8), "big")
        if length > most and opcode < 8:
            raise ProtocolError("the server sent a message that is too long")
        return final, opcode, await self._reader.readexactly(length)

    async def close(self) -> None:
        """Says goodbye, and waits a little for the other side to do so too."""
        if not self._closing:
            self._closing = True
            _put(self._writer, ws_frame(_CLOSE, (1000).to_bytes(2, "big")))
            try:
                await asyncio.wait_for(self._until_closed(), _CLOSE_SECONDS)
            except (OSError, EOFError, ProtocolError, asyncio.TimeoutError):
                pass
        self._writer.close()
        await _closed(self._writer)

    async def _until_closed(self) -> None:
        while not self._at_end:
            _, opcode, payload = await self._frame(FRAME_MAX)
            if opcode == _CLOSE:
                self._end(payload)

    def abort(self) -> None:
        _abort(self._writer)


Wire = Union[Lines, WebSocket]


def ws_frame(opcode: int, payload: bytes) -> bytes:
    """One final frame as clients send it: under a mask."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + size.to_bytes(8, "big")
    mask = os.urandom(4)
    pad = (mask * (size // 4 + 1))[:size]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")
    return head + mask + masked


async def _closed(writer: asyncio.StreamWriter) -> None:
    try:
        await asyncio.wait_for(writer.wait_closed(), _CLOSE_SECONDS)
    except (OSError, EOFError, asyncio.TimeoutError):
        _abort(writer)


def _abort(writer: asyncio.StreamWriter) -> None:
    try:
        writer.transport.abort()
    except AttributeError:  # some Pythons' TLS transports cannot be aborted when they are closed
        pass


def _put(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.transport.is_closing():
        writer.write(data)


async def open_wire(address: Address, tls: Optional[ssl.SSLContext] = None) -> Wire:
    """A connection that is ready for frames; OSError, ProtocolError or asyncio.TimeoutError if there is none."""
    return await asyncio.wait_for(_open(address, tls), CONNECT_SECONDS)


async def _open(address: Address, tls: Optional[ssl.SSLContext]) -> Wire:
    context = (tls or ssl.create_default_context()) if address.tls else None
    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context, limit=FRAME_MAX + 2)
    if not address.websocket:
        return Lines(reader, writer)
    websocket = WebSocket(reader, writer)
    try:
        await websocket.handshake(address)
    except BaseException:
        websocket.abort()
        raise
    return websocket
