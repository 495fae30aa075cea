# SPDX-License-Identifier: MIT
"""deploy/: units and container files, as far as they can be judged without systemd or an engine running."""

import json
import os
import pathlib
import re
import shlex
import subprocess

import pytest
import yaml

from lib.server import CONFABD, TOP, Server, sanitizer_environment

DEPLOY = TOP / "deploy"
BUILD = (TOP / "scripts/lib/build").read_text()


# --- systemd ---

@pytest.fixture
def units(tmp_path):
    """With the program that there is here."""
    for name in ("confabd.service", "confabd.socket"):
        text = (DEPLOY / "systemd" / name).read_text()
        (tmp_path / name).write_text(text.replace("/usr/local/bin/confabd", CONFABD))
    return tmp_path


def test_units_are_well_formed(units):
    got = subprocess.run(["systemd-analyze", "verify", "--man=no", units / "confabd.service", units / "confabd.socket"],
                         capture_output=True, text=True)
    said = [line for line in (got.stdout + got.stderr).splitlines() if str(units) in line or "confabd" in line]
    assert got.returncode == 0 and not said, got.stdout + got.stderr


def test_the_service_is_shut_in(units):
    got = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--threshold=20", units / "confabd.service"],
                         capture_output=True, text=True)
    assert got.returncode == 0, got.stdout[-3000:] + got.stderr


def test_the_service_starts_what_there_is(units):
    text = (DEPLOY / "systemd/confabd.service").read_text()
    program, *options = shlex.split(re.search(r"^ExecStart=(.+)$", text, re.M)[1])
    assert program == "/usr/local/bin/confabd" and options == ["-c", "/etc/confab/confabd.conf"]
    options[1] = str(TOP / "config/confabd.conf")
    got = subprocess.run([CONFABD, "--check", *options], capture_output=True, text=True,
                         env={**sanitizer_environment(), "STATE_DIRECTORY": str(units / "state")})
    assert got.returncode == 0, got.stderr


# --- Containers ---

def stages():
    """{stage: [(instruction, its words)]}"""
    text = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text())
    found, name = {}, None
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        assert word in {"FROM", "RUN", "COPY", "WORKDIR", "ENV", "VOLUME", "EXPOSE", "USER", "STOPSIGNAL", "HEALTHCHECK",
                        "ENTRYPOINT", "CMD"}, line
        if word == "FROM":
            base, name = re.fullmatch(r"(\S+) AS (\S+)", rest).groups()
            assert base == "debian:bookworm-slim"
        found.setdefault(name, []).append((word, rest))
    return found


def installed(stage):
    run = next(rest for word, rest in stages()[stage] if word == "RUN" and "apt-get install" in rest)
    words = run.split("--no-install-recommends", 1)[1].split("&&")[0].split()
    return set(words)


def test_what_is_copied_is_there():
    for stage, rows in stages().items():
        for word, rest in rows:
            if word == "COPY" and not rest.startswith("--from="):
                assert (TOP / rest.split()[0]).exists(), (stage, rest)


def test_the_image_is_built_like_everything_else():
    packages = re.search(r"^packages=\((.*?)\)", BUILD, re.M | re.S)[1].split()
    wanted = {p.rpartition(":")[2] for p in packages} - {"libreadline-dev"}
    assert installed("build") == wanted
    presets = json.loads((TOP / "CMakePresets.json").read_text())
    assert "release" in [p["name"] for p in presets["configurePresets"]]


def test_the_image_has_the_libraries_that_the_program_needs():
    said = subprocess.run(["ldd", CONFABD], capture_output=True, text=True, check=True).stdout
    base = ("libc.", "libm.", "ld-linux", "libasan", "libubsan", "libtsan", "libgcc_s", "libstdc++", "libz.", "libzstd")
    for name, path in re.findall(r"(\S+) => (\S+)", said):
        if name.startswith(base):
            continue
        owner = subprocess.run(["dpkg", "-S", os.path.realpath(path)], capture_output=True, text=True).stdout \
            or subprocess.run(["dpkg", "-S", os.path.realpath(path).removeprefix("/usr")], capture_output=True, text=True).stdout
        assert owner.split(":")[0] in installed("confabd"), (name, owner)


