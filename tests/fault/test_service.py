"""confabd as a service: readiness, inherited sockets, renewed certificates, the scripts, the release build."""

import contextlib
import os
import pathlib
import re
import select
import shutil
import socket
import ssl
import subprocess

import pytest

from lib.server import CONFABD, CONFABD_RELEASE, TIED, TOP, sanitizer_environment, wait_for


def register_and_leave(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
        one.sendall(b'{"id":1,"method":"hello"}\n')
        assert b'"protocol":1' in one.recv(65536)


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(20)
        self.socket.bind(path)
        self.name = name

    def expect(self, word):
        text = self.socket.recv(4096).decode()
        assert word in text.split("\n"), text
        return text


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path):
    name = str(tmp_path / "notify") if request.param == "path" else f"@confab-test-{os.getpid()}"
    one = Systemd(name.replace("@", "\0", 1), name)
    yield one
    one.socket.close()


def test_systemd_is_told(confabd, systemd):
    server = confabd(env={"NOTIFY_SOCKET": systemd.name})
    systemd.expect("READY=1")
    server.hang_up()
    assert re.search(r"^MONOTONIC_USEC=\d+$", systemd.expect("RELOADING=1"), re.M)
    systemd.expect("READY=1")
    server.config_file.write_text("nonsense\n")
    server.hang_up()
    systemd.expect("RELOADING=1")
    systemd.expect("READY=1")
    server.terminate()
    systemd.expect("STOPPING=1")
    assert server.wait() == 0


@contextlib.contextmanager
def inheriting(tmp_path, sockets, *options, pid="$$"):
    """confabd with these sockets as descriptors 3, 4, …, as systemd hands them over."""
    source = [os.dup(one.fileno()) for one in sockets]
    script = "".join(f" {3 + i}<&{fd}" for i, fd in enumerate(source))
    shell = f'LISTEN_PID={pid} LISTEN_FDS={len(sockets)} exec "$0" "$@"{script}'
    process = subprocess.Popen(
        [*TIED, "bash", "-c", shell, CONFABD, "--data", str(tmp_path / "data"), "--password-mem-kib", "1024", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=source, env=sanitizer_environment())
    for fd in source:
        os.close(fd)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        _, errors = process.communicate(timeout=30)
        assert "Sanitizer" not in errors, errors


def listening(address="127.0.0.1"):
    one = socket.socket()
    one.bind((address, 0))
    one.listen()
    return one


def ready_line(process):
    assert select.select([process.stdout], [], [], 30)[0], "not ready within 30 s"
    return process.stdout.readline()


def test_inherited_sockets_stand_for_the_addresses(tmp_path):
    first, second = listening(), listening()
    ports = [one.getsockname()[1] for one in (first, second)]
    with inheriting(tmp_path, [first, second], "--listen", "127.0.0.1:1") as process:
        line = ready_line(process)
        assert line == f"ready listen=127.0.0.1:{ports[0]} listen=127.0.0.1:{ports[1]} node=n1\n"
        for port in ports:
            register_and_leave(port)
    assert process.returncode == 0
    for one in (first, second):
        one.close()


def test_inherited_sockets_of_another_process_are_left_alone(tmp_path):
    with inheriting(tmp_path, [listening()], "--listen", "127.0.0.1:0", pid="1") as process:
        line = ready_line(process)
        assert line.count("listen=") == 1
        register_and_leave(int(re.search(r":(\d+) node", line)[1]))
    assert process.returncode == 0


def test_an_inherited_socket_beyond_loopback_must_be_allowed_too(tmp_path):
    with listening("0.0.0.0") as one:
        with inheriting(tmp_path, [one]) as process:
            assert process.wait(30) == 1
            assert "allow_plain" in process.stderr.read()
        with inheriting(tmp_path, [one], "--allow-plain") as process:
            assert ready_line(process).startswith("ready ")


def make_certificate(home, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "30", "-subj", f"/CN={name}", "-keyout", home / "key.pem", "-out", home / "cert.pem"],
                   check=True, capture_output=True)


def test_a_renewed_certificate_is_taken_over(confabd, tmp_path):
    make_certificate(tmp_path, "before")
    server = confabd(config={"tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem"})
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def certificate():
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
            with context.wrap_socket(plain) as one:
                return one.getpeercert(binary_form=True)

    first = certificate()
    old = context.wrap_socket(socket.create_connection(("127.0.0.1", server.port), timeout=10))
    make_certificate(tmp_path, "after")
    server.hang_up()
    wait_for(lambda: certificate() != first, 10, "the renewed certificate")
    old.sendall(b'{"id":1,"method":"ping"}\n')
    assert b'"ts"' in old.recv(4096), "connections that are there stay"
    second = certificate()
    (tmp_path / "key.pem").write_text("no key at all")
    server.hang_up()
    server.wait_log("reload_refused")
    assert certificate() == second
    old.close()


def test_scripts_start_stop_restart(tmp_path):
    data = tmp_path / "data"
    env = {**sanitizer_environment(), "CONFABD": CONFABD}
    options = ["--data", str(data), "--listen", "127.0.0.1:0", "--password-mem-kib", "1024"]

    def script(name, *more):
        return subprocess.run([str(TOP / "scripts" / name), *options, *more], env=env, capture_output=True, text=True,
                              timeout=60)

    def pid():
        return int((data / "confabd.lock").read_text())

    try:
        started = script("start")
        assert started.returncode == 0 and started.stdout.startswith("ready listen="), started
        first = pid()
        again = script("start")
        assert again.returncode == 1 and str(first) in again.stderr
        wrong = script("restart", "--workers", "none")
        assert wrong.returncode != 0 and "workers" in wrong.stderr
        os.kill(first, 0)
        restarted = script("restart")
        assert restarted.returncode == 0 and pid() == first, restarted
    finally:
        stopped = script("stop")
    assert stopped.returncode == 0 and "has ended" in stopped.stdout
    assert script("stop").returncode == 0, "stopping what does not run is fine"
    assert "Sanitizer" not in (data / "confabd.log").read_text()


def test_the_release_is_hardened():
    assert shutil.which("readelf"), "binutils are missing"
    said = subprocess.run(["readelf", "-W", "-h", "-l", "-d", CONFABD_RELEASE], capture_output=True, text=True,
                          check=True).stdout
    assert re.search(r"Type:\s+DYN", said) and "PIE" in said
    assert "GNU_RELRO" in said and "BIND_NOW" in said
    assert re.search(r"GNU_STACK.* RW +0x", said), "the stack is not executable"
    symbols = subprocess.run(["readelf", "-W", "--dyn-syms", CONFABD_RELEASE], capture_output=True, text=True,
                             check=True).stdout
    assert "__stack_chk_fail" in symbols and re.search(r"__\w+_chk\b", symbols)
    needed = set(re.findall(r"NEEDED.*\[(.+?)\.so", said))
    needed = {name for name in needed if not name.startswith("ld-linux")}
    assert needed <= {"libsodium", "libsqlite3", "libmariadb", "libhiredis", "libssl", "libcrypto",
                      "libutf8proc", "libc", "libm"}, needed


def test_version_and_help_tell_what_this_build_has():
    def tool(option):
        return subprocess.run([CONFABD, option], capture_output=True, text=True, env=sanitizer_environment(), check=True).stdout

    version = re.search(r"project\(confab VERSION (\S+)", pathlib.Path(TOP / "CMakeLists.txt").read_text())[1]
    said = tool("--version")
    assert said.startswith(f"confabd {version}\n") and "stores: sqlite: memory:" in said
    assert "--listen" in tool("--help")
