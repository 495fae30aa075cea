"""Several nodes on one MariaDB: what is answered stands in one log, whoever of them dies."""

import asyncio
import random
import re
import signal
import subprocess

import pytest

from lib.client import Client, on_loop
from lib.fixtures import PASSWORD
from lib.load import Load, Sender
from lib.mariadb import MariaDB
from lib.nginx import free_port
from lib.server import TOP, run_tool, wait_for

PAIRS = 3


@pytest.fixture(scope="module")
def mariadb():
    server = MariaDB().start()
    yield server
    server.finish()


@pytest.fixture
def place(mariadb):
    if mariadb.process.poll() is not None:
        mariadb.start()
    return mariadb.database()


def register(node, name):
    client = Client(node.port, "tcp")
    person = client.login_as(client.call("register", user=name, password=PASSWORD))
    client.close()
    return person


def test_every_node_takes_and_shows_everything(mariadb, place, confabd, transport):
    one, three = (confabd(config={"store": place[1], "node": name}) for name in ("n1", "n3"))
    ann, bob = register(one, "ann"), register(three, "bob")
    writer, reader = Client(one.port, transport), Client(three.port, transport)
    writer.login_as(writer.call("resume", token=ann["token"]))
    reader.login_as(reader.call("resume", token=bob["token"]))
    sent = [writer.call("send", to="@bob", body=f"text {i} \U0001f600", cmid=f"c-{i}") for i in range(20)]
    assert [s["seq"] for s in sent] == list(range(1, 21))
    page = reader.call("history", cid=sent[0]["cid"], limit=200)
    assert [m["body"] for m in page["messages"]] == [f"text {i} \U0001f600" for i in range(20)]
    again = reader.call("send", to="@ann", body="back", cmid="d-1")
    assert again["seq"] == 21
    assert writer.call("send", to="@bob", body="text 3 \U0001f600", cmid="c-3") == {**sent[3], "dup": True}
    writer.close()
    reader.close()


def check(node):
    return subprocess.run([*node.command(), "--check"], capture_output=True, text=True, env=node.environment(), timeout=60)


def check_refuses(place, confabd, mariadb, change, back, words):
    node = confabd(config={"store": place[1]}, started=False)
    mariadb.run(change)
    try:
        said = check(node)
    finally:
        mariadb.run(back)
    assert said.returncode != 0
    for word in words:
        assert word in said.stderr, said.stderr


@pytest.mark.parametrize("variable, wrong, right", [
    ("innodb_flush_log_at_trx_commit", "2", "1"), ("read_only", "1", "0"), ("max_allowed_packet", "65536", "16777216")])
def test_check_names_the_setting_that_breaks_a_promise(mariadb, place, confabd, variable, wrong, right):
    check_refuses(place, confabd, mariadb, f"SET GLOBAL {variable} = {wrong}", f"SET GLOBAL {variable} = {right}", [variable])


def test_the_password_is_shown_nowhere(mariadb, place, confabd):
    mariadb.run(f"CREATE OR REPLACE USER ann@localhost IDENTIFIED BY 'hush-hush'; GRANT ALL ON {place[0]}.* TO ann@localhost")
    url = mariadb.url(place[0]).replace("root@", "ann:hush-hush@")
    node = confabd(config={"store": url})
    node.wait_log("store=mysql://ann@")
    assert "hush" not in node.log()
    said = check(confabd(config={"store": url}, started=False))
    assert said.returncode == 0 and "hush" not in said.stdout + said.stderr
    wrong = check(confabd(config={"store": url.replace("hush-hush", "hush-wrong")}, started=False))
    assert wrong.returncode != 0 and "hush" not in wrong.stdout + wrong.stderr


