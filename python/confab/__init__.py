# SPDX-License-Identifier: MIT
"""A client of confab servers that loses nothing.

    async with confab.Client("127.0.0.1:7000", "alice", "correct horse", state="alice.db") as client:
        await client.send("@bob", "hi")
        async for message in client.messages():
            print(message.sender, message.body)

confab.blocking.Client is the same without asyncio.
"""

from .address import Address, parse_address
from .client import Client, Credentials, default_state
from .cmid import new_cmid
from .errors import *  # noqa: F401,F403
from .errors import BY_NAME as ERRORS
from .model import *  # noqa: F401,F403
from .outbox import Outgoing
from .vault import Batch, MemoryVault, SqliteVault, Vault, in_use, peek

__version__ = "0.1.0"
