"""A laptop's chat becomes a cluster's: `confabd --import` from SQLite into MariaDB, and clients notice nothing."""

import random
import re
import signal
import subprocess

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

import test_model
from lib import groups, rows
from lib.client import Client
from lib.fixtures import PASSWORD
from lib.mariadb import MariaDB, shared
from lib.server import CONFABD, TIED, Server, run_tool, sanitizer_environment, wait_for

pytestmark = pytest.mark.disk

EMOJI = "\U0001f9ed \u00e9\u4e2d\u200d\U0010ffff"
# What depends on who is connected, and when.
VOLATILE = {"seen", "online", "presence", "current", "ip"}


def move(server, source=None, timeout=120):
    """Takes the store of a server that does not run to a database of its own; what was said."""
    name, url = shared().database()
    code, said, errors = run_tool("--import", f"sqlite:{source or server.db}", "--store", url, timeout=timeout)
    assert code == 0, errors
    server.write_config(store=url)
    return name, said


def join(server, transport, who, sync=True):
    client = Client(server.port, transport)
    client.server = server
    client.login_as(client.call("resume", token=who["token"], sync=sync))
    return client


def enter(server, transport, name, **more):
    client = Client(server.port, transport)
    return client, client.login_as(client.call("register", user=name, password=PASSWORD, sync=True, **more))


