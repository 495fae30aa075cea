# SPDX-License-Identifier: MIT
"""What outlives a connection, and with a file also the process: token, epoch, cursors, and what was sent.

A vault is used by one thread at a time.  Everything that changes comes as a Batch, which is kept whole or not
at all.  Messages that were answered stay for a day, since a store that was restored may lack them.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Tuple, Union

from .errors import StateError

KEPT_SECONDS = 24 * 3600
KEPT_MOST = 10_000  # answered messages; the oldest go first


@dataclass
class Row:
    """One request of the outbox; `number` gives the order."""

    number: int
    cmid: str
    method: str
    params: str
    stamp: float


@dataclass
class Snapshot:
    meta: Dict[str, str]
    cursors: Dict[int, int]
    outbox: List[Row]
    number: int  # the highest ever used


@dataclass
class Batch:
    meta: Dict[str, Optional[str]] = field(default_factory=dict)
    forget_cursors: bool = False  # before those that follow are set
    cursors: Dict[int, Optional[int]] = field(default_factory=dict)
    add: List[Row] = field(default_factory=list)
    answered: List[int] = field(default_factory=list)  # numbers: kept for a day
    drop: List[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.meta or self.forget_cursors or self.cursors or self.add or self.answered or self.drop)


class Vault:
    """The interface; MemoryVault and SqliteVault are the two there are."""

    blocking = False  # True: calls may wait for a disk, and are made from a thread

    def open(self) -> Snapshot:
        raise NotImplementedError

    def apply(self, batch: Batch) -> None:
        raise NotImplementedError

    def answered(self) -> List[Row]:
        """The messages of the last day that were answered, in the order sent."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class MemoryVault(Vault):
    """Outlives connections, not the process."""

    def __init__(self) -> None:
        self._meta: Dict[str, str] = {}
        self._cursors: Dict[int, int] = {}
        self._rows: Dict[int, Tuple[Row, bool]] = {}
        self._number = 0

    def open(self) -> Snapshot:
        waiting = [row for row, answered in self._rows.values() if not answered]
        return Snapshot(dict(self._meta), dict(self._cursors), waiting, self._number)

    def apply(self, batch: Batch) -> None:
        for name, value in batch.meta.items():
            if value is None:
                self._meta.pop(name, None)
            else:
                self._meta[name] = value
        if batch.forget_cursors:
            self._cursors.clear()
        for cid, seq in batch.cursors.items():
            if seq is None:
                self._cursors.pop(cid, None)
            else:
                self._cursors[cid] = seq
        for row in batch.add:
            self._rows[row.number] = (row, False)
            self._number = max(self._number, row.number)
        for number in batch.answered:
            if number in self._rows:
                self._rows[number] = (self._rows[number][0], True)
        for number in batch.drop:
            self._rows.pop(number, None)
        if batch.answered:
            self._prune()

    def _prune(self) -> None:
        oldest, surplus = time.time() - KEPT_SECONDS, len(self._rows) - KEPT_MOST
        for number, (row, answered) in list(self._rows.items()):
            if surplus <= 0 and row.stamp >= oldest:
                break
            if answered:
                del self._rows[number]
                surplus -= 1

    def answered(self) -> List[Row]:
        oldest = time.time() - KEPT_SECONDS
        return [row for _, (row, answered) in sorted(self._rows.items()) if answered and row.stamp >= oldest]

    def close(self) -> None:
        pass


