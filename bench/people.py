# SPDX-License-Identifier: MIT
"""Users, sessions and groups for a load, made through the protocol: for stores that only confabd can write to."""
import contextlib
import json
import socket

AT_ONCE = 50


def port_of(server):
    return ("127.0.0.1", int(server.port))


def ask_all(streams, requests):
    """A request on each stream; the results."""
    for stream, (method, params) in zip(streams, requests):
        stream.write(json.dumps({"id": 1, "method": method, "params": params}).encode() + b"\n")
        stream.flush()
    answers = [json.loads(stream.readline()) for stream in streams]
    for answer in answers:
        if "result" not in answer:
            raise RuntimeError(f"the server said {answer}")
    return [answer["result"] for answer in answers]


def in_turns(server, requests):
    """Of each sequence of requests on a connection of its own, the results; some connections at a time."""
    found = []
    for at in range(0, len(requests), AT_ONCE):
        some = requests[at:at + AT_ONCE]
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.create_connection(port_of(server))) for _ in some]
            streams = [stack.enter_context(s.makefile("rwb")) for s in sockets]
            rounds = [ask_all(streams, [sequence[i] for sequence in some]) for i in range(len(some[0]))]
        found += zip(*rounds)
    return found


def register(server, tokens, users):
    """Users as world.populate() names them, and the file of their tokens; the tokens."""
    names = [f"user{i:06d}" for i in range(1, users + 1)]
    made = in_turns(server, [[("register", {"user": name, "password": "correct horse 7", "device": ""})] for name in names])
    found = [answer["token"] for answer, in made]
    with open(tokens, "w") as f:
        f.writelines(f"{name} {token}\n" for name, token in zip(names, found))
    return found


def group(server, tokens, groups):
    """Groups of lists of user numbers (from 1 on), the first of each makes it; their cids."""
    made = in_turns(server, [[("resume", {"token": tokens[members[0] - 1]}),
                              ("group.create", {"title": "bench", "members": [f"user{i:06d}" for i in members[1:]]})]
                             for members in groups])
    if any(answer["failed"] for _, answer in made):
        raise RuntimeError("not all members could be taken into a group")
    return [answer["cid"] for _, answer in made]


def say(server, tokens, groups, times, body):
    """From the first of each, who is connected for that long: (members, cid)."""
    in_turns(server, [[("resume", {"token": tokens[members[0] - 1]})] +
                      [("send", {"to": cid, "cmid": f"{cid}-{n}", "body": body}) for n in range(times)]
                      for members, cid in groups])