def steady(value):
    if isinstance(value, dict):
        return {key: steady(v) for key, v in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [steady(v) for v in value]
    return value


def picture(server, transport, people, cursors):
    """All that each of them can ask, and what comes by itself after the cursors."""
    found = {}
    for name, person in people.items():
        since = {"epoch": person["epoch"], "cursors": cursors[name], "backlog": 500, "preview": True}
        client = Client(server.port, transport)
        login = client.call("resume", token=person["token"], sync=since)
        one = found[name] = {"sync": steady({k: login[k] for k in ("epoch", "reset", "total", "gone", "conversations")}),
                             "who": (login["user"], login["user_id"], login["display"], login["session"])}
        for view in login["conversations"]:
            cid = view["cid"]
            client.until_head(cid, view["head"])
            page = client.call("history", cid=cid, limit=200)
            one[cid] = page
            if view["kind"] == "group" and view["role"] != "none":
                one[cid, "info"] = client.call("group.info", cid=cid)
                one[cid, "members"] = client.call("group.members", cid=cid)
                if view["role"] in ("owner", "admin"):
                    one[cid, "banned"] = client.call("group.members", cid=cid, role="banned")
            one[cid, "receipts"] = [client.call("receipts", cid=cid, seq=m["seq"]) for m in page["messages"]
                                    if m["from"] == name and m["kind"] == "text" and view["role"] != "none"]
        client.call("ping")
        one["stream"] = sorted(client.taken("message"), key=lambda m: m["cid"])   # each in its order
        one["told"] = [(n[0], n[1]) for n in client.notes if n[0] not in ("presence", "mark")]
        one["session.list"] = sorted(client.call("session.list")["sessions"], key=lambda s: s["session"])
        for method, params in (("contact.list", {}), ("group.list", {}), ("user.find", {"query": "an"}),
                               ("profile.get", {"users": sorted(people)})):
            one[method] = client.call(method, params)
        client.close()
        found[name] = {key: steady(value) for key, value in one.items()}
    return found


def same(after, before):
    for who in before:
        assert set(after[who]) == set(before[who])
        for what in before[who]:
            assert after[who][what] == before[who][what], (who, what)
    assert after == before


def fill(server, transport):
    """Something of every kind; gives the people, and what was answered to the send of a cmid."""
    clients, people = {}, {}
    for name in ("anna", "bert", "carl", "dora", "egon", "gone"):
        clients[name], people[name] = enter(server, transport, name, display=f"{name} {EMOJI}", device=f"{name}'s {EMOJI}")
    anna, bert, carl, dora, egon, gone = clients.values()
    phone = Client(server.port, transport)
    people["bert"] = phone.login_as(phone.call("login", user="bert", password=PASSWORD, device="phone"))
    # Direct: edits, deletions, data, replies, marks.
    first = anna.call("send", to="@bert", body=f"first {EMOJI}", cmid="c-1")
    cid = first["cid"]
    for i in range(12):
        anna.call("send", to=cid, body=f"text {i}", data={"n": i, "s": EMOJI} if i % 3 else None, re=1 if i == 5 else None)
    bert.call("send", to="@anna", kind="x-poll", body="", data={"q": [1, None, "\u00fc"]}, cmid="p-1")
    anna.call("edit", cid=cid, seq=2, body=f"edited {EMOJI}")
    anna.call("edit", cid=cid, seq=2, body="edited twice", data={"e": 2})
    anna.call("delete", cid=cid, seq=3)
    bert.call("mark", cid=cid, read=7, delivered=11)
    anna.call("send", to="@gone", body="before the end")
    # Groups.
    ops = groups.make(anna, bert, carl, dora, title=f"Ops {EMOJI}", handle="ops", open=True, history=True)
    anna.call("group.set", cid=ops, topic=f"about {EMOJI}", invite="admins")
    anna.call("group.role", cid=ops, user="bert", role="admin")
    sent = [carl.call("send", to="#ops", body=f"group {i}")["seq"] for i in range(70)]
    bert.call("mark", cid=ops, read=sent[40])
    dora.call("mark", cid=ops, read=sent[10], delivered=sent[20])
    anna.call("delete", cid=ops, seq=sent[4])
    anna.call("group.mute", cid=ops, user="dora", seconds=86400)
    anna.call("group.remove", cid=ops, user="carl", ban=True)
    anna.call("group.remove", cid=ops, user="egon", ban=True)   # never was a member
    shut = groups.make(bert, anna, egon, gone, title="shut")
    bert.call("group.set", cid=shut, post="admins")
    egon.call("group.leave", cid=shut)
    over = groups.make(dora, anna, title="over", handle="over")
    dora.call("group.dismiss", cid=over)
    # People.
    anna.call("contact.add", user="bert", note=f"hello {EMOJI}")
    bert.call("contact.accept", user="anna")
    carl.call("contact.add", user="anna", note=f"me too {EMOJI}")
    dora.call("contact.block", user="egon")
    anna.call("profile.set", status=f"status {EMOJI}", accept="contacts")
    bert.call("presence.set", state="busy", text=f"busy {EMOJI}")
    gone.call("account.delete", password=PASSWORD)
    for client in (*clients.values(), phone):
        client.close()
    assert run_tool("user", "disable", "egon", server=server)[0] == 0
    for name in ("gone", "egon"):
        del people[name]
    return people, {"first": first, "ops": ops, "shut": shut, "over": over, "cid": cid, "removed_from": ops}


def test_clients_go_on_as_if_nothing_had_happened(confabd, transport):
    server = confabd()
    people, known = fill(server, transport)
    server.restart()
    cursors = {name: {} for name in people}
    cursors["anna"] = {str(known["cid"]): 2, str(known["ops"]): 5, str(known["over"]): 1}
    cursors["carl"] = {str(known["ops"]): 3}
    before = picture(server, transport, people, cursors)
    server.restart()
    same(picture(server, transport, people, cursors), before)   # it does not depend on a restart
    server.stop()
    source = server.db
    name, said = move(server)
    assert re.search(r"user +6 rows", said) and re.search(r"token +\d+ rows", said) and "Clients go on" in said
    server.start()
    same(picture(server, transport, people, cursors), before)

    anna, bert, carl, dora = (join(server, transport, people[who]) for who in ("anna", "bert", "carl", "dora"))
    # A send that is repeated is the one it was; the next one is next.
    first = known["first"]
    assert anna.call("send", to="@bert", body=f"first {EMOJI}", cmid="c-1") == {**first, "dup": True}
    anna.fails("conflict", "send", to="@bert", body="another", cmid="c-1")
    head = before["anna"][known["cid"]]["head"]
    assert bert.call("send", to="@anna", body="next")["seq"] == head + 1
    assert anna.message(cid=known["cid"], seq=head + 1)["body"] == "next"
    # What was forbidden is.
    carl.fails("forbidden", "group.join", cid="#ops")
    dora.fails("forbidden", "send", to="#ops", body="x")
    anna.fails("forbidden", "send", to=known["shut"], body="x")
    bert.fails("forbidden", "group.leave", cid=known["shut"])
    anna.fails("not_found", "send", to="@gone", body="x")
    carl.fails("forbidden", "send", to="@anna", body="contacts only")
    stranger = Client(server.port, transport)
    for gone in ("gone", "anna"):
        stranger.fails("name_taken", "register", user=gone, password=PASSWORD)
    stranger.fails("bad_credentials", "login", user="egon", password=PASSWORD)
    stranger.fails("bad_credentials", "login", user="gone", password=PASSWORD)
    stranger.login_as(stranger.call("login", user="anna", password=PASSWORD))
    stranger.close()
    # New ids are new; marks, counts and edits go on.
    fresh = groups.make(anna, bert, title="fresh", handle="over")
    assert fresh > max(known[k] for k in ("ops", "shut", "over", "cid"))
    bert.call("mark", cid=known["ops"], read=60)
    carl_seq = next(m["seq"] for m in before["anna"][known["ops"]]["messages"] if m["from"] == "carl" and m["kind"] == "text")
    assert anna.call("receipts", cid=known["ops"], seq=carl_seq)["read"] >= 1
    assert anna.call("edit", cid=known["cid"], seq=2, body="a third time")["seq"] == head + 2
    again = anna.call("delete", cid=known["cid"], seq=3)
    assert again["dup"] and again["seq"] <= head
    for client in (anna, bert, carl, dora):
        client.close()
    # The source is a copy now, and says so when it is served again.
    server.stop()
    old = confabd(config={"store": f"sqlite:{source}"})
    late = Client(old.port, transport)
    listed = late.call("resume", token=people["anna"]["token"], sync={"epoch": people["anna"]["epoch"],
                                                                     "cursors": {str(known["cid"]): 1}})
    assert listed["reset"] and listed["epoch"] != people["anna"]["epoch"]
    late.close()


class Moving(test_model.Machine):
    """Random requests, and in the middle of them the store moves."""
    at = 0

    def __init__(self):
        type(self).at += 1
        type(self).server = self.start(f"moving{self.at}")
        self.moved = False
        super().__init__()

    @rule(sure=st.integers(0, 15))
    def move(self, sure):
        if sure == 0 and not self.moved:
            self.move_now()

    def move_now(self):
        self.moved = True
        devices = [(who, device) for who in range(test_model.PEOPLE) for device in (0, 1) if self.live(who)]
        for who, device in devices:
            self.devices[who][device].client.close()
        self.server.stop()
        move(self.server)
        self.server.start()
        for who, device in devices:
            self.come_back(who, device, 0, {})

    def teardown(self):
        try:
            if self.people and not self.moved:
                self.compare()
                self.move_now()
        finally:
            super().teardown()
            self.server.finish()


@pytest.mark.slow
def test_random_requests_with_a_move_among_them(confabd, tmp_path):
    class Here(Moving):
        transport = "tcp"

        @staticmethod
        def start(name):
            return Server(tmp_path / name).start()

    probe = confabd("probe")
    Here.methods = test_model.known_methods(probe, "tcp")
    run_state_machine_as_test(Here, settings=hypothesis.settings(
        max_examples=12, stateful_step_count=test_model.STEPS, deadline=None, derandomize=not test_model.RANDOM, database=None,
        phases=test_model.PHASES, report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck), print_blob=False))


