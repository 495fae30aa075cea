#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes confab/_blocking.py, the blocking form of every method, from the asynchronous one.

    ./make_blocking.py            writes it
    ./make_blocking.py --check    says by its exit code whether it is up to date
"""

import ast
import pathlib
import sys
import textwrap

HERE = pathlib.Path(__file__).resolve().parent / "confab"
TARGET = HERE / "_blocking.py"

# Of Client itself; all of Methods.
CLIENT = ("login", "register", "logout", "account_delete", "call", "hello", "post", "send", "reply", "edit", "delete",
          "ready", "flush")

GLUE = "\x01"  # stands for a space where no line may be broken

HEAD = '''\
# SPDX-License-Identifier: MIT
# Made by make_blocking.py from methods.py and client.py; change those.
"""Every method of the asynchronous client, as one that waits."""

from __future__ import annotations

from typing import Any, Coroutine, List, Mapping, Optional, Sequence, TypeVar, Union

from . import client as _client
from . import model
from .model import Json, Message, Sent, Target
from .outbox import Outgoing

T = TypeVar("T")


class BlockingMethods:
    _client: "_client.Client"

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        raise NotImplementedError
'''


def methods(path, name):
    tree = ast.parse(path.read_text())
    (found,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    return {node.name: node for node in found.body if isinstance(node, ast.AsyncFunctionDef)}


def argument_list(arguments):
    positional = [a.arg for a in arguments.args[1:]]
    return ", ".join(positional + [f"{a.arg}={a.arg}" for a in arguments.kwonlyargs])


def blocking(node):
    shown = ast.FunctionDef(node.name, node.args, [ast.Pass()], [], node.returns, lineno=0)
    head = ast.unparse(shown).splitlines()[0]
    indent = " " * (len(f"    def {node.name}(") - 4)
    head = head.replace(" ", GLUE).replace("," + GLUE, ", ")
    head = "\n".join(textwrap.wrap(head, 110, subsequent_indent=indent, break_long_words=False,
                                   break_on_hyphens=False)).replace(GLUE, " ")
    lines = ["", textwrap.indent(head, "    ")]
    text = ast.get_docstring(node, clean=False)
    if text:
        lines.append(f'        """{text}"""')
    give = "" if ast.unparse(node.returns) == "None" else "return "
    lines.append(f"        {give}self._wait(self._client.{node.name}({argument_list(node.args)}))")
    return "\n".join(lines) + "\n"


def text():
    general = methods(HERE / "methods.py", "Methods")
    special = methods(HERE / "client.py", "Client")
    chosen = {**{name: special[name] for name in CLIENT}, **{n: node for n, node in general.items() if n != "call"}}
    return HEAD + "".join(blocking(node) for node in chosen.values())


def main():
    if sys.argv[1:] == ["--check"]:
        return 0 if TARGET.read_text() == text() else 1
    TARGET.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