@pytest.mark.slow
def test_kill_9_of_the_database_and_of_a_node_under_load(mariadb, place, confabd):
    rng = random.Random(5)
    name, url = place
    nodes = [confabd(config={"store": url, "node": f"n{i}"}) for i in range(2)]
    people = [register(nodes[i % 2], f"user{i}") for i in range(2 * PAIRS)]
    answered, bodies = {}, {}
    for round_, victim in enumerate(["database", "node", "database", "node"]):
        senders = [Sender(nodes[i % 2].port, ("tcp", "ws")[round_ % 2], people[i]["token"], f"@user{i ^ 1}", window=16,
                          prefix=f"r{round_}-{i}") for i in range(2 * PAIRS)]
        load = Load(senders).start()
        load.wait_answered(rng.randrange(100, 500))
        if victim == "database":
            mariadb.kill9()
            load.stop()
            mariadb.start()
        else:
            nodes[1].kill9()
            load.stop()
            nodes[1].start()
        for node in nodes:
            wait_for(lambda node=node: node.http("/readyz")[0] == 200, 30, "the node")

        async def settle():
            for number, sender in enumerate(senders):
                left = [cmid for cmid in sender.sent if cmid not in sender.answered]
                await sender.resend(nodes[number % 2].port, left)

        before = {cmid: where for s in senders for cmid, where in s.answered.items()}
        stored = {row[2]: (int(row[0]), int(row[1]), int(row[3])) for row in mariadb.sql(
            name, f"SELECT cid, seq, cmid, ts FROM msg WHERE cmid LIKE 'r{round_}-%'")}
        for cmid, where in before.items():
            assert stored.get(cmid) == where, f"{cmid} was answered {where}, and is {stored.get(cmid)}"
        on_loop(settle(), timeout=60)
        for sender in senders:
            assert not sender.errors, sender.errors[:3]
            answered.update(sender.answered)
            bodies.update(sender.sent)
    rows = mariadb.sql(name, "SELECT cid, min(seq), max(seq), count(*), count(DISTINCT cmid) FROM msg GROUP BY cid")
    assert len(rows) == PAIRS
    for cid, low, high, count, cmids in rows:
        assert (low, high, cmids) == ("1", count, count), f"conversation {cid} is not dense"
    stored = {row[2]: (int(row[0]), int(row[1]), int(row[3])) for row in mariadb.sql(name, "SELECT cid, seq, cmid, ts FROM msg")}
    assert stored == answered and len(stored) == len(bodies)


@pytest.mark.slow
def test_a_database_that_is_away_is_told_and_comes_back(mariadb, place, confabd):
    node = confabd(config={"store": place[1]})
    ann = register(node, "ann")
    register(node, "bob")
    client = Client(node.port, "tcp")
    client.login_as(client.call("resume", token=ann["token"]))
    assert client.call("send", to="@bob", body="one", cmid="c-1")["seq"] == 1
    mariadb.kill9()
    client.fails(["unavailable", "unknown_outcome"], "send", to="@bob", body="two", cmid="c-2", timeout=30)
    wait_for(lambda: node.http("/readyz")[0] == 503, 20, "/readyz to say so")
    mariadb.start()
    wait_for(lambda: node.http("/readyz")[0] == 200, 20, "the node")
    assert client.call("send", to="@bob", body="two", cmid="c-2")["seq"] == 2
    client.close()


@pytest.mark.slow
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "under-load"])
def test_a_database_that_stands_still_is_told_before_anything_fails(mariadb, place, confabd, transport, busy):
    """A writer that waits for it can't say so: others see how long it waits.  Goes on, it is as if nothing had been."""
    node = confabd(config={"store": place[1]})
    ann = register(node, "ann")
    register(node, "bob")
    client = Client(node.port, transport)
    client.login_as(client.call("resume", token=ann["token"]))
    assert client.call("send", to="@bob", body="one", cmid="c-1")["seq"] == 1
    mariadb.process.send_signal(signal.SIGSTOP)
    try:
        asked = client.post("send", to="@bob", body="two", cmid="c-2") if busy else None
        wait_for(lambda: "the store has not answered" in node.http("/readyz")[2], what="/readyz to say so")
        assert node.http("/healthz")[0] == 200
    finally:
        mariadb.process.send_signal(signal.SIGCONT)
    wait_for(lambda: node.http("/readyz")[0] == 200, what="/readyz to say yes")
    if asked is not None:
        client.frame(asked)     # stored, or that it is not known: what is asked again under its name stands once
    assert client.call("send", to="@bob", body="two", cmid="c-2")["seq"] == 2
    client.close()


