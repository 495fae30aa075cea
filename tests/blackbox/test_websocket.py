"""WebSocket with frames made by hand: RFC 6455 as a server has to hold it."""

import pytest

from lib.fixtures import PASSWORD, new_name
from lib.raw import BINARY, CLOSE, PING, PONG, TEXT, RawWs, ws_frame, ws_text

REQUEST = '{"id":1,"method":"ping"}'


@pytest.fixture
def ws(server):
    connection = RawWs(server.port)
    yield connection
    connection.close()
    assert server.http("/healthz")[0] == 200


@pytest.fixture
def member(server):
    connection = RawWs(server.port)
    connection.me = connection.call("register", user=new_name("ws"), password=PASSWORD)
    yield connection
    connection.close()


def test_masks(ws):
    for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x12\x34\x56\x78"):
        ws.write(ws_frame(TEXT, REQUEST, mask=mask))
        assert ws.answer(1)["result"]


@pytest.mark.parametrize("extra", range(0, 9))
def test_unmasking_at_every_length(ws, extra):
    text = '{"id":1,"method":"ping","x":"' + "abcdefgh"[:extra] + '"}'
    ws.write(ws_frame(TEXT, text, mask=b"\x9a\x01\x7f\xe3") * 2)
    assert ws.answer(1)["result"] and ws.answer(1)["result"]


@pytest.mark.parametrize("size", [60, 125, 126, 127, 300, 4000])
def test_lengths(ws, size):
    text = '{"id":1,"method":"ping","x":"' + "y" * (size - 31) + '"}'
    assert len(text) == size
    ws.write(ws_frame(TEXT, text))
    assert ws.answer(1)["result"]


def test_frames_byte_by_byte(ws):
    for byte in ws_frame(TEXT, REQUEST) + ws_frame(TEXT, REQUEST):
        ws.write(bytes([byte]))
    assert ws.answer(1)["result"] and ws.answer(1)["result"]


def test_several_frames_in_one_write(ws):
    ws.write(b"".join(ws_text(f'{{"id":{i},"method":"ping"}}') for i in range(50)))
    assert sorted(ws.answer()["id"] for _ in range(50)) == list(range(50))


@pytest.mark.parametrize("cuts", [[1], [5, 9], list(range(1, len(REQUEST)))], ids=["two", "three", "bytes"])
def test_fragments(ws, cuts):
    parts = [REQUEST[i:j] for i, j in zip([0, *cuts], [*cuts, None])]
    for i, part in enumerate(parts):
        ws.write(ws_frame(TEXT if i == 0 else 0, part, fin=i == len(parts) - 1))
        if i == 0:
            ws.write(ws_frame(PING, b"between"))
    assert ws.next_frame() == (PONG, b"between")
    assert ws.answer(1)["result"]


def test_empty_fragments(ws):
    ws.write(ws_frame(TEXT, "", fin=False) + ws_frame(0, "", fin=False) + ws_frame(0, REQUEST, fin=False) + ws_frame(0, ""))
    assert ws.answer(1)["result"]


def test_a_character_across_fragments(member, server):
    other = RawWs(server.port)
    name = new_name("peer")
    other.call("register", user=name, password=PASSWORD, sync=True)
    text = f'{{"id":9,"method":"send","params":{{"to":"@{name}","body":"é🎈ü"}}}}'.encode()
    at = text.index("🎈".encode())
    for cuts in ([at + 1], [at + 2], [at + 3], [at - 1, at + 2], range(1, len(text))):
        cuts = list(cuts)
        parts = [text[i:j] for i, j in zip([0, *cuts], [*cuts, None])]
        member.write(b"".join(ws_frame(TEXT if i == 0 else 0, p, fin=i == len(parts) - 1) for i, p in enumerate(parts)))
        assert member.answer(9)["result"]["seq"]
        while True:
            frame = other.next()
            if frame["method"] == "message":
                break
        assert frame["params"]["body"] == "é🎈ü"
    other.close()


@pytest.mark.parametrize("payload", [b"", b"x", b"p" * 125, bytes(range(125))])
def test_ping(ws, payload):
    ws.write(ws_frame(PING, payload))
    assert ws.next_frame() == (PONG, payload)
    ws.call("ping")


def test_an_unasked_pong_is_passed_over(ws):
    ws.write(ws_frame(PONG, b"nobody asked"))
    ws.call("ping")


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1008, 1011, 3000, 4999, None])
def test_close_is_answered(ws, code):
    payload = b"" if code is None else code.to_bytes(2, "big") + "tschüss".encode()
    ws.write(ws_frame(CLOSE, payload))
    got = ws.closed_with()
    assert got in (code or 1000, 1000, 1005)
    assert not ws.read_some()


