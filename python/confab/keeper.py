# SPDX-License-Identifier: MIT
"""Writes to a vault in batches, so that many messages cost one visit to the disk, and the loop never waits for it."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Dict, List, Optional, TypeVar

from .errors import StateError
from .vault import Batch, Row, Snapshot, Vault

log = logging.getLogger("confab")

GATHER_SECONDS = 0.25  # for what may be lost in a crash: it only comes again
RETRY_SECONDS = 1.0

T = TypeVar("T")


class Keeper:
    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._thread = ThreadPoolExecutor(1, "confab-vault") if vault.blocking else None
        self._batch = Batch()
        self._stored: Dict[int, "asyncio.Future[None]"] = {}
        self._task: Optional["asyncio.Task[None]"] = None
        self._wake = asyncio.Event()
        self._closing = False
        self._timer: Optional[asyncio.TimerHandle] = None

    async def open(self) -> Snapshot:
        snapshot = await self._do(self._vault.open)
        self._task = asyncio.ensure_future(self._run())
        return snapshot

    async def _do(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # --- What is to be kept ---

    async def add(self, row: Row) -> None:
        """Returns when it is kept; StateError if it cannot be."""
        done = asyncio.get_running_loop().create_future()
        self._batch.add.append(row)
        self._stored[row.number] = done
        self._wake.set()
        await asyncio.shield(done)

    def meta(self, name: str, value: Optional[str]) -> None:
        self._batch.meta[name] = value
        self._wake.set()

    def cursor(self, cid: int, seq: Optional[int]) -> None:
        self._batch.cursors[cid] = seq
        self._soon()

    def forget_cursors(self) -> None:
        self._batch.forget_cursors = True
        self._batch.cursors.clear()
        self._soon()

    def answered(self, number: int) -> None:
        self._batch.answered.append(number)
        self._soon()

    def drop(self, number: int) -> None:
        self._batch.drop.append(number)
        self._soon()

    def _soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._wake.set)

    async def messages_of_today(self) -> List[Row]:
        await self._flush()
        return await self._do(self._vault.answered)

    # --- Keeping it ---

    async def _run(self) -> None:
        while not self._closing:
            await self._wake.wait()
            self._wake.clear()
            if not await self._flush() and not self._closing:
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()

    async def _flush(self) -> bool:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._batch = self._batch, Batch()
        stored, self._stored = self._stored, {}
        if not batch:
            return True
        error: Optional[StateError] = None
        try:
            await self._do(lambda: self._vault.apply(batch))
        except StateError as trouble:
            error = trouble
            log.error("the state cannot be kept: %s", error)
            self._put_back(batch)
        for done in stored.values():
            if not done.done():
                done.set_result(None) if error is None else done.set_exception(error)
        return error is None

    def _put_back(self, batch: Batch) -> None:
        """What could not be written goes before what came since; messages are their senders' again."""
        newer = self._batch
        batch.add = newer.add
        batch.meta.update(newer.meta)
        if newer.forget_cursors:
            batch.forget_cursors = True
            batch.cursors.clear()
        batch.cursors.update(newer.cursors)
        batch.answered += newer.answered
        batch.drop += newer.drop
        self._batch = batch

    async def close(self) -> None:
        if self._task is not None:
            self._closing = True
            self._wake.set()
            await self._task
            await self._flush()
        await self._do(self._vault.close)
        if self._thread is not None:
            self._thread.shutdown()
