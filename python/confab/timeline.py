# SPDX-License-Identifier: MIT
"""A conversation as a person sees it: messages with their edits and deletions applied, in whatever order they come."""

from __future__ import annotations

import bisect
import dataclasses
from typing import Dict, Iterable, Iterator, List, Optional

from .model import Message


class Timeline:
    """The entries of one conversation that one has: from messages(changes=True), from history(), in any mixture.

    With `most` only so many are kept; the oldest go first.
    """

    def __init__(self, entries: Iterable[Message] = (), most: Optional[int] = None) -> None:
        self._entries: Dict[int, Message] = {}      # as they came, the newest state of each
        self._order: List[int] = []
        self._edits: Dict[int, List[int]] = {}      # of a message: the places of its edits, rising
        self._deletions: Dict[int, int] = {}
        self._most = most
        for entry in entries:
            self.add(entry)

    def add(self, entry: Message) -> Optional[Message]:
        """Takes an entry; gives the message that it is, or changes, as it reads now; None if there is none."""
        known = self._entries.get(entry.seq)
        if known is None:
            bisect.insort(self._order, entry.seq)
        if known is None or (entry.deleted or 0, entry.edited or 0) >= (known.deleted or 0, known.edited or 0):
            self._entries[entry.seq] = entry
        if entry.re is not None and entry.kind == "delete":
            self._deletions[entry.re] = entry.seq
        elif entry.re is not None and entry.kind == "edit" and known is None:
            bisect.insort(self._edits.setdefault(entry.re, []), entry.seq)
        self._bound()
        place = entry.re if entry.kind in ("edit", "delete") and entry.re is not None else entry.seq
        found = self.get(place)
        return None if found is None or found.is_change else found

    def _bound(self) -> None:
        while self._most is not None and len(self._order) > self._most:
            entry = self._entries.pop(self._order.pop(0))
            self._edits.pop(entry.seq, None)
            self._deletions.pop(entry.seq, None)
            if entry.re is not None and entry.kind == "delete":
                self._deletions.pop(entry.re, None)
            elif entry.re in self._edits:
                self._edits[entry.re] = [seq for seq in self._edits[entry.re] if seq != entry.seq]

    def get(self, seq: int) -> Optional[Message]:
        """The entry as it reads now."""
        entry = self._entries.get(seq)
        if entry is None:
            return None
        deleted = entry.deleted or self._deletions.get(entry.re or 0 if entry.kind == "edit" else seq)
        if deleted:
            return dataclasses.replace(entry, body="", data=None, deleted=deleted)
        for edit in [self._entries[one] for one in self._edits.get(seq, []) if one > (entry.edited or 0)]:
            data = entry.data if edit.data is None else edit.data
            entry = dataclasses.replace(entry, body=edit.body, data=data, edited=edit.seq)
        return entry

    def __iter__(self) -> Iterator[Message]:
        """Every entry as it reads now, the oldest first."""
        return (entry for entry in [self.get(seq) for seq in self._order] if entry is not None)

    def __len__(self) -> int:
        return len(self._order)

    def messages(self) -> List[Message]:
        """What a person reads: no changes, nothing that was deleted."""
        return [entry for entry in self if not entry.is_change and not entry.deleted]