def make_certificates(home):
    """An authority, another one, and a server's certificate for localhost by the first."""
    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=home, check=True, capture_output=True)

    home.mkdir()
    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem",
                "-subj", f"/CN={name}", "-days", "2")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (home / "names").write_text("subjectAltName=DNS:localhost")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "server.pem",
            "-days", "2", "-extfile", "names")
    home.chmod(0o755)
    for path in home.iterdir():
        path.chmod(0o644)


def test_tls_is_verified_unless_told_otherwise(confabd):
    port = free_port()
    server = MariaDB("--bind-address=127.0.0.1", f"--port={port}", "--ssl-ca=../tls/ca.pem", "--ssl-cert=../tls/server.pem",
                     "--ssl-key=../tls/server.key")
    tls = server.home / "tls"
    try:
        make_certificates(tls)
        server.start()
        server.run("CREATE DATABASE chat; CREATE USER ann@localhost IDENTIFIED BY 'secret' REQUIRE SSL;"
                   "GRANT ALL ON chat.* TO ann@localhost")
        for host, options, good, word in (
                ("localhost", f"tls=verify&ca={tls}/ca.pem", True, ""),
                ("localhost", f"tls=verify&ca={tls}/other.pem", False, "certificate"),
                ("localhost", "tls=verify", False, "certificate"),
                ("127.0.0.1", f"tls=verify&ca={tls}/ca.pem", False, "TLS"),
                ("127.0.0.1", "tls=on", True, ""),
                ("127.0.0.1", "tls=off", False, "Access denied")):
            url = f"mysql://ann:secret@{host}:{port}/chat?{options}"
            said = check(confabd(config={"store": url}, started=False))
            assert (said.returncode == 0) == good, (url, said.stdout, said.stderr)
            assert word in said.stderr and "secret" not in said.stderr + said.stdout
    finally:
        server.finish()


def test_accounts_from_the_shell_beside_running_nodes(mariadb, place, confabd, transport, tmp_path):
    nodes = [confabd(config={"store": place[1], "node": name, "registration": "closed"}) for name in ("n1", "n2")]

    def shell(*words, stdin=""):
        return run_tool("user", *words, "--store", place[1], "--password-mem-kib", 1024, "--data", tmp_path / "none", stdin=stdin)

    code, said, errors = shell("add", "Ann", "--password-stdin", stdin=PASSWORD + "\n")
    assert code == 0 and said == "ann was added\n", errors
    assert not (tmp_path / "none").exists()
    code, _, errors = shell("add", "ann", "--password-stdin", stdin=PASSWORD + "\n")
    assert code == 1 and "ann is taken" in errors
    for verb in ("passwd", "disable"):
        code, _, errors = shell(verb, "nobody", "--password-stdin", stdin=PASSWORD + "\n")
        assert code == 1 and "there is no user nobody" in errors

    def there(password, synced=True):
        clients = [Client(node.port, transport) for node in nodes]
        for client in clients:
            client.login_as(client.call("login", user="ann", password=password, **({"sync": True} if synced else {})))
        return clients

    first = there(PASSWORD)
    assert shell("passwd", "ann", "--password-stdin", stdin="another passphrase\n")[0] == 0
    for client in first:
        client.gone_away("session_revoked", timeout=20)
        client.close()
    second = there("another passphrase", synced=False)
    probe = Client(nodes[0].port, transport)
    probe.fails("bad_credentials", "login", user="ann", password=PASSWORD)
    for client in first:
        probe.fails("token_invalid", "resume", token=client.token)
    assert shell("disable", "ann")[0] == 0
    for node, client in zip(nodes, second):
        client.gone_away("session_revoked", timeout=20)
        late = Client(node.port, transport)
        late.fails("bad_credentials", "login", user="ann", password="another passphrase")
        late.fails("token_invalid", "resume", token=client.token)
        late.close(), client.close()
    probe.close()


