"""HTTP on the same port, and the rules of the upgrade."""

import re
import socket

import pytest

from lib.client import Client
from lib.raw import Plain, Raw, ws_text
from lib.server import Metrics, wait_for


@pytest.fixture
def plain(server):
    made = []

    def connect(port=None):
        made.append(Plain(port or server.port))
        return made[-1]

    yield connect
    for one in made:
        one.close()


def ask(connection, text):
    """Sends a request by hand; gives (status, headers, body)."""
    connection.write(text.replace("\n", "\r\n").encode())
    return take(connection, head=text.startswith("HEAD"))


def take(connection, head=False):
    status, headers = connection.read_head()
    size = int(headers.get("content-length", 0))
    if not head:
        while len(connection.buffer) < size:
            assert connection.read_some()
        body, connection.buffer = connection.buffer[:size], connection.buffer[size:]
    else:
        body = b""
    return status, headers, body.decode()


# --- Pages ---

def test_health(server):
    assert server.http("/healthz")[0] == 200
    status, _, body = server.http("/readyz")
    assert status == 200, body
    assert server.http("/healthz?probe=1")[0] == 200


def test_front_page_says_how_to_connect(server):
    status, headers, body = server.http("/")
    assert status == 200 and len(body) > 50
    assert headers["content-type"].startswith("text/")


@pytest.mark.parametrize("path", ["/nope", "/healthzz", "/ws/x", "/api/v1/nope", "/%2e%2e/etc/passwd", "/../etc/passwd", "//", "/WS",
                                  "/" + "x" * 1000])
