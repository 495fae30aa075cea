"""sync with many conversations and many entries; the store's rows are made beforehand."""

import time

import pytest

from lib.fixtures import PASSWORD
from lib.rows import add_direct, add_users, store

MINUTE = 60_000


def people(server, dial, *names):
    found = []
    for name in names:
        client = dial(server)
        found.append(client.login_as(client.call("register", user=name, password=PASSWORD)))
        client.close()
    return found


def listed_of(client, count):
    found = [client.expect("conversation", timeout=60) for _ in range(count)]
    assert {one["change"] for one in found} <= {"listed"}
    return found


def test_more_than_200_conversations(confabd, dial):
    """The newest 200 in the result, the others follow as `listed`, each before its entries."""
    server = confabd()
    (alice,) = people(server, dial, "alice")
    server.stop()
    with store(server) as db:
        names = [f"peer{i:03}" for i in range(450)]
        add_users(db, names)
        now = int(time.time() * 1000)
        cids = [add_direct(db, name, "alice", 3, ts=now - MINUTE * (i + 1)) for i, name in enumerate(names)]
    server.start()
    client = dial(server)
    result = client.call("resume", token=alice["token"], sync={"preview": True})
    assert result["total"] == 450
    views = result["conversations"]
    assert 1 <= len(views) <= 200
    if len(views) < 200:
        assert len(client.frames[-1]) <= 256 * 1024
    views = views + listed_of(client, 450 - len(views))
    assert sorted(v["cid"] for v in views) == sorted(cids)
    assert [v["cid"] for v in result["conversations"]] == cids[:len(result["conversations"])], "newest activity first"
    assert all(v["next"] == 1 and v["head"] == 3 and v["unread"] == 3 and v["last"]["seq"] == 3 for v in views)
    for cid in cids:
        client.until_head(cid, 3, timeout=60)
    assert len(client.taken("message")) == 1350 and not client.seen("gap")
    # With all cursors at head nothing but the list comes.
    second = dial(server)
    second.call("resume", token=alice["token"])
    result = second.call("sync", epoch=alice["epoch"], cursors={str(cid): 3 for cid in cids})
    assert result["total"] == 450 and not result["reset"]
    listed_of(second, 450 - len(result["conversations"]))
    second.call("send", to=cids[-1], body="live")
    assert second.message()["cid"] == cids[-1]
    assert not second.seen("message") and not second.seen("gap")


def test_after_5000_entries_backlog_counts_as_0(confabd, dial):
    server = confabd()
    (alice,) = people(server, dial, "alice")
    server.stop()
    with store(server) as db:
        names = [f"peer{i:02}" for i in range(14)]
        add_users(db, names)
        now = int(time.time() * 1000)
        cids = [add_direct(db, name, "alice", 600, ts=now - MINUTE * 100 * (i + 1)) for i, name in enumerate(names)]
    server.start()
    client = dial(server)
    client.call("resume", token=alice["token"], sync={"backlog": 500})
    for cid in cids:
        client.until_head(cid, 600, timeout=60)
    got = {cid: [] for cid in cids}
    for entry in client.taken("message"):
        got[entry["cid"]].append(entry["seq"])
    gaps = {g["cid"]: (g["from"], g["to"]) for g in client.taken("gap")}
    full = [cid for cid in cids if len(got[cid]) == 500]
    empty = [cid for cid in cids if not got[cid]]
    assert len(full) == 10 and len(empty) == 4
    assert full == cids[:10], "those of newest activity come first"
    assert all(gaps[cid] == (1, 100) for cid in full) and all(gaps[cid] == (1, 600) for cid in empty)
    client.call("send", to=cids[-1], body="live")
    assert client.message()["seq"] == 601, "the rest goes on live"


def test_a_list_that_does_not_fit_stops_early(confabd, dial):
    """200 conversations with long previews, titles and escapes exceed 256 KiB."""
    server = confabd()
    (alice,) = people(server, dial, "alice")
    server.stop()
    with store(server) as db:
        names = [f"peer{i:03}" for i in range(210)]
        add_users(db, names)
        db.execute("UPDATE user SET display = ? WHERE name LIKE 'peer%'", ("\U0001F388" * 64,))
        cids = [add_direct(db, name, "alice", 1, body='"\\\u0001' * 500) for name in names]
    server.start()
    client = dial(server)
    result = client.call("resume", token=alice["token"], sync={"preview": True})
    assert result["total"] == 210
    assert max(len(f.encode()) for f in client.frames) <= 256 * 1024
    views = result["conversations"] + listed_of(client, 210 - len(result["conversations"]))
    assert sorted(v["cid"] for v in views) == sorted(cids)
    for cid in cids:
        client.until_head(cid, 1, timeout=60)


@pytest.mark.slow
def test_a_long_log_is_paged_and_fed(confabd, dial):
    """200,000 entries: sync and history cost what they give, not what is there."""
    server = confabd()
    alice, _ = people(server, dial, "alice", "bob")
    server.stop()
    with store(server) as db:
        cid = add_direct(db, "bob", "alice", 200_000)
    server.start()
    start = time.monotonic()
    client = dial(server)
    view = client.call("resume", token=alice["token"], sync=True)["conversations"][0]
    assert (view["head"], view["unread"]) == (200_000, 200_000)
    assert client.expect("gap") == {"cid": cid, "from": 1, "to": 199_950}
    assert [m["seq"] for m in client.messages(50)] == list(range(199_951, 200_001))
    for before in (100_000, 2, 200_001):
        page = client.call("history", cid=cid, before=before, limit=200)
        assert page["messages"][-1]["seq"] == before - 1
    page = client.call("history", cid=cid, after=150_000, limit=200)
    assert [m["seq"] for m in page["messages"]] == list(range(150_001, 150_201))
    assert client.call("send", to=cid, body="next")["seq"] == 200_001
    assert time.monotonic() - start < 30