def test_an_account_that_ended_keeps_its_name_from_the_shell_too(mariadb, place, confabd):
    node = confabd(config={"store": place[1]})
    ann = register(node, "ann")
    client = Client(node.port, "tcp")
    client.call("resume", token=ann["token"])
    client.call("account.delete", password=PASSWORD)
    client.close()
    options = ["--store", place[1], "--password-mem-kib", 1024, "--password-stdin"]
    code, _, errors = run_tool("user", "add", "ann", *options, stdin=PASSWORD + "\n")
    assert code == 1 and "ann is taken" in errors
    for verb in ("passwd", "disable"):
        code, _, errors = run_tool("user", verb, "ann", *options, stdin=PASSWORD + "\n")
        assert code == 1 and "there is no user ann" in errors


def test_backup_names_the_tool_that_does_it(mariadb, place, tmp_path):
    url = place[1].replace("root@", "root:hush-hush@")
    code, said, errors = run_tool("backup", tmp_path / "copy", "--store", url, "--data", tmp_path / "none")
    assert code == 1 and "mariadb-dump --single-transaction" in errors and "docs/operate.md" in errors
    assert "hush" not in said + errors and list(tmp_path.iterdir()) == []


def documented_dump():
    """The line of the manual that makes a backup."""
    lines = [line for line in (TOP / "docs/operate.md").read_text().splitlines() if line.startswith("(mariadb-dump ")]
    assert len(lines) == 1
    return lines[0]


def test_a_database_is_backed_up_and_restored_as_documented(mariadb, place, confabd, tmp_path):
    node = confabd(config={"store": place[1]})
    ann = register(node, "ann")
    register(node, "bob")
    client = Client(node.port, "tcp")
    client.login_as(client.call("resume", token=ann["token"]))
    cid = client.call("send", to="@bob", body="kept \U0001f600", cmid="c-1")["cid"]
    grants = re.search(r"^GRANT (.*) ON confab\.\*", (TOP / "docs/operate.md").read_text(), re.M)[1]
    mariadb.run(f"CREATE OR REPLACE USER keeper@localhost IDENTIFIED BY ''; GRANT {grants} ON *.* TO keeper@localhost")
    options = f"--no-defaults --socket={mariadb.socket} --user=keeper"
    dump = documented_dump().replace("mariadb-dump ", f"mariadb-dump {options} ").replace(" confab;", f" {place[0]};")
    subprocess.run(["bash", "-ec", dump], cwd=tmp_path, check=True, timeout=60)     # while the node runs
    client.call("send", to="@bob", body="lost", cmid="c-2")
    lost = client.call("group.create", title="lost")["cid"]
    client.close()
    node.stop()
    name, url = mariadb.database()
    subprocess.run(["bash", "-ec", f"mariadb {options} {name} < confab.sql"], cwd=tmp_path, check=True, timeout=60)
    mariadb.run("DROP USER keeper@localhost")
    node.write_config(store=url)
    node.start()
    client = Client(node.port, "tcp")
    listed = client.call("resume", token=ann["token"], sync={"epoch": ann["epoch"], "cursors": {str(cid): 2}})
    assert listed["reset"] and listed["epoch"] != ann["epoch"]
    assert [(view["cid"], view["head"]) for view in listed["conversations"]] == [(cid, 1)]
    assert client.call("history", cid=cid)["messages"][0]["body"] == "kept \U0001f600"
    assert client.call("send", to="@bob", body="kept \U0001f600", cmid="c-1")["dup"]
    assert client.call("send", to="@bob", body="lost", cmid="c-2")["seq"] == 2
    assert client.call("group.create", title="new")["cid"] > lost + 1000
    client.close()
