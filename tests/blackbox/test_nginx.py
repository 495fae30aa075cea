# SPDX-License-Identifier: MIT
"""Through nginx, with the configuration that is shipped."""

import ssl
import subprocess
import urllib.request

import pytest

from lib.fixtures import PASSWORD, new_name
from lib.nginx import BINARY, SHIPPED, Nginx
from lib.server import Server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    home = tmp_path_factory.mktemp("certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", home / "tls.key", "-out", home / "tls.crt", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    return home / "tls.crt", home / "tls.key"


@pytest.fixture(scope="module")
def node(tmp_path_factory, certificate):
    server = Server(tmp_path_factory.mktemp("node"), listen=["127.0.0.1:0", "127.0.0.1:0,proxy"],
                    config={"tls_cert": certificate[0], "tls_key": certificate[1]}).start()
    yield server
    server.finish()


@pytest.fixture
def nginx(tmp_path, node, certificate):
    assert BINARY, "nginx is missing"
    # A node that is not there is passed over.
    nginx = Nginx(tmp_path / "nginx", [node.port_of(1), 1], certificate).start()
    yield nginx
    nginx.stop()


def trust(certificate):
    return ssl.create_default_context(cafile=str(certificate[0]))


def talk(connect, node, transport, **options):
    """Two people by way of nginx; returns the first."""
    alice, bob = (connect(node, transport, **options) for _ in range(2))
    for client, name in ((alice, new_name("alice")), (bob, new_name("bob"))):
        client.login_as(client.call("register", user=name, password=PASSWORD, sync=True))
    alice.send("@" + bob.name, "through nginx")
    assert bob.message()["body"] == "through nginx"
    return alice


def test_lines_and_websocket(nginx, node, connect, transport):
    alice = talk(connect, node, transport, port=nginx.port)
    assert alice.call("session.list")["sessions"][0]["ip"] == "127.0.0.1"


def test_tls_passes_through(nginx, node, connect, transport, certificate):
    talk(connect, node, transport, port=nginx.port, tls=trust(certificate))


def test_tls_ends_at_nginx(nginx, node, connect, transport, certificate):
    talk(connect, node, transport, port=nginx.tls_port, tls=trust(certificate))


def test_http(nginx):
    with urllib.request.urlopen(f"http://127.0.0.1:{nginx.port}/readyz") as answer:
        assert answer.status == 200


def test_a_reload_ends_no_connection(nginx, node, connect, transport):
    alice = talk(connect, node, transport, port=nginx.port)
    for _ in range(3):
        nginx.reload()
    assert alice.call("ping")["ts"] > 0
    talk(connect, node, transport, port=nginx.port)


def test_killed_it_costs_a_reconnect(nginx, node, connect, transport):
    alice = connect(node, transport, port=nginx.port)
    alice.login_as(alice.call("register", user=new_name("alice"), password=PASSWORD, sync=True))
    bob = connect(node, transport)
    bob.login_as(bob.call("register", user=new_name("bob"), password=PASSWORD, sync=True))
    first = bob.send("@" + alice.name, "before")
    alice.message(seq=first["seq"])
    nginx.kill9()
    alice.wait_closed()
    bob.send("@" + alice.name, "meanwhile")
    nginx.start()
    back = connect(node, transport, port=nginx.port)
    got = back.call("resume", token=alice.token,
                    sync={"epoch": alice.epoch, "cursors": {str(first["cid"]): first["seq"]}})
    assert [c["next"] for c in got["conversations"]] == [first["seq"] + 1]
    assert back.message()["body"] == "meanwhile"


def test_the_shipped_file_is_sound_as_it_is(tmp_path):
    """Only what a test machine lacks is replaced: the certificate is commented out, the log's place is not there."""
    text = SHIPPED.read_text()
    (tmp_path / "nginx.conf").write_text(text.replace("/run/nginx.pid", str(tmp_path / "pid"))
                                         .replace("/var/log/nginx/error.log", str(tmp_path / "log")))
    done = subprocess.run([BINARY, "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf"], capture_output=True, text=True)
    assert done.returncode == 0 and "test is successful" in done.stderr, done.stderr