_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cursor (cid INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (number INTEGER PRIMARY KEY AUTOINCREMENT, cmid TEXT NOT NULL,
    method TEXT NOT NULL, params TEXT NOT NULL, stamp REAL NOT NULL, answered INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS outbox_answered ON outbox (answered, number);
PRAGMA user_version = 1;
"""
_ROW = "number, cmid, method, params, stamp"


class SqliteVault(Vault):
    """A small file that only its owner can read; one process at a time has it."""

    blocking = True

    def __init__(self, path: Union[str, "os.PathLike[str]"]) -> None:
        self.path = Path(path)
        self._db: Optional[sqlite3.Connection] = None
        self._lock: Optional[int] = None

    def open(self) -> Snapshot:
        try:
            self._take_lock()
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            os.chmod(self.path, 0o600)
            self._db = db = sqlite3.connect(str(self.path), isolation_level=None, check_same_thread=False)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            if db.execute("PRAGMA user_version").fetchone()[0] not in (0, 1):
                raise StateError(f"{self.path} was made by a newer version of this library")
            db.executescript(_SCHEMA)
            meta = dict(db.execute("SELECT name, value FROM meta"))
            cursors = dict(db.execute("SELECT cid, seq FROM cursor"))
            rows = [Row(*row) for row in db.execute(f"SELECT {_ROW} FROM outbox WHERE answered = 0 ORDER BY number")]
            highest = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
            return Snapshot(meta, cursors, rows, highest[0] if highest else 0)
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise StateError(f"{self.path}: {error}") from error
        except StateError:
            self.close()
            raise

    def _take_lock(self) -> None:
        # A file of its own: closing any descriptor of the database would give up SQLite's locks on it.
        self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(f"{self.path} is in use by another process") from None

    def apply(self, batch: Batch) -> None:
        db = self._db
        if db is None:
            raise StateError(f"{self.path} is not open")
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                self._write(db, batch)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StateError(f"{self.path}: {error}") from error

    def _write(self, db: sqlite3.Connection, batch: Batch) -> None:
        db.executemany("REPLACE INTO meta VALUES (?, ?)", [m for m in batch.meta.items() if m[1] is not None])
        db.executemany("DELETE FROM meta WHERE name = ?", [(n,) for n, value in batch.meta.items() if value is None])
        if batch.forget_cursors:
            db.execute("DELETE FROM cursor")
        db.executemany("REPLACE INTO cursor VALUES (?, ?)", [c for c in batch.cursors.items() if c[1] is not None])
        db.executemany("DELETE FROM cursor WHERE cid = ?", [(c,) for c, seq in batch.cursors.items() if seq is None])
        db.executemany(f"REPLACE INTO outbox ({_ROW}) VALUES (?, ?, ?, ?, ?)",
                       [(r.number, r.cmid, r.method, r.params, r.stamp) for r in batch.add])
        db.executemany("UPDATE outbox SET answered = 1 WHERE number = ?", [(n,) for n in batch.answered])
        db.executemany("DELETE FROM outbox WHERE number = ?", [(n,) for n in batch.drop])
        if batch.answered:
            db.execute("DELETE FROM outbox WHERE answered = 1 AND number <= coalesce((SELECT number FROM outbox"
                       " WHERE answered = 1 ORDER BY number DESC LIMIT 1 OFFSET ?), 0)", (KEPT_MOST,))
            # They are in the order of their time, near enough: looks at one row when none is old.
            oldest = time.time() - KEPT_SECONDS
            first = db.execute("SELECT stamp FROM outbox WHERE answered = 1 ORDER BY number LIMIT 1").fetchone()
            if first and first[0] < oldest:
                db.execute("DELETE FROM outbox WHERE answered = 1 AND stamp < ?", (oldest,))

    def answered(self) -> List[Row]:
        if self._db is None:
            raise StateError(f"{self.path} is not open")
        try:
            return [Row(*row) for row in self._db.execute(
                f"SELECT {_ROW} FROM outbox WHERE answered = 1 AND stamp >= ? ORDER BY number",
                (time.time() - KEPT_SECONDS,))]
        except sqlite3.Error as error:
            raise StateError(f"{self.path}: {error}") from error

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def peek(path: Union[str, "os.PathLike[str]"]) -> Dict[str, str]:
    """User, token and the like in a state file that another process may have open; empty if there is none."""
    if not Path(path).exists():
        return {}
    try:
        db = sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)
        try:
            return dict(db.execute("SELECT name, value FROM meta"))
        finally:
            db.close()
    except sqlite3.Error as error:
        raise StateError(f"{path}: {error}") from error


def in_use(path: Union[str, "os.PathLike[str]"]) -> bool:
    """Whether another process has a state file open."""
    try:
        lock = os.open(f"{Path(path)}.lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
