"""Rows put directly into the store of a server that does not run: what would take long to say by protocol."""

import contextlib
import json
import sqlite3
import time

DIRECT, GROUP = 1, 2
MEMBER, ADMIN, OWNER = 1, 2, 3


@contextlib.contextmanager
def store(server):
    assert not server.alive, "the server's caches must not be deceived"
    with contextlib.closing(sqlite3.connect(server.db)) as db:
        with db:
            yield db


def ids_of(db, names):
    return {name: db.execute("SELECT id FROM user WHERE name = ?", (name,)).fetchone()[0] for name in names}


def add_users(db, names):
    """Users that nobody can log in as."""
    now = int(time.time() * 1000)
    db.executemany("INSERT INTO user (name, display, folded, password_hash, created, seen) VALUES (?, ?, ?, '!', ?, ?)",
                   [(name, name.title(), name, now, now) for name in names])


def add_entries(db, cid, sender, count, first=1, ts=None, body="entry {}"):
    ts = ts or int(time.time() * 1000) - 1000 * count
    db.executemany("INSERT INTO msg (cid, seq, sender, ts, kind, body) VALUES (?, ?, ?, ?, 'text', ?)",
                   [(cid, seq, sender, ts + seq, body.format(seq)) for seq in range(first, first + count)])


def add_direct(db, one, two, count, ts=None, body="entry {}"):
    """A direct conversation with so many entries of the first; gives its cid."""
    ids = ids_of(db, [one, two])
    lo, hi = sorted(ids.values())
    cid = db.execute("INSERT INTO conv (kind, lo, hi) VALUES (?, ?, ?)", (DIRECT, lo, hi)).lastrowid
    db.execute("INSERT INTO direct (lo, hi, cid) VALUES (?, ?, ?)", (lo, hi, cid))
    db.executemany("INSERT INTO member (user, cid) VALUES (?, ?)", [(lo, cid), (hi, cid)])
    add_entries(db, cid, ids[one], count, ts=ts, body=body)
    return cid


def add_group(db, title, members, entries=0, handle=None, open_=False, history=False, post=0):
    """members: name -> {"role", "join", "leave", "muted"}; the first is the creator.  Gives the cid."""
    ids = ids_of(db, members)
    names = list(members)
    now = int(time.time() * 1000)
    cid = db.execute("INSERT INTO conv (kind, title, handle, open, history, post, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
                     (GROUP, title, handle, int(open_), int(history), post, now)).lastrowid
    for name, facts in members.items():
        join = facts.get("join", 1)
        db.execute("INSERT INTO member (user, cid, role, join_seq, leave_seq, read_seq, delivered_seq, muted_until)"
                   " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                   (ids[name], cid, facts.get("role", MEMBER), join, facts.get("leave"), join - 1, join - 1, facts.get("muted", 0)))
    db.execute("INSERT INTO msg (cid, seq, sender, ts, kind, data) VALUES (?, 1, ?, ?, 'create', ?)",
               (cid, ids[names[0]], now, json.dumps({"users": names, "title": title}, separators=(",", ":"))))
    add_entries(db, cid, ids[names[0]], entries, first=2)
    count_members(db, cid)
    return cid


def count_members(db, cid):
    """What the store keeps beside the rows of a group's members: names, their number, the tally of marks."""
    db.execute("UPDATE member SET name = (SELECT name FROM user WHERE id = member.user) WHERE cid = ?", (cid,))
    db.execute("UPDATE conv SET members = (SELECT count(*) FROM member WHERE cid = conv.cid AND leave_seq IS NULL)"
               " WHERE cid = ?", (cid,))
    db.execute("DELETE FROM tally WHERE cid = ?", (cid,))
    db.execute("""WITH levels (level) AS (VALUES (0), (1), (2), (3), (4)), marks (mark, read, delivered) AS (
        SELECT read_seq, 1, 0 FROM member WHERE cid = ?1 AND leave_seq IS NULL UNION ALL
        SELECT delivered_seq, 0, 1 FROM member WHERE cid = ?1 AND leave_seq IS NULL)
        INSERT INTO tally SELECT ?1, level, mark >> (6 * level), sum(read), sum(delivered) FROM marks, levels GROUP BY 2, 3""",
               (cid,))
