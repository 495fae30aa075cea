# SPDX-License-Identifier: MIT
"""Tables in Markdown, and documents that have them between marks: `<!-- table: NAME -->` and `<!-- end -->`."""
import re
import sys


def table(head, rows):
    return "\n".join(["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]])


def filled(text, made):
    """The document with the tables between its marks."""
    for name, content in made.items():
        text, count = re.subn(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)",
                              lambda m, content=content: m[1] + content + "\n" + m[2], text, flags=re.S)
        if count != 1:
            sys.exit(f"the document has {count} places for the table {name}")
    return text


def put(made, write, check, program):
    """Writes them into one document, or compares them with another, or prints them."""
    if write:
        write.write_text(filled(write.read_text(), made))
    elif check:
        if filled(check.read_text(), made) != check.read_text():
            sys.exit(f"{check} is not what {program} prints: {program} --write {check}")
    else:
        print("\n\n".join(made.values()))
