"""docs/protocol.md names what there is, and leads nowhere wrong."""

import re
import subprocess

import pytest
from api import ERRORS, METHODS, NOTIFICATIONS, TOP, errors_of, own_errors_of
from transcript import FOLDER, all_transcripts

TEXT = (TOP / "docs/protocol.md").read_text()
HEADS = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", TEXT, flags=re.M | re.S), re.M)

# What no transcript can show yet, and why.
UNSEEN = {
    "blocked": "nobody can block anybody",
    ("login", "forbidden"): "needs an address that demands TLS",
    ("resume", "forbidden"): "needs an address that demands TLS",
    ("edit", "limit"): "needs a thousand edits",
    ("login", "token_invalid"): "needs the session's end between its making and the answer",
}


def test_reference_is_made_from_openrpc():
    got = subprocess.run([TOP / "scripts/protocol-reference", "--check"], capture_output=True, text=True)
    assert got.returncode == 0, got.stdout + got.stderr


def test_generator_notices(tmp_path):
    """A copy in which somebody wrote into the reference is refused, and mended."""
    for name in ("docs/openrpc.json", "docs/protocol.md", "scripts/protocol-reference"):
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        copy.write_text((TOP / name).read_text())
    (tmp_path / "docs/transcripts").symlink_to(FOLDER)
    document = tmp_path / "docs/protocol.md"
    document.write_text(TEXT.replace("#### send\n", "#### transmit\n"))
    command = ["/usr/bin/python3", tmp_path / "scripts/protocol-reference"]
    got = subprocess.run([*command, "--check"], capture_output=True, text=True)
    assert got.returncode == 1 and "-#### transmit" in got.stdout
    assert subprocess.run([*command, "--write"]).returncode == 0
    assert document.read_text() == TEXT


def test_every_method_notification_and_error_has_its_place():
    assert [one for one in HEADS if one in METHODS] == list(METHODS)
    assert [one.removesuffix(" (notification)") for one in HEADS if one.endswith(" (notification)")] == list(NOTIFICATIONS)
    assert re.findall(r"^\| -?\d+ \| `(\w+)` \|", TEXT, re.M) == list(ERRORS)


def anchor(head):
    return re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-")


def test_links_lead_somewhere():
    anchors = {anchor(one) for one in HEADS} | set(re.findall(r'<a id="([^"]+)">', TEXT))
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert len(links) > 50
    for link in links:
        if link.startswith("#"):
            assert link[1:] in anchors, link
        elif not link.startswith("https://"):
            assert (TOP / "docs" / link).exists(), link


def test_every_transcript_is_linked():
    for one in all_transcripts():
        assert f"(transcripts/{one.path.name})" in TEXT, one.name


def answers():
    """(method, answer) of all transcripts, as they stand there."""
    for transcript in all_transcripts():
        asked = {}
        for kind, who, frame in transcript.frames():
            if kind == "->" and isinstance(frame, dict) and "id" in frame:
                asked[who, str(frame["id"])] = frame.get("method")
            elif kind == "<-" and "method" not in frame:
                yield asked.get((who, str(frame["id"]))), frame


def test_every_method_is_shown_to_succeed():
    assert {method for method, answer in answers() if "result" in answer} == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_every_error_of_a_method_is_shown(name):
    shown = {answer["error"]["data"]["name"] for method, answer in answers() if method == name and "error" in answer}
    assert shown <= set(errors_of(name))
    wanted = set(own_errors_of(name))
    if METHODS[name]["x-needs"] == "session":
        wanted.add("not_logged_in")
    if METHODS[name]["params"]:
        wanted.add("invalid_params")
    unseen = {one for one in wanted if one in UNSEEN or (name, one) in UNSEEN}
    assert wanted - shown == unseen - shown
    assert not {one for one in unseen & shown if (name, one) in UNSEEN}, "it is shown after all: take it from UNSEEN"


def test_every_notification_is_shown():
    shown = {frame["method"] for transcript in all_transcripts()
             for kind, _, frame in transcript.frames() if kind == "<-" and "method" in frame}
    assert shown == set(NOTIFICATIONS)


def test_http_paths(server):
    """The table of paths, asked of the server."""
    rows = re.findall(r"^\| `GET (/\w*)` \|", TEXT, re.M)
    assert len(rows) >= 5
    for path in rows:
        status, _, _ = server.http(path)
        assert status == (426 if path == "/ws" else 200), path
        assert server.http(path, "HEAD")[0] == (405 if path == "/ws" else 200)
        assert server.http(path, "DELETE")[0] == 405
    assert server.http("/nothing")[0] == 404
