# SPDX-License-Identifier: MIT
"""Where a server is: HOST, HOST:PORT, [IPv6]:PORT, or with a scheme that says how to speak to it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

PORT = 7000

# scheme -> (TLS, WebSocket, port)
_SCHEMES = {
    "confab": (False, False, PORT),
    "tcp": (False, False, PORT),
    "confabs": (True, False, PORT),
    "tls": (True, False, PORT),
    "ws": (False, True, 80),
    "wss": (True, True, 443),
}


@dataclass(frozen=True)
class Address:
    host: str
    port: int = PORT
    tls: bool = False
    websocket: bool = False
    path: str = "/ws"

    def __str__(self) -> str:
        scheme = ("wss" if self.tls else "ws") if self.websocket else ("confabs" if self.tls else "confab")
        path = self.path if self.websocket else ""
        return f"{scheme}://{self.authority}{path}"

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """ValueError if it is none; nothing is looked up."""
    scheme, mark, _ = text.partition("://")
    parts = urlsplit(text if mark else "confab://" + text)
    known = _SCHEMES.get(scheme.lower() if mark else "confab")
    if known is None:
        raise ValueError(f"{text!r}: the scheme is one of {', '.join(_SCHEMES)}")
    tls, websocket, port = known
    bad = parts.username or parts.query or parts.fragment or (not websocket and parts.path not in ("", "/"))
    if not parts.hostname or bad or any(c.isspace() or ord(c) < 32 for c in text):
        raise ValueError(f"{text!r} is not the address of a server; HOST:PORT or wss://HOST/ws would be")
    path = parts.path if parts.path not in ("", "/") else "/ws"
    return Address(parts.hostname, parts.port or port, tls, websocket, path)
