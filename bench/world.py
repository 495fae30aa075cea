# SPDX-License-Identifier: MIT
"""Users, sessions and groups for a load, put into a confabd's SQLite store while it is not running."""
import hashlib
import pathlib
import sqlite3
import time


def populate(data, tokens, users, groups=()):
    """Adds `users` users with a session each to an existing, fresh store, writes a line `name token` for each to the
    file `tokens`, and makes groups from lists of user numbers (from 1 on). Returns the groups' cids."""
    now = int(time.time() * 1000)
    cids = []
    db = sqlite3.connect(pathlib.Path(data) / "confab.db")
    with db, open(tokens, "w") as f:
        for i in range(1, users + 1):
            token = hashlib.sha256(b"%d" % i).hexdigest()[:43]
            user = f"user{i:06d}"
            db.execute("INSERT INTO user (id, name, display, folded, password_hash, created, seen)"
                       " VALUES (?,?,?,?,?,?,?)", (i, user, user, user, "none", now, now))
            db.execute("INSERT INTO token (hash, session, user, device, ip, created, seen) VALUES (?,?,?,?,?,?,?)",
                       (hashlib.blake2b(token.encode(), digest_size=32).digest(), i, i, "", "", now, now))
            f.write(f"{user} {token}\n")
        for members in groups:
            cid = db.execute("INSERT INTO conv (kind, title, folded, members, created) VALUES (2, 'bench', 'bench', ?, ?)",
                             (len(members), now)).lastrowid
            db.executemany("INSERT INTO member (user, cid, name) VALUES (?,?,?)",
                           ((i, cid, f"user{i:06d}") for i in members))
            db.executemany("INSERT INTO tally (cid, level, place, read, delivered) VALUES (?,?,0,?,?)",
                           ((cid, level, len(members), len(members)) for level in range(5)))
            cids.append(cid)
    db.close()
    return cids