def test_unknown_paths(server, path):
    assert server.http(path)[0] in (404, 400)
    assert server.http("/nope")[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods(server, method):
    for path in ("/healthz", "/", "/metrics", "/ws"):
        status, headers, _ = server.http(path, method=method, body="" if method in ("POST", "PUT") else None)
        assert status in (404, 405, 501, 400), (method, path, status)
        if status == 405:
            assert "GET" in headers["allow"]
    assert server.http("/nope", method="POST", body="x" * 1000)[0] in (404, 405)


def test_head(server, plain):
    for path in ("/", "/healthz", "/nope"):
        connection = plain()
        status, _, _ = ask(connection, f"HEAD {path} HTTP/1.1\nHost: x\nConnection: close\n\n")
        assert status == server.http(path)[0]
        while connection.read_some():
            pass
        assert connection.buffer == b"", "no body"


def test_metrics(server, user):
    alice, bob = user("alice"), user("bob")
    before = server.metrics()
    for i in range(10):
        alice.send("@" + bob.name, "x", cmid=f"c{i}")
    alice.send("@" + bob.name, "x", cmid="c0")
    bob.messages(10)
    alice.fails("not_found", "send", to="@no-such-user", body="x")
    _, headers, text = server.http("/metrics")
    assert headers["content-type"].startswith("text/plain")
    after = Metrics.parse(text)

    def grew(name, **labels):
        return after.total(name, **labels) - before.total(name, **labels)

    assert grew("confab_messages_received_total") == 10
    assert grew("confab_messages_duplicate_total") == 1
    assert grew("confab_messages_delivered_total") >= 20
    assert grew("confab_store_appends_total") == 10
    assert 1 <= grew("confab_store_batches_total") <= grew("confab_store_batch_operations_total")
    assert after.total("confab_connections") >= 3 and after.total("confab_sessions") >= 2
    for (name, labels) in after:
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        kind = after.types.get(name) or after.types.get(base)
        assert kind in ("counter", "gauge", "histogram"), f"{name} has no TYPE"
        assert name in after.helps or base in after.helps, f"{name} has no HELP"
        assert name.startswith(("confab_", "process_"))
    for name in [n for n, kind in after.types.items() if kind == "histogram"]:
        buckets = sorted((float(dict(labels)["le"].replace("+Inf", "inf")), v) for (n, labels), v in after.items()
                         if n == name + "_bucket")
        assert buckets[-1][0] == float("inf") and buckets[-1][1] == after.total(name + "_count")
        assert [v for _, v in buckets] == sorted(v for _, v in buckets)
        assert after.total(name + "_sum") >= 0
    assert after.total("confab_store_commit_seconds_count") > 0


def test_errors_are_counted_by_name(server, user):
    alice = user("alice")
    count = lambda: server.metrics().total("confab_errors_total", name="not_found")  # noqa: E731
    before = count()
    for _ in range(3):
        alice.fails("not_found", "send", to="@no-such-user", body="x")
    assert count() - before >= 3


# --- The parser ---

def test_keep_alive_and_pipelining(plain):
    connection = plain()
    for _ in range(3):
        assert ask(connection, "GET /healthz HTTP/1.1\nHost: x\n\n")[0] == 200
    connection.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /nope HTTP/1.1\r\nHost: x\r\n\r\n"
                     b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert [take(connection)[0] for _ in range(3)] == [200, 404, 200]
    assert not connection.read_some()


def test_http_1_0_closes(plain):
    connection = plain()
    assert ask(connection, "GET /healthz HTTP/1.0\n\n")[0] == 200
    assert not connection.read_some()


def test_byte_by_byte(plain):
    connection = plain()
    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
        connection.write(bytes([byte]))
    assert take(connection)[0] == 200


@pytest.mark.parametrize("text", [
    "GET /healthz\r\n\r\n", "GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n", "GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /healthz HTTP/1.1\r\nHost x\r\n\r\n", "GET /healthz HTTP/1.1\r\n: x\r\n\r\n", "GET /heal\0thz HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n", "GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n",
    "GET /healthz HTTP/1.1\r\n Host: x\r\n\r\n", "GET healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /nope HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "POST /nope HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "POST /nope HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n",
    "POST /nope HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /nope HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n"],
    ids=lambda text: None)
def test_malformed_requests(server, plain, text):
    connection = plain()
    connection.write(text.encode())
    try:
        status = take(connection)[0]
        assert 400 <= status < 600 and status not in (401, 403), status
        while connection.read_some():
            pass
        assert connection.buffer == b"", "after a malformed request nothing else is served"
    except (AssertionError, ConnectionResetError) as error:
        assert isinstance(error, ConnectionResetError) or "ended within the head" in str(error), error
    assert server.http("/healthz")[0] == 200


@pytest.mark.parametrize("text", [b"GET /" + b"x" * 100_000, b"GET / HTTP/1.1\r\nX: " + b"y" * 200_000,
                                  b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000, b"GET " * 50_000],
                         ids=["target", "header", "headers", "words"])
def test_endless_heads_are_refused(server, plain, text):
    connection = plain()
    try:
        connection.write(text + b"\r\n\r\n")
        status = take(connection)[0]
        assert status in (400, 404, 413, 414, 431)
    except (ConnectionError, AssertionError) as error:
        assert isinstance(error, ConnectionError) or "ended within" in str(error)
    assert server.http("/healthz")[0] == 200


def test_a_post_to_nowhere_with_a_body_does_not_confuse_what_follows(plain):
    connection = plain()
    body = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    connection.write(f"POST /nope HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}"
                     "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    status, _, _ = take(connection)
    assert status in (404, 405, 413)
    try:
        status, _, text = take(connection)
        assert status == 200 and "confab_" not in text
    except (AssertionError, ConnectionError) as error:
        assert isinstance(error, ConnectionError) or "ended within the head" in str(error), error


# --- The upgrade ---

def test_upgrade(plain):
    connection = plain()
    status, headers = connection.upgrade()
    assert status == 101 and "sec-websocket-protocol" not in headers and "sec-websocket-extensions" not in headers
    assert connection.call("ping")["ts"]


@pytest.mark.parametrize("offer,chosen", [("confab.v1", "confab.v1"), ("chat, confab.v1", "confab.v1"),
                                          ("confab.v1,soap", "confab.v1")])
def test_subprotocol(plain, offer, chosen):
    connection = plain()
    status, headers = connection.upgrade([f"Sec-WebSocket-Protocol: {offer}"])
    assert status == 101 and headers["sec-websocket-protocol"] == chosen
    connection.call("ping")


@pytest.mark.parametrize("offer", ["chat", "confab.v2, soap", "confab.v1x", "CONFAB.V1"])
def test_who_offers_other_subprotocols_only_gets_none_of_them(plain, offer):
    connection = plain()
    status, headers = connection.upgrade([f"Sec-WebSocket-Protocol: {offer}"])
    assert status == 400 or (status == 101 and "sec-websocket-protocol" not in headers)


@pytest.mark.parametrize("origin,fine", [
    ("http://localhost", True), ("http://LOCALHOST", True), ("https://localhost", True), ("http://evil.example", False),
    ("http://localhost.evil.example", False), ("null", False), ("http://evil.example/localhost", False),
    ("http://localhost@evil.example", False), ("", False)])
def test_origin(plain, origin, fine):
    """The Host of these requests is localhost."""
    connection = plain()
    status, _ = connection.upgrade([f"Origin: {origin}"])
    if fine:
        assert status == 101
    else:
        assert status == 403 or (origin == "" and status in (400, 101)), status


def test_configured_origins(confabd):
    server = confabd(config={"origins": "https://chat.example.org"})
    for origin, due in (("https://chat.example.org", 101), ("http://chat.example.org", 403), ("https://chat.example.com", 403),
                        ("https://chat.example.org.evil.com", 403)):
        with Plain(server.port) as connection:
            assert connection.upgrade([f"Origin: {origin}"])[0] == due, origin


def upgrade_lines(**changes):
    lines = {"Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade",
             "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
    for name, value in changes.items():
        lines[name.replace("_", "-")] = value
    return "".join(f"{name}: {value}\n" for name, value in lines.items() if value is not None)


@pytest.mark.parametrize("changes", [
    {"Sec_WebSocket_Key": None}, {"Sec_WebSocket_Key": "short"}, {"Sec_WebSocket_Key": "!" * 24}, {"Upgrade": None},
    {"Upgrade": "h2c"}, {"Connection": "close"}, {"Connection": None}, {"Sec_WebSocket_Version": None}])
def test_upgrades_that_are_none(plain, changes):
    connection = plain()
    status = ask(connection, "GET /ws HTTP/1.1\n" + upgrade_lines(**changes) + "\n")[0]
    assert status in (400, 404, 426), status


@pytest.mark.parametrize("version", ["8", "12", "14", "0"])
def test_other_versions_are_told_ours(plain, version):
    connection = plain()
    status, headers, _ = ask(connection, "GET /ws HTTP/1.1\n" + upgrade_lines(Sec_WebSocket_Version=version) + "\n")
    assert status in (400, 426) and headers["sec-websocket-version"] == "13"


def test_upgrade_of_another_path_or_method(plain):
    assert ask(plain(), "GET /nope HTTP/1.1\n" + upgrade_lines() + "\n")[0] == 404
    assert ask(plain(), "POST /ws HTTP/1.1\n" + upgrade_lines(Content_Length="0") + "\n")[0] in (400, 404, 405)
    assert ask(plain(), "GET /ws HTTP/1.0\n" + upgrade_lines() + "\n")[0] in (400, 426, 505)


def test_upgrade_in_any_spelling(plain):
    connection = plain()
    status, headers, _ = ask(connection, "GET /ws?x=1 HTTP/1.1\nhost: localhost\nUPGRADE: WebSocket\n"
                             "connection: keep-alive,   UPGRADE\nsec-websocket-key:dGhlIHNhbXBsZSBub25jZQ==\n"
                             "SEC-WEBSOCKET-VERSION: 13  \n\n")
    assert status == 101
    assert headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    connection.call("ping")


def test_frames_in_the_packet_of_the_upgrade(plain):
    """What follows the head at once is not lost."""
    connection = plain()
    connection.write(b"GET /ws HTTP/1.1\r\n" + upgrade_lines().replace("\n", "\r\n").encode() + b"\r\n"
                     + ws_text('{"id":1,"method":"ping"}'))
    assert connection.read_head()[0] == 101
    assert connection.answer(1)["result"]


# --- One port for everything ---

def test_first_bytes_decide(server):
    for first in (b'{"id":1,"method":"ping"}\n', b' \t\r\n {"id":1,"method":"ping"}\n', b'\n\n{"id":1,"method":"ping"}\n',
                  b'{"id":1,"method":"ping"}\r\n'):
        with Raw(server.port, first=first) as connection:
            assert connection.answer(1)["result"]["ts"]
    with Raw(server.port, first=b"what is this?\n") as connection:
        assert connection.next()["error"]["data"]["name"] == "parse_error"
        connection.call("ping")
    for first in (b"CAP LS 302\r\nNICK x\r\n", b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", b"USER x\r\n", b"PASS x\r\n"):
        with Raw(server.port, first=first) as connection:
            connection.socket.shutdown(socket.SHUT_WR)
            connection.socket.settimeout(20)
            try:
                while connection.read_some():
                    pass
            except ConnectionResetError:
                pass
    with Raw(server.port, first=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") as connection:
        try:
            while connection.read_some():
                pass
        except ConnectionResetError:
            pass
    assert server.http("/healthz")[0] == 200


def test_first_bytes_one_at_a_time(server):
    with Raw(server.port) as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b'  {"id":1,"method":"ping"}\r\n':
            connection.write(bytes([byte]))
        assert connection.answer(1)["result"]


def test_a_connection_count_comes_back(server):
    before = server.metrics().total("confab_connections")
    clients = [Client(server.port, t) for t in ("tcp", "ws") * 5]
    assert server.metrics().total("confab_connections") >= before + 10
    assert server.metrics().total("confab_connections_websocket") >= 5
    for client in clients:
        client.close()
    wait_for(lambda: server.metrics().total("confab_connections") <= before, 10, "the connections to be gone")
