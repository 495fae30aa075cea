"""Every transcript of docs/transcripts, replayed against the server.

With CONFAB_RECORD=1 what the server sends is written into the files instead: look at the difference, and commit it.
"""

import os

import pytest
from api import ERROR_DATA, ERRORS, METHODS, NOTES, PARAMS, RESULTS, errors_of
from transcript import Player, all_transcripts

RECORD = os.environ.get("CONFAB_RECORD")


def judge(player):
    """What was seen is what docs/openrpc.json describes, and nothing beside it."""
    for method, params, answer in player.observed:
        if "result" in answer:
            PARAMS[method].validate(params or {})
            RESULTS[method].validate(answer["result"])
            continue
        error = answer["error"]
        ERROR_DATA.validate(error["data"])
        name, known = error["data"]["name"], ERRORS[error["data"]["name"]]
        assert (error["code"], error["data"].get("retry", False)) == (known["code"], known["data"].get("retry", False))
        if method in METHODS:
            assert name in errors_of(method), f"{method} answers {name}"
            if "param" in error["data"]:
                assert error["data"]["param"] in names_in(method), f"{method} has no parameter {error['data']['param']}"
    for method, params in player.notified:
        NOTES[method].validate(params)


def names_in(method):
    names = {param["name"] for param in METHODS[method]["params"]}
    return names | names_in("sync") if "sync" in names else names


@pytest.mark.parametrize("transcript", all_transcripts(), ids=lambda one: one.name)
def test_transcript(transcript, transport, confabd, dial):
    # One event loop: what one connection did is seen by the next request of another.
    player = Player(transcript, confabd(workers=1, config=transcript.config()), dial, recording=bool(RECORD))
    if not RECORD:
        player.play()
        judge(player)
    elif transport == "tcp":
        transcript.path.write_text(player.record())
