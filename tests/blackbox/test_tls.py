"""TLS on the same port, for lines, WebSocket and HTTP; and listeners that demand it."""

import http.client
import socket
import ssl
import subprocess

import pytest

from lib.fixtures import PASSWORD, new_name
from lib.raw import Raw, RawWs
from lib.server import run_tool


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    home = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", home / "key.pem", "-out", home / "cert.pem"], check=True, capture_output=True)
    context = ssl.create_default_context(cafile=home / "cert.pem")
    return {"tls_cert": home / "cert.pem", "tls_key": home / "key.pem"}, context


@pytest.fixture
def secure(confabd, certificate):
    files, context = certificate
    server = confabd(config=files, listen=["127.0.0.1:0", "127.0.0.1:0,tls"])
    server.context = context
    return server


def test_chat_over_tls(secure, dial):
    alice = dial(secure, tls=secure.context)
    alice.login_as(alice.call("register", user="alice", password=PASSWORD, sync=True))
    bob = dial(secure, tls=secure.context, port=secure.port_of(1))
    bob.login_as(bob.call("register", user="bob", password=PASSWORD, sync=True))
    carol = dial(secure)
    carol.login_as(carol.call("register", user="carol", password=PASSWORD, sync=True))
    alice.send("@bob", "over TLS")
    assert bob.message()["body"] == "over TLS"
    carol.send("@bob", "in the clear")
    assert bob.message()["body"] == "in the clear"
    big = "ü" * 8000
    ids = alice.post_all([("send", {"to": "@bob", "body": f"{i} {big}"}) for i in range(100)])
    assert [alice.answer(i)["seq"] for i in ids] == list(range(2, 102))
    cid = alice.message()["cid"]
    for client in (alice, bob):
        client.until_head(cid, 101)


def test_https(secure):
    for port in (secure.port, secure.port_of(1)):
        connection = http.client.HTTPSConnection("localhost", port, context=secure.context, timeout=15)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()


def test_a_listener_that_demands_tls(secure, dial):
    """Without TLS register, login and resume answer forbidden, or the connection is refused at once."""
    client = Raw(secure.port_of(1))
    client.write(b'{"id":1,"method":"register","params":{"user":"eve","password":"' + PASSWORD.encode() + b'"}}\n')
    frame = client.next()
    assert frame is None or frame["error"]["data"]["name"] == "forbidden", frame
    client.close()
    for method, params in (("login", {"user": "eve", "password": PASSWORD}), ("resume", {"token": "x" * 43})):
        with Raw(secure.port_of(1)) as client:
            client.post(method, params)
            frame = client.next()
            assert frame is None or frame["error"]["data"]["name"] == "forbidden", frame
    inside = dial(secure, tls=secure.context, port=secure.port_of(1))
    inside.call("register", user="eve", password=PASSWORD)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions(secure, certificate, version):
    context = ssl.create_default_context(cafile=certificate[0]["tls_cert"])
    context.minimum_version = context.maximum_version = version
    for kind in (Raw, RawWs):
        with kind(secure.port, tls=context) as client:
            client.call("ping")
            assert client.socket.version() == version.name.replace("_", ".")


def test_old_versions_are_refused(secure):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Raw(secure.port, tls=context)
    assert secure.http("/healthz")[0] == 200


def test_broken_handshakes_hurt_nobody(secure):
    for junk in (b"\x16", b"\x16\x03\x01", b"\x16\x03\x01\xff\xff" + b"x" * 5000, b"\x16" + b"\0" * 2000):
        with Raw(secure.port, first=junk) as client:
            client.socket.shutdown(socket.SHUT_WR)
            try:
                while client.read_some():
                    pass
            except ConnectionResetError:
                pass
    with Raw(secure.port, tls=secure.context) as client:
        client.call("ping")


def test_tls_inside_tls_is_not_taken(secure):
    with Raw(secure.port, tls=secure.context) as client:
        client.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100)
        try:
            while client.read_some():
                pass
        except (ConnectionResetError, ssl.SSLError, TimeoutError):
            pass
    assert secure.http("/healthz")[0] == 200


def test_byte_by_byte_within_tls(secure):
    with Raw(secure.port, tls=secure.context) as client:
        for byte in b'{"id":1,"method":"ping"}\n':
            client.write(bytes([byte]))
        assert client.answer(1)["result"]


def test_the_end_of_tls_is_told(secure):
    """close_notify, so that a cut connection can be told from a finished one."""
    with Raw(secure.port, tls=secure.context) as client:
        client.call("register", user=new_name(), password=PASSWORD)
        client.post("logout")
        assert "result" in client.answer()
        assert client.at_end() == []    # an SSLEOFError would be raised without it


def test_bad_certificates_are_named(certificate, tmp_path):
    files, _ = certificate
    config = tmp_path / "c.conf"
    config.write_text(f"tls_cert = {tmp_path}/nope.pem\ntls_key = {files['tls_key']}\n")
    code, _, errors = run_tool("--check", config=config, data=tmp_path / "data")
    assert code != 0 and "nope.pem" in errors
    config.write_text(f"tls_cert = {files['tls_key']}\ntls_key = {files['tls_key']}\n")
    code, _, errors = run_tool("--check", config=config, data=tmp_path / "data")
    assert code != 0 and "key.pem" in errors


def test_a_tls_listener_without_certificate(tmp_path):
    code, _, errors = run_tool("--check", "--listen", "127.0.0.1:0,tls", data=tmp_path / "data")
    assert code != 0 and "tls_cert" in errors


def test_slow_reader_over_tls(secure, dial):
    """Answers that pile up behind a reader that pauses come whole, in order."""
    with Raw(secure.port, tls=secure.context, receive_buffer=4096) as client:
        client.call("register", user="slow", password=PASSWORD)
        other = dial(secure)
        other.login_as(other.call("register", user="fast", password=PASSWORD))
        for number in other.post_all([("send", {"to": "@slow", "body": "x" * 2000}) for _ in range(100)]):
            other.answer(number)
        ids = [client.post("history", cid="@fast", limit=100) for _ in range(20)]
        seen = set()
        for _ in ids:
            frame = client.answer()
            seen.add(frame["id"])
            assert [m["seq"] for m in frame["result"]["messages"]][-1] == 100
        assert seen == set(ids)
