# SPDX-License-Identifier: MIT
"""A client's own ids of messages: UUIDs of version 7 (RFC 9562), which rise with time."""

from __future__ import annotations

import os
import threading
import time
import uuid

_lock = threading.Lock()
_last = 0  # milliseconds and the 12 bits behind them


def new_cmid() -> str:
    """Each is greater than the one before it, also when the clock goes back or many fall into a millisecond."""
    global _last
    random = int.from_bytes(os.urandom(9), "big")
    with _lock:
        _last = max(time.time_ns() // 1_000_000 << 12 | random >> 62 & 0x3FF, _last + 1)
        ms, counter = _last >> 12, _last & 0xFFF
    return str(uuid.UUID(int=ms << 80 | 7 << 76 | counter << 64 | 2 << 62 | random & (1 << 62) - 1))
