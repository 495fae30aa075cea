"""PROXY protocol on a listener that is declared so."""

import socket
import struct

import pytest

from lib.fixtures import PASSWORD, new_name
from lib.raw import RAWS, Plain, Raw
from lib.server import Server

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v1(source="203.0.113.7", family="TCP4", target="192.0.2.1"):
    return f"PROXY {family} {source} {target} 51234 7000\r\n".encode()


def v2(source="203.0.113.7", command=1, tlv=b"", version=2):
    if ":" in source:
        body = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
        family = 0x21
    else:
        body = socket.inet_aton(source) + socket.inet_aton("192.0.2.1")
        family = 0x11
    body += struct.pack(">HH", 51234, 7000) + tlv
    return SIGNATURE + bytes([version << 4 | command, family]) + struct.pack(">H", len(body)) + body


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("proxied"), listen=["127.0.0.1:0", "127.0.0.1:0,proxy"]).start()
    yield server
    server.finish()


def ip_of(client):
    client.call("register", user=new_name("proxied"), password=PASSWORD)
    return client.call("session.list")["sessions"][0]["ip"]


@pytest.mark.parametrize("kind", ["tcp", "ws"])
@pytest.mark.parametrize("header,due", [
    (v1(), "203.0.113.7"), (v1("2001:db8::7", "TCP6", "2001:db8::1"), "2001:db8::7"), (v2(), "203.0.113.7"),
    (v2("2001:db8::7"), "2001:db8::7"), (v2(tlv=b"\x04\x00\x05hello"), "203.0.113.7"), (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "127.0.0.1"), (v2(command=0), "127.0.0.1"),
    (SIGNATURE + b"\x20\x00\x00\x00", "127.0.0.1")],
    ids=["v1-4", "v1-6", "v2-4", "v2-6", "v2-tlv", "v1-unknown", "v1-unknown-long", "v2-local", "v2-local-empty"])
def test_the_address_is_the_one_of_the_header(proxied, kind, header, due):
    with RAWS[kind](proxied.port_of(1), first=header) as client:
        assert ip_of(client) == due


@pytest.mark.parametrize("header", [v1(), v2(), v2("2001:db8::7")], ids=["v1", "v2-4", "v2-6"])
def test_header_byte_by_byte(proxied, header):
    with Raw(proxied.port_of(1)) as client:
        for byte in header + b'{"id":1,"method":"ping"}\n':
            client.write(bytes([byte]))
        assert client.answer(1)["result"]


@pytest.mark.parametrize("first", [
    b'{"id":1,"method":"ping"}\n', b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n", b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", b"PROXY " + b"x" * 200 + b"\r\n",
    v2(version=3), v2(command=5), SIGNATURE + b"\x21\x11\x00\x04abcd", SIGNATURE + b"\x21\x11\xff\xff" + b"x" * 70000,
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n" + b"x" * 120, b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n"], ids=lambda b: b[:14].hex())
def test_without_a_proper_header_nothing_is_answered(proxied, first):
    with Raw(proxied.port_of(1)) as client:
        try:
            client.write(first + b'{"id":1,"method":"ping"}\n')
            while client.read_some():
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert client.buffer == b""


@pytest.mark.parametrize("header", [v1(), v2()], ids=["v1", "v2"])
def test_elsewhere_it_is_a_protocol_error(proxied, header):
    with Raw(proxied.port_of(0)) as client:
        client.write(header + b'{"id":1,"method":"ping"}\n')
        client.socket.shutdown(socket.SHUT_WR)
        frames = client.at_end()
        assert all("error" in f and f["error"]["data"]["name"] == "parse_error" for f in frames if f.get("id") != 1), frames
    with Plain(proxied.port_of(0)) as client:
        client.write(v1() + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        try:
            while client.read_some():
                pass
        except ConnectionResetError:
            pass
        assert b"200 OK" not in client.buffer


def test_only_configured_addresses_may_say_it(confabd):
    server = confabd(listen=["127.0.0.1:0,proxy"], config={"proxies": "192.0.2.0/24 2001:db8::/32"})
    for header in (v1(), v2()):
        with Raw(server.port) as client:
            try:
                client.write(header + b'{"id":1,"method":"ping"}\n')
                while client.read_some():
                    pass
            except (ConnectionResetError, BrokenPipeError):
                pass
            assert client.buffer == b""


def test_metrics_are_for_this_machine_and_monitors(confabd):
    server = confabd(listen=["127.0.0.1:0", "127.0.0.1:0,proxy"], config={"monitors": "198.51.100.0/24"})

    def get(path, source):
        with Plain(server.port_of(1), first=v1(source)) as client:
            client.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            status, _ = client.read_head()
            while client.read_some():
                pass
            return status, client.buffer.decode()

    for source, due in (("203.0.113.7", 403), ("198.51.100.9", 200), ("127.0.0.1", 200), ("198.51.101.9", 403)):
        status, text = get("/metrics", source)
        assert status == due and ("confab_" in text) == (due == 200), source
        assert get("/healthz", source)[0] == 200
        assert get("/readyz", source)[0] == 200


def test_a_header_that_never_ends_meets_the_deadline(confabd):
    server = confabd(listen=["127.0.0.1:0,proxy"], config={"login_ms": 700})
    with Raw(server.port, first=b"PROXY TCP4 1.2") as client:
        assert not client.read_some()