def test_nobody_is_root():
    for stage in ("confabd", "balancer"):
        users = [rest for word, rest in stages()[stage] if word == "USER"]
        assert users and users[-1] not in ("root", "0")


def test_the_health_check_tells(tmp_path):
    (check,) = [rest for word, rest in stages()["confabd"] if word == "HEALTHCHECK"]
    words = json.loads(check[check.index("["):])
    server = Server(tmp_path).start()
    words[-1] = words[-1].replace("/7000 ", f"/{server.port} ")
    assert subprocess.run(words, timeout=20).returncode == 0
    server.stop()
    server.finish()
    assert subprocess.run(words, timeout=20, stderr=subprocess.DEVNULL).returncode != 0


def test_the_balancers_configuration_is_good(tmp_path):
    """What the image does to the shipped one, done here, with names that there are on this machine."""
    run = next(rest for word, rest in stages()["balancer"] if rest.startswith("sed "))
    text = (DEPLOY / "nginx.conf").read_text()
    (tmp_path / "nginx.conf").write_text(text)
    subprocess.run(["bash", "-c", run.replace("/etc/nginx/nginx.conf", str(tmp_path / "nginx.conf"))], check=True)
    text = (tmp_path / "nginx.conf").read_text()
    assert re.findall(r"^\t\tserver (\S+)", text, re.M) == ["n1:7001", "n2:7001", "n3:7001"]
    text = re.sub(r"\bn[123]:7001", "127.0.0.1:7001", text).replace("/tmp/nginx.pid", str(tmp_path / "pid"))
    (tmp_path / "nginx.conf").write_text(text)
    got = subprocess.run(["nginx", "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf"], capture_output=True, text=True,
                         env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"})
    assert got.returncode == 0, got.stderr


def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_compose_holds_together():
    told = compose()
    services = told["services"]
    assert set(services) == {"mariadb", "redis", "n1", "n2", "n3", "nginx"}
    for name, service in services.items():
        if "build" in service:
            build = service["build"]
            context = (DEPLOY / build["context"]).resolve()
            assert context == TOP and (context / build["dockerfile"]).is_file() and build["target"] in stages()
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in told["volumes"], (name, volume)
        for network in service["networks"]:
            assert network in told["networks"]
        for other in service["depends_on"] if "depends_on" in service else []:
            assert other in services
            if isinstance(service["depends_on"], dict):
                assert "healthcheck" in services[other]
    (nginx,) = [row["ipv4_address"] for row in services["nginx"]["networks"].values()]
    assert services["n1"]["environment"]["CONFAB_PROXIES"] == nginx
    assert all(port.startswith("127.0.0.1:") for port in services["nginx"]["ports"])


@pytest.mark.parametrize("node", ["n1", "n2", "n3"])
def test_confabd_takes_the_options_of_compose(node, tmp_path):
    """Exit code 2 would be a mistake in an option; that database is not here."""
    options = {key: re.sub(r"\$\{CONFAB_SECRET[^}]*\}", "0123456789abcdef", value)
               for key, value in compose()["services"][node]["environment"].items()}
    assert options["CONFAB_NODE"] == node and all("$" not in value for value in options.values())
    env = {**sanitizer_environment(), **options, "CONFAB_DATA": str(tmp_path / "data")}
    got = subprocess.run([CONFABD, "--check"], capture_output=True, text=True, env=env, timeout=60)
    assert got.returncode == 1 and ("mariadb" in got.stderr or "redis" in got.stderr), got.stderr
    assert "0123456789abcdef" not in got.stderr + got.stdout, "no password is shown"
    env.update(CONFAB_STORE="memory:", CONFAB_BUS="local:")
    got = subprocess.run([CONFABD, "--check"], capture_output=True, text=True, env=env, timeout=60)
    assert got.returncode == 0, got.stderr


def test_files_name_files_that_there_are():
    for path in [*DEPLOY.rglob("*")]:
        if path.is_file():
            for name in re.findall(r"\b(?:deploy|scripts|config|docs)/[\w./-]+\w", path.read_text()):
                assert (TOP / name).exists(), f"{path.name}: {name}"
            assert pathlib.Path(path).stat().st_size > 0
