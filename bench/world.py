# SPDX-License-Identifier: MIT
"""Users, sessions, conversations and messages for a load, put into a confabd's store, SQLite or MariaDB, while it is not
running."""
import hashlib
import pathlib
import random
import sqlite3
import subprocess
import time


def populate(data, tokens, users, groups=(), directs=(), messages=0):
    """Adds `users` users with a session each to an existing, fresh store, writes a line `name token` for each to the
    file `tokens`, makes groups from lists of user numbers (from 1 on) and direct conversations from pairs of them, and
    spreads `messages` over the direct ones. Returns the groups' cids."""
    db = sqlite3.connect(pathlib.Path(data) / "confab.db", isolation_level=None)
    for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -2000000"):
        db.execute(f"PRAGMA {setting}").fetchall()
    db.execute("BEGIN")
    cids, first = fill(db, tokens, users, groups, directs)
    if messages > 0:
        add_messages(db, first, directs, messages, int(time.time() * 1000))
    db.execute("COMMIT")
    db.close()
    return cids


def populate_mariadb(command, tokens, users, groups=(), directs=()):
    """The same without messages, in a fresh database of MariaDB; `command` runs its client on it."""
    script = Script()
    cids, _ = fill(script, tokens, users, groups, directs)
    subprocess.run(command, input=script.text().encode(), check=True)
    return cids


class Script:
    """What SQLite's connection is to the functions below: keeps what they execute, for a client of MariaDB."""

    def __init__(self):
        self.statements, self.convs, self.lastrowid = ["BEGIN"], 0, None

    @staticmethod
    def literal(value):
        if isinstance(value, bytes):
            return f"x'{value.hex()}'"
        return str(value) if isinstance(value, int) else "'%s'" % value.replace("\\", "\\\\").replace("'", "''")

    def execute(self, sql, values=()):
        first, *rest = sql.split("?")
        self.statements.append(first + "".join(self.literal(v) + text for v, text in zip(values, rest)))
        if sql.startswith("INSERT INTO conv "):
            self.convs += 1
            self.lastrowid = self.convs
        return self

    def executemany(self, sql, rows):
        for row in rows:
            self.execute(sql, row)

    def text(self):
        return ";\n".join([*self.statements, "COMMIT", ""])


def fill(db, tokens, users, groups, directs):
    """(the groups' cids, that of the first direct conversation)"""
    now = int(time.time() * 1000)
    with open(tokens, "w") as f:
        for i in range(1, users + 1):
            f.write(add_user(db, i, now))
    cids = [add_group(db, members, now) for members in groups]
    return cids, add_directs(db, directs, now, first=max(cids, default=0) + 1)


def add_user(db, i, now):
    """The line of its token."""
    token, user = hashlib.sha256(b"%d" % i).hexdigest()[:43], f"user{i:06d}"
    db.execute("INSERT INTO user (id, name, display, folded, password_hash, created, seen) VALUES (?,?,?,?,?,?,?)",
               (i, user, user, user, "none", now, now))
    db.execute("INSERT INTO token (hash, session, user, device, ip, created, seen) VALUES (?,?,?,?,?,?,?)",
               (hashlib.blake2b(token.encode(), digest_size=32).digest(), i, i, "", "", now, now))
    return f"{user} {token}\n"


def add_group(db, members, now):
    cid = db.execute("INSERT INTO conv (kind, title, folded, members, created) VALUES (2, 'bench', 'bench', ?, ?)",
                     (len(members), now)).lastrowid
    db.executemany("INSERT INTO member (user, cid, name) VALUES (?,?,?)", ((i, cid, f"user{i:06d}") for i in members))
    db.executemany("INSERT INTO tally (cid, level, place, `read`, delivered) VALUES (?,?,0,?,?)",
                   ((cid, level, len(members), len(members)) for level in range(5)))
    return cid


def add_directs(db, pairs, now, first):
    """The cid of the first, which no conversation has; the others follow it."""
    for cid, pair in enumerate(pairs, first):
        lo, hi = sorted(pair)
        db.execute("INSERT INTO conv (cid, kind, lo, hi, created) VALUES (?, 1, ?, ?, ?)", (cid, lo, hi, now))
        db.execute("INSERT INTO direct (lo, hi, cid) VALUES (?,?,?)", (lo, hi, cid))
        db.executemany("INSERT INTO member (user, cid) VALUES (?,?)", ((lo, cid), (hi, cid)))
    return first


def add_messages(db, first, pairs, messages, now):
    """In the order of their time, each in a conversation by chance, and into their index as many at a time as a server
    merges: so its pages are as full as use leaves them, each to another degree."""
    heads, chance, body, merged = [0] * len(pairs), random.Random(1), "x" * 200, 65536

    def rows(numbers):
        for n in numbers:
            at = int(chance.random() * len(heads))
            heads[at] += 1
            yield first + at, heads[at], pairs[at][0], f"{n:013x}-0", now, body

    for start in range(0, messages, merged):
        db.executemany("INSERT INTO msg (cid, seq, sender, cmid, ts, kind, body) VALUES (?,?,?,?,?,'text',?)",
                       rows(range(start, min(start + merged, messages))))
        db.execute("INSERT INTO msg_index (cid, seq, id) SELECT cid, seq, id FROM msg "
                   "WHERE id > (SELECT indexed FROM meta) ORDER BY cid, seq")
        db.execute("UPDATE meta SET indexed = (SELECT max(id) FROM msg)")
