#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sends every line of its input: tail -F log | pipe_to_chat.py USER TARGET [SERVER]

The password is in CONFAB_PASSWORD.
A line is kept in a file before it is sent, and what has no answer when the program ends goes out the next time.
"""
import os
import sys

import confab
import confab.blocking


def main(user, target, server="127.0.0.1:7000"):
    with confab.blocking.Client(server, user, os.environ.get("CONFAB_PASSWORD"), state=f"{user}-pipe.db",
                                device="pipe_to_chat", follow=False) as client:
        for line in sys.stdin:
            if line.strip():
                client.post(int(target) if target.isdigit() else target, line.rstrip("\n"))
        if not client.flush(60):
            sys.exit(f"{client.unsent} lines have no answer yet; they go out the next time")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except confab.ConfabError as error:
        sys.exit(f"pipe_to_chat.py: {error}")
