"""confab and messages that are there: scrolling back, answers, edits, deletions, receipts."""

import json
import re
import subprocess

import pytest

from lib.confab import REFUSED, USAGE, Terminal, alice, cut, machine, person  # noqa: F401


# --- Scripts ---


def test_edit_and_delete(alice, person):
    bob = person()
    to = "@" + bob.name
    for text in ("one", "two", "three"):
        alice.run("send", to, text)
    assert not alice.run("edit", to, "2", "two", "and", "a", "half").out
    assert bob.message(kind="edit")["body"] == "two and a half"
    answer = json.loads(alice.run("edit", "--json", "--cmid", "e-1", to, "1", "-n", "--one").out)
    assert (answer["seq"], answer["cmid"]) == (5, "e-1")
    assert json.loads(alice.run("edit", "--json", "--cmid", "e-1", to, "1", "-n", "--one").out)["dup"]
    alice.run("delete", to, "3")
    alice.run("delete", to, "3")
    text = [re.sub(r"^\S+ \S+ ", "", line) for line in alice.run("history", to).out.splitlines()]
    assert text == [f"[1] me -> {to}: -n --one (edited)", f"[2] me -> {to}: two and a half (edited)",
                    f"[3] me -> {to}: (deleted)", f"[4] me -> {to} (edit of 2): two and a half",
                    f"[5] me -> {to} (edit of 1): -n --one", "[6] * you deleted message 3"]
    assert alice.run("edit", to, "3", "x", code=REFUSED).err.startswith(f"confab: {to}: ")
    bob.send("@" + alice.user, "his")
    assert alice.run("edit", to, "7", "mine now", code=REFUSED).err.startswith(f"confab: {to}: ")
    alice.run("delete", to, "7", code=REFUSED)


def test_answers(alice, person):
    bob = person()
    alice.run("send", "@" + bob.name, "question")
    bob.send("@" + alice.user, "answer", re=1)
    assert f"[2] {bob.name} (answers 1): answer\n" in alice.run("history", "@" + bob.name).out


def test_receipts(alice, person):
    bob, carol = person(), person("carol")
    cid = alice.run("group", "create", "Readers", "@" + bob.name, "@" + carol.name).out.strip()
    alice.run("send", cid, "read this")
    bob.message(kind="text")
    bob.call("mark", cid=int(cid), read=2)
    carol.call("mark", cid=int(cid), delivered=2)
    got = alice.run("receipts", cid, "2")
    assert got.err == "confab: read by 1, delivered to 2, of 2\n"
    marks = {row.split("\t")[0]: row.split("\t")[1:] for row in got.out.splitlines()}
    assert marks[bob.name] == ["2", "2"] and marks[carol.name][1] == "2"
    answer = json.loads(alice.run("receipts", "--json", cid, "2").out)
    assert (answer["read"], answer["delivered"], answer["members"]) == (1, 2, 2)


@pytest.mark.parametrize("words", [
    ["edit"], ["edit", "@bob"], ["edit", "@bob", "1"], ["edit", "@bob", "x", "y"], ["edit", "@bob", "0", "y"],
    ["edit", "--data", "[]", "@bob", "1", "y"], ["delete", "@bob"], ["delete", "@bob", "1", "2"], ["delete", "bob", "1"],
    ["receipts", "@bob"], ["receipts", "@bob", "x"]])
def test_wrong_usage(alice, words):
    alice.run(*words, code=USAGE)


def test_an_edit_whose_answer_got_lost_is_made_once(cut, person):
    bob, home = person(), cut()
    bob.send("@" + home.user, "hi")
    home.run("send", "@" + bob.name, "helo")
    home.cutter.connections = 0
    home.run("edit", "@" + bob.name, "2", "hello")
    assert [(m["kind"], m.get("body")) for m in bob.messages(3)] == [("text", "hi"), ("text", "helo"), ("edit", "hello")]
    assert bob.call("history", cid="@" + home.user)["head"] == 3 and home.cutter.connections == 2


# --- A person ---


def test_scrolling_back(alice, person):
    bob = person()
    for number in range(1, 26):
        bob.send("@" + alice.user, f"m{number}")
    alice.run("tail", "--missed")
    terminal = Terminal(alice, "@" + bob.name, NO_COLOR="1")
    terminal.until("/help")
    terminal.type("/history 10\n")
    terminal.until(f"\\[16\\] {bob.name}: m16\r\n")
    terminal.until(f"\\[25\\] {bob.name}: m25\r\n-- /more goes further back")
    terminal.type("/more\n")
    terminal.until("\\[6\\] .*: m6\r\n")
    terminal.until("\\[15\\] .*: m15\r\n-- /more")
    terminal.type("half a line\x1b[5~")
    terminal.until("\\[1\\] .*: m1\r\n")
    terminal.until("\\[5\\] .*: m5\r\n")
    terminal.until("half a line")
    terminal.type("\x15/more\n")
    terminal.until("this was the beginning")
    terminal.type("/history 0\n")
    terminal.until("/history takes a number")
    terminal.type("/quit\n")
    terminal.end()


def test_changing_what_was_written(alice, person):
    bob = person()
    terminal = Terminal(alice, "@" + bob.name, NO_COLOR="1")
    terminal.until("/help")
    terminal.type("/edit nothing yet\n")
    terminal.until("-- ")
    terminal.type("one\ntwi\n/edit two\n")
    terminal.until(f"\\[3\\] me -> @{bob.name} \\(edit of 2\\): two")
    assert (bob.message(kind="edit")["body"], bob.call("history", cid="@" + alice.user)["messages"][1]["body"]) == ("two", "two")
    terminal.type("/edit 1 first\n")
    terminal.until("\\(edit of 1\\): first")
    bob.send("@" + alice.user, "why?", re=1)
    terminal.until(f"\\[5\\] {bob.name} \\(answers 1\\): why\\?")
    terminal.type("/reply 5 because\n")
    assert bob.message(body="because")["re"] == 5
    terminal.type("/delete\n")
    terminal.until("\\* you deleted message 6")
    bob.call("edit", cid="@" + alice.user, seq=5, body="why??")
    terminal.until(f"{bob.name} \\(edit of 5\\): why\\?\\?")
    bob.call("delete", cid="@" + alice.user, seq=5)
    terminal.until(f"\\* {bob.name} deleted message 5")
    terminal.type("/delete 5\n")
    terminal.until("-- /delete: ")
    bob.call("mark", cid="@" + alice.user, read=2)
    terminal.type("/receipts\n")
    terminal.until("-- read by \\d, delivered to \\d, of 1")
    terminal.until(f"-- @{bob.name}  has read up to")
    terminal.type("/quit\n")
    terminal.end()


def test_an_edit_from_a_pipe_waits_for_what_is_before(alice, person):
    bob = person()
    alice.run("@" + bob.name, stdin="helo\n/edit hello\nnext\n")
    first, *rest = [(m["kind"], m["body"]) for m in bob.messages(3)]
    assert first in (("text", "helo"), ("text", "hello"))  # as it was, or as it read when the new conversation was fed
    assert rest == [("edit", "hello"), ("text", "next")]


def test_what_is_refused_in_a_pipe_is_in_the_exit_status(alice, person):
    bob = person()
    process = alice.start("@" + bob.name, stdin=subprocess.PIPE).process
    out, _ = process.communicate(b"hi\n/edit 1000 x\nho\n", timeout=30)
    assert process.returncode == REFUSED and b"-- /edit: " in out
    assert [m["body"] for m in bob.messages(2)] == ["hi", "ho"]
