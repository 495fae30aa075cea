# SPDX-License-Identifier: MIT
"""What can go wrong, as exceptions by name.

The classes with a code are the protocol's table of errors, one line a row; all else is made from them.
"""

from __future__ import annotations

from typing import Any, ClassVar, Dict, Mapping, Optional, Type

__all__ = [
    "ERRORS", "ConfabError", "Disconnected", "Closed", "LoginNeeded", "SentAway", "EpochChanged", "ProtocolError",
    "StateError", "OutboxFull", "ServerError", "ParseError", "InvalidRequest", "UnknownMethod",
    "InvalidParams", "Internal", "NotLoggedIn", "BadCredentials", "NameTaken", "WeakPassword",
    "TokenInvalid", "AlreadyLoggedIn", "NotFound", "NotMember", "Forbidden", "Blocked", "Already",
    "Conflict", "TooLarge", "Limit", "RateLimited", "Busy", "Unavailable", "UnknownOutcome",
    "SessionRevoked"]


class ConfabError(Exception):
    """Anything that this library raises by itself."""


class Disconnected(ConfabError):
    """There is no connection, or it ended before the answer came: the request may have been carried out or not."""


class Closed(ConfabError):
    """The client is closed, or not started."""


class LoginNeeded(ConfabError):
    """There is no token that the server knows, and nobody to ask for a password."""


class SentAway(ConfabError):
    """The server closed the connection for good (`goaway` without `reconnect_ms`); start() tries again."""


class EpochChanged(ConfabError):
    """The store went back to an older state, and what the request named may be something else by now."""


class ProtocolError(ConfabError):
    """The peer does not speak the protocol."""


class StateError(ConfabError):
    """The state file cannot be used: another process has it, it is another user's, or the disk fails."""


class OutboxFull(ConfabError):
    """Too many messages wait for an answer."""


class ServerError(ConfabError):
    """An error that the server answered; its own class is that of its name.

    `retry` says whether the same request can succeed later, `retry_after` after how many seconds (or None).
    """

    code: ClassVar[int] = 0
    name: ClassVar[str] = ""

    def __init__(self, message: str = "", data: Optional[Mapping[str, Any]] = None) -> None:
        super().__init__(message or self.name)
        self.message = message or self.name
        self.data: Dict[str, Any] = dict(data or {})

    def __init_subclass__(cls, *, name: str = "", code: int = 0) -> None:
        super().__init_subclass__()
        if name:
            cls.name, cls.code = name, code
            ERRORS[name] = cls

    @property
    def retry(self) -> bool:
        return bool(self.data.get("retry", False))

    @property
    def retry_after(self) -> Optional[float]:
        value = self.data.get("retry_after_ms")
        return value / 1000 if isinstance(value, int) and value >= 0 else None

    @property
    def param(self) -> Optional[str]:
        """The member that `invalid_params` is about."""
        value = self.data.get("param")
        return value if isinstance(value, str) else None

    @property
    def max(self) -> Optional[int]:
        """The bound of `too_large` and `limit`."""
        value = self.data.get("max")
        return value if isinstance(value, int) else None


ERRORS: Dict[str, Type[ServerError]] = {}


class ParseError(ServerError, name="parse_error", code=-32700): ...
class InvalidRequest(ServerError, name="invalid_request", code=-32600): ...
class UnknownMethod(ServerError, name="unknown_method", code=-32601): ...
class InvalidParams(ServerError, name="invalid_params", code=-32602): ...
class Internal(ServerError, name="internal", code=-32603): ...
class NotLoggedIn(ServerError, name="not_logged_in", code=1000): ...
class BadCredentials(ServerError, name="bad_credentials", code=1001): ...
class NameTaken(ServerError, name="name_taken", code=1002): ...
class WeakPassword(ServerError, name="weak_password", code=1003): ...
class TokenInvalid(ServerError, name="token_invalid", code=1004): ...
class AlreadyLoggedIn(ServerError, name="already_logged_in", code=1005): ...
class NotFound(ServerError, name="not_found", code=1010): ...
class NotMember(ServerError, name="not_member", code=1011): ...
class Forbidden(ServerError, name="forbidden", code=1012): ...
class Blocked(ServerError, name="blocked", code=1013): ...
class Already(ServerError, name="already", code=1014): ...
class Conflict(ServerError, name="conflict", code=1015): ...
class TooLarge(ServerError, name="too_large", code=1016): ...
class Limit(ServerError, name="limit", code=1017): ...
class RateLimited(ServerError, name="rate_limited", code=1020): ...
class Busy(ServerError, name="busy", code=1021): ...
class Unavailable(ServerError, name="unavailable", code=1022): ...
class UnknownOutcome(ServerError, name="unknown_outcome", code=1023): ...
class SessionRevoked(ServerError, name="session_revoked", code=1030): ...


def from_wire(error: Mapping[str, Any]) -> ServerError:
    """The exception for the `error` of an answer; one of an unknown name is a plain ServerError."""
    data = error.get("data")
    data = data if isinstance(data, Mapping) else {}
    message = error.get("message")
    message = message if isinstance(message, str) else ""
    kind = ERRORS.get(str(data.get("name")))
    if kind is not None:
        return kind(message, data)
    return ServerError(message or f"error {error.get('code')}", data)
