# SPDX-License-Identifier: MIT
"""A client of confab servers that loses nothing.

    async with confab.Client("127.0.0.1:7000", "alice", "correct horse", state="alice.db") as client:
        await client.send("@bob", "hi")
        async for message in client.messages():
            print(message.sender, message.body)

confab.blocking.Client is the same without asyncio.
"""

from .address import Address as Address
from .address import parse_address as parse_address
from .client import Client as Client
from .client import Credentials as Credentials
from .client import default_state as default_state
from .cmid import new_cmid as new_cmid
from .errors import *  # noqa: F401,F403
from .model import *  # noqa: F401,F403
from .outbox import Outgoing as Outgoing
from .timeline import Timeline as Timeline
from .vault import Batch as Batch
from .vault import MemoryVault as MemoryVault
from .vault import SqliteVault as SqliteVault
from .vault import Vault as Vault
from .vault import in_use as in_use
from .vault import peek as peek

__version__ = "0.1.0"
