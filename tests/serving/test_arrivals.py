"""The end of a request is found with any fragmentation of its bytes."""

import socket
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idp.serving.arrivals import MAX_HEAD, Arrival, Progress
from idp.web.http import MAX_BODY
from tests.rows import each_row

GET = b"GET /connexion HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde"
LENGTHS = (b"", b"-5", b"+5", b"0x5", b"5, 5", b"5 5", b"5;", b"1_0", b"five", b"5\r", b"5\n", b"\xb2", b"5\x0b")
HEAD = b"POST /token HTTP/1.1\r\nHost: x\r\n"


def arrive(parts: Sequence[bytes]) -> tuple[Arrival, list[Progress]]:
    with socket.socket() as connection:
        arrival = Arrival(SimpleNamespace(is_ssl=False), connection, ("127.0.0.1", 1), ("127.0.0.1", 2))
        arrival.begin()
        return arrival, [arrival.add(part) for part in parts]


@given(whole=st.sampled_from([GET, POST, b"\r\n\r\n" + POST]), sizes=st.lists(st.integers(1, 30)))
@settings(max_examples=300, deadline=None)
def test_request_is_whole_at_its_last_byte(whole: bytes, sizes: list[int]) -> None:
    parts, rest = [], whole
    for size in sizes:
        if len(rest) > size:
            parts.append(rest[:size])
            rest = rest[size:]
    _, progress = arrive([*parts, rest])
    assert progress == [Progress.PARTIAL] * len(parts) + [Progress.WHOLE]


@given(
    parts=st.lists(st.binary(min_size=1, max_size=40) | st.sampled_from([b"\r\n", b"\r\n\r\n", b"Content-Length: 9"]))
)
@settings(max_examples=500, deadline=None)
def test_arbitrary_bytes_raise_no_error(parts: list[bytes]) -> None:
    arrival, _ = arrive(parts)
    assert bytes(arrival.received) in b"".join(parts)


@each_row(
    "part",
    [
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
        b"POST / HTTP/1.1\r\ncontent-length:0007  \r\n\r\n123456",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"\r\n\r\n\r\n",
    ],
)
def test_incomplete_request_is_partial(part: bytes) -> None:
    assert arrive([part])[1] == [Progress.PARTIAL]


@each_row(
    ("fields", "progress"),
    [
        (b"Transfer-Encoding: chunked\r\n", Progress.LENGTHLESS),
        (b"transfer-ENCODING:gzip, chunked\r\n", Progress.LENGTHLESS),
        (b"Transfer-Encoding: identity\r\n", Progress.LENGTHLESS),
        (b"Transfer-Encoding:\r\n", Progress.LENGTHLESS),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Progress.LENGTHLESS),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Progress.LENGTHLESS),
        (b"Transfer-Encoding : chunked\r\n", Progress.MALFORMED),
        (b"Transfer-Encoding\r\n : chunked\r\n", Progress.LENGTHLESS),
        (b"X: y\r\n Transfer-Encoding: chunked\r\n", Progress.MALFORMED),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", Progress.MALFORMED),
        (b"Content-Length: 5\r\nX: y\r\ncontent-length: 5\r\n", Progress.MALFORMED),
        (b"Content-Length: 5\r\n 0\r\n", Progress.MALFORMED),
        (b"Content-Length:\r\n 5\r\n", Progress.MALFORMED),
        (b"Content-Length\t: 5\r\n", Progress.MALFORMED),
        *((b"Content-Length: " + size + b"\r\n", Progress.MALFORMED) for size in LENGTHS),
    ],
)
def test_body_without_a_certain_length_is_refused_at_its_head(fields: bytes, progress: Progress) -> None:
    whole = HEAD + fields + b"\r\n"
    assert arrive([whole])[1] == [progress]
    assert arrive([whole + b"5\r\nabcde\r\n"])[1] == [progress]
    assert arrive([whole[:-1], whole[-1:]])[1] == [Progress.PARTIAL, progress]


@pytest.mark.parametrize("length", [str(MAX_BODY + 1), "9" * 5000, "0" * 5000 + "99999999"])
def test_a_body_that_is_refused_is_not_waited_for(length: str) -> None:
    arrival, progress = arrive([f"POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode()])
    assert progress == [Progress.WHOLE]
    assert arrival.oversized


def test_a_head_has_a_limit() -> None:
    line = b"X: " + b"x" * 1000 + b"\r\n"
    progress = arrive([b"GET / HTTP/1.1\r\n", *([line] * (MAX_HEAD // 1000 + 1))])[1]
    assert progress[-1] is Progress.TOO_LONG


def test_the_largest_body_that_is_accepted_is_waited_for() -> None:
    head = f"POST / HTTP/1.1\r\nContent-Length: {MAX_BODY}\r\n\r\n".encode()
    assert arrive([head, b"x" * (MAX_BODY - 1), b"x"])[1] == [Progress.PARTIAL, Progress.PARTIAL, Progress.WHOLE]
