"""Every transcript of docs/transcripts, replayed against the server.

With CONFAB_RECORD=1 what the server sends is written into the files instead: look at the difference, and commit it.
"""

import os

import pytest
from transcript import Player, all_transcripts

RECORD = os.environ.get("CONFAB_RECORD")


@pytest.mark.parametrize("transcript", all_transcripts(), ids=lambda one: one.name)
def test_transcript(transcript, transport, confabd, dial):
    # One event loop: what one connection did is seen by the next request of another.
    player = Player(transcript, confabd(workers=1, config=transcript.config()), dial, recording=bool(RECORD))
    if not RECORD:
        player.play()
    elif transport == "tcp":
        transcript.path.write_text(player.record())