@pytest.mark.parametrize("bytes_,code", [
    (ws_frame(TEXT, REQUEST, mask=None), 1002),                                     # not masked
    (ws_frame(TEXT, REQUEST, rsv=4), 1002), (ws_frame(TEXT, REQUEST, rsv=2), 1002), (ws_frame(TEXT, REQUEST, rsv=1), 1002),
    (ws_frame(3, REQUEST), 1002), (ws_frame(7, b""), 1002), (ws_frame(11, b""), 1002), (ws_frame(15, b""), 1002),
    (ws_frame(0, REQUEST), 1002),                                                   # continues nothing
    (ws_frame(TEXT, "{", fin=False) + ws_frame(TEXT, REQUEST), 1002),               # begins within another
    (ws_frame(PING, b"x" * 126), 1002), (ws_frame(PING, b"x", fin=False), 1002), (ws_frame(CLOSE, b"", fin=False), 1002),
    (ws_frame(CLOSE, b"\x03"), 1002),                                               # half a code
    (ws_frame(CLOSE, (1005).to_bytes(2, "big")), 1002), (ws_frame(CLOSE, (1006).to_bytes(2, "big")), 1002),
    (ws_frame(CLOSE, (999).to_bytes(2, "big")), 1002), (ws_frame(CLOSE, (5000).to_bytes(2, "big")), 1002),
    (ws_frame(CLOSE, (1000).to_bytes(2, "big") + b"\xff\xfe"), (1002, 1007)),
    (ws_frame(TEXT, REQUEST, length_bytes=2), 1002), (ws_frame(TEXT, REQUEST, length_bytes=8), 1002),  # not the shortest
    (ws_frame(TEXT, b"", length=1 << 63), (1002, 1009)),                            # the highest bit
    (ws_frame(BINARY, REQUEST), 1003), (ws_frame(BINARY, b""), 1003), (ws_frame(BINARY, b"\0", fin=False), 1003),
    (ws_frame(TEXT, b'"\xff"'), 1007), (ws_frame(TEXT, b'"\xc0\xaf"'), 1007), (ws_frame(TEXT, b'"\xed\xa0\x80"'), 1007),
    (ws_frame(TEXT, b'"\xf4\x90\x80\x80"'), 1007), (ws_frame(TEXT, b'"\xf0\x9f\x8e'), 1007),
    (ws_frame(TEXT, b'"\xf0\x9f', fin=False) + ws_frame(0, b'x"'), 1007),
    (ws_frame(TEXT, b'"\xc3', fin=False) + ws_frame(0, b""), 1007),
    (ws_frame(TEXT, b"x" * 4097), 1009), (ws_frame(TEXT, b"", length=1 << 20), 1009), (ws_frame(TEXT, b"", length=1 << 40), 1009),
    (ws_frame(TEXT, b"x" * 3000, fin=False) + ws_frame(0, b"x" * 3000), 1009),
], ids=lambda value: str(value) if not isinstance(value, bytes) else value[:6].hex())
def test_what_breaks_the_rules_is_closed_with_its_code(ws, bytes_, code):
    ws.write(bytes_)
    got = ws.closed_with()
    assert got in (code if isinstance(code, tuple) else (code,))
    for frame in ws.before:
        assert frame.get("method") == "goaway" or frame["error"]["data"]["name"] in ("too_large", "parse_error")
    try:
        assert not ws.read_some(), "closed"
    except ConnectionResetError:
        pass


def test_64_kib_after_login_and_no_more(member):
    text = '{"id":7,"method":"ping","x":"' + "y" * (65536 - 31) + '"}'
    assert len(text) == 65536
    member.write(ws_text(text))
    assert member.answer(7)["result"]
    half = len(text) // 2
    member.write(ws_frame(TEXT, text[:half], fin=False) + ws_frame(0, text[half:]))
    assert member.answer(7)["result"]
    member.write(ws_text(text[:-2] + 'z"}'))
    assert member.closed_with() == 1009


def test_a_declared_length_alone_costs_nothing(server):
    """Heads that promise more than comes: the connections stand and go like others."""
    before = server.metrics().total("confab_connections")
    connections = [RawWs(server.port) for _ in range(50)]
    for connection in connections:
        connection.write(ws_frame(TEXT, b"{", length=4000))
    assert server.metrics().total("confab_connections") >= before + 50
    for connection in connections:
        connection.close()


def test_after_the_close_nothing_is_carried_out(member, server):
    name = new_name("late")
    other = RawWs(server.port)
    other.call("register", user=name, password=PASSWORD)
    member.write(ws_frame(CLOSE, (1000).to_bytes(2, "big"))
                 + ws_text(f'{{"id":5,"method":"send","params":{{"to":"@{name}","body":"too late"}}}}'))
    assert member.closed_with() == 1000
    assert other.call("sync")["total"] == 0
    other.close()


def test_parse_errors_are_answered(ws):
    ws.write(ws_text("{broken"))
    frame = ws.next()
    assert frame["id"] is None and frame["error"]["data"]["name"] == "parse_error"
    ws.write(ws_text('{"x":"\\ud83d"}'))
    assert ws.next()["error"]["data"]["name"] == "parse_error"
    ws.call("ping")


def test_two_requests_in_one_message_are_no_json(ws):
    ws.write(ws_text(REQUEST + "\n" + REQUEST))
    assert ws.next()["error"]["data"]["name"] == "parse_error"
    ws.call("ping")


def test_a_line_end_within_a_message_is_white_space(ws):
    ws.write(ws_text('\r\n{"id":1,\n"method":\r\n"ping"}\n'))
    assert ws.answer(1)["result"]