def many_messages(confabd, count, people=20):
    """A server that does not run, with so many messages in direct conversations and in a group."""
    server = confabd()
    client = Client(server.port, "tcp")
    person = client.login_as(client.call("register", user="ann", password=PASSWORD))
    client.close()
    server.stop()
    names = [f"user{i}" for i in range(people)]
    with rows.store(server) as db:
        rows.add_users(db, names)
        for name in names[:-1]:
            rows.add_direct(db, "ann", name, count // 2 // people, body="direct {} " + EMOJI)
        rows.add_group(db, "all", {n: {} for n in ["ann", *names]}, entries=count // 2, handle="all")
    return server, person


def start_import(server, url, **more):
    return subprocess.Popen([*TIED, CONFABD, "--import", f"sqlite:{server.db}", "--store", url], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=sanitizer_environment(), **more)


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_nothing_that_could_be_served(confabd):
    rng = random.Random(11)
    server, person = many_messages(confabd, 20_000)
    database = shared()
    name, url = database.database()

    def version():
        got = database.run("SELECT schema_version FROM meta", name, check=False).stdout.strip()
        return int(got) if got else 0

    def written():
        got = database.run("SELECT count(*) FROM msg", name, check=False).stdout.strip()
        return int(got) if got else 0

    interrupted = 0
    for until in (0, 1, rng.randrange(1, 15_000), rng.randrange(1, 15_000)):
        importing = start_import(server, url)
        wait_for(lambda: version() < 0 and written() >= until or importing.poll() is not None, 60, "some rows")
        importing.send_signal(signal.SIGKILL)
        importing.wait()
        importing.stdout.close(), importing.stderr.close()
        if version() >= 0:
            break       # it was faster
        interrupted += 1
        code, _, errors = run_tool("--listen", "127.0.0.1:0", "--store", url)
        assert code == 1 and "interrupted" in errors and "--import" in errors, errors
        for command in (["--check"], ["user", "disable", "ann"]):
            code, _, errors = run_tool(*command, "--store", url)
            assert code == 1 and "interrupted" in errors, errors
    assert interrupted >= 1, "killed too late to see anything"
    if version() < 0:
        # The source is as it was, and serves; its own life goes on.
        server.start()
        client = join(server, "tcp", person, sync={"epoch": person["epoch"], "cursors": {}})
        client.close()
        server.stop()
        code, said, errors = run_tool("--import", f"sqlite:{server.db}", "--store", url)
        assert code == 0 and "thrown away" in said, errors
    server.write_config(store=url)
    server.start()
    client = Client(server.port, "tcp")
    listed = client.call("resume", token=person["token"], sync={"epoch": person["epoch"], "cursors": {}, "backlog": 0})
    assert not listed["reset"] and listed["total"] == 20
    assert client.call("history", cid="#all", limit=1)["head"] == 10_001
    client.close()


@pytest.mark.slow
def test_a_database_that_dies_meanwhile(confabd):
    server, person = many_messages(confabd, 20_000)
    database = MariaDB().start()
    try:
        name, url = database.database()
        importing = start_import(server, url)
        wait_for(lambda: database.run("SELECT 1 FROM msg LIMIT 1", name, check=False).stdout or importing.poll() is not None,
                 60, "some rows")
        database.kill9()
        said, errors = importing.communicate()
        database.start()
        if importing.returncode == 0:
            return      # it was faster
        assert "run it again" in errors and said == "", errors
        code, _, errors = run_tool("--check", "--store", url)
        assert code == 1 and "--import" in errors
        code, said, errors = run_tool("--import", f"sqlite:{server.db}", "--store", url, timeout=120)
        assert code == 0, errors
        server.write_config(store=url)
        server.start()
        join(server, "tcp", person, sync={"epoch": person["epoch"], "cursors": {}, "backlog": 0}).close()
        server.stop()
    finally:
        database.finish()


@pytest.mark.slow
def test_100000_messages_in_bounded_memory(confabd):
    server, person = many_messages(confabd, 100_000)
    _, url = shared().database()
    importing = start_import(server, url)
    peak = 0

    def look():
        nonlocal peak
        try:
            with open(f"/proc/{importing.pid}/status") as status:
                got = re.search(r"^RssAnon:\s+(\d+) kB", status.read(), re.M)
                peak = max(peak, int(got[1]) if got else 0)
        except OSError:
            pass
        return importing.poll() is not None

    wait_for(look, 300, "the import")
    said, errors = importing.communicate()
    assert importing.returncode == 0, errors
    assert re.search(r"msg +9\d{4} rows", said), said
    assert 0 < peak < 160 * 1024, f"{peak} KiB"     # most of it the sanitizers'
    assert errors == "" or re.search(r"\d+ of \d+ rows (written|compared)", errors), errors
    server.write_config(store=url)
    server.start()
    client = Client(server.port, "tcp")
    client.login_as(client.call("resume", token=person["token"]))
    assert client.call("history", cid="#all", before=40_002, limit=1)["messages"][0]["body"] == "entry 40001"
    assert client.call("send", to="#all", body="on and on")["seq"] == 50_002
    client.close()


def test_what_cannot_be_imported_says_so(confabd, tmp_path):
    server = confabd()
    client = Client(server.port, "tcp")
    client.call("register", user="ann", password=PASSWORD)
    client.close()
    name, url = shared().database()
    source = f"sqlite:{server.db}"

    def refused(*words, why, code=1):
        got, said, errors = run_tool(*words)
        assert got == code and why in errors and errors.startswith("confabd: ") and said == "", (got, said, errors)

    refused("--import", source, "--store", url, why="is in use")
    server.kill9()      # what it left in its log is there too
    refused("--import", source, "--store", "memory:", why="mysql://")
    refused("--import", source, "--data", str(tmp_path / "d"), why="mysql://")
    refused("--import", str(server.db), "--store", url, why="sqlite:PATH")
    refused("--import", "sqlite:/no/such/file", "--store", url, why="No such file")
    refused("--import", source, "--store", url, "backup", "x", why="--import", code=2)
    refused("--import", why="sqlite:PATH", code=2)
    (tmp_path / "text").write_text("no database, but long enough to be taken for one" * 40)
    refused("--import", f"sqlite:{tmp_path / 'text'}", "--store", url, why="not a database")
    node = confabd("node", config={"store": url})
    refused("--import", source, "--store", url, why="in use")
    other = Client(node.port, "tcp")
    other.call("register", user="eve", password=PASSWORD)
    other.close()
    node.stop()
    refused("--import", source, "--store", url, why="not empty")
    # Nothing of that has touched the source.
    move(server)
    server.start()
    client = Client(server.port, "tcp")
    client.call("login", user="ann", password=PASSWORD)
    client.close()


def test_a_backup_begins_another_life(confabd, tmp_path):
    server = confabd()
    client = Client(server.port, "tcp")
    person = client.login_as(client.call("register", user="ann", password=PASSWORD))
    other = Client(server.port, "tcp")
    other.call("register", user="bob", password=PASSWORD)
    cid = client.call("send", to="@bob", body="kept")["cid"]
    assert run_tool("backup", tmp_path / "copy.db", server=server)[0] == 0
    client.call("send", to="@bob", body="lost")
    client.close(), other.close()
    server.stop()
    _, said = move(server, tmp_path / "copy.db")
    assert "another life" in said
    server.start()
    client = Client(server.port, "tcp")
    listed = client.call("resume", token=person["token"], sync={"epoch": person["epoch"], "cursors": {str(cid): 2}})
    assert listed["reset"] and listed["epoch"] != person["epoch"] and listed["conversations"][0]["head"] == 1
    assert client.call("group.create", title="new")["cid"] > cid + 1000
    client.close()
