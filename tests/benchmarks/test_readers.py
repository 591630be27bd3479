"""The load generator sees what is wrong with a stream: otherwise the table's zeros would mean nothing."""

import base64
import hashlib
import json
import shutil
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from benchmarks.processes import BenchmarkError
from benchmarks.readers import Readers

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="the load generator needs a C compiler")
SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextmanager
def server(pieces: list[bytes]) -> Iterator[int]:
    """A server that answers every request with these pieces, each written on its own, and closes."""

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):  # a reader that has what it wants may leave first
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.recv(65536)
            for piece in pieces:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):  # closing on an unread pong would reset what is still under way
                pass

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=[connection], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def frame(n: int) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (n, json.dumps({"n": n, "sent": 1}).encode())


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def read(pieces: list[bytes], *, until: int = 0, **options: Any) -> dict[str, Any]:
    with server(pieces) as port, Readers(port, options.pop("count", 1), until=until, seconds=10, **options) as readers:
        return readers.result()


def test_a_good_stream_is_counted_whole() -> None:
    result = read([SSE_HEAD, chunk(b":\n"), *(chunk(frame(n)) for n in range(1, 6))], count=3, until=5)
    assert (result["deliveries"], result["missing"], result["doubled"], result["reversed"]) == (15, 0, 0, 0)
    assert result["frames"] == 15


def test_a_stream_cut_at_every_byte_is_read_the_same() -> None:
    whole = SSE_HEAD + chunk(b":\n" + frame(1) + frame(2)[:9]) + chunk(frame(2)[9:]) + chunk(frame(3))
    for cut in range(1, len(whole)):
        result = read([whole[:cut], whole[cut:]], until=3)
        assert (result["deliveries"], result["missing"], result["frames"]) == (3, 0, 3), f"cut after byte {cut}"


@pytest.mark.parametrize(
    ("numbers", "missing", "doubled", "reversed_"),
    [
        ([1, 2, 5], 2, 0, 0),
        ([1, 2, 2, 3], 0, 1, 0),
        ([1, 3, 2, 4], 0, 0, 1),
        ([3, 4], 2, 0, 0),
        ([1, 3, 2, 2], 0, 1, 1),
        ([1, 2, 4, 2], 1, 1, 0),
    ],
)
def test_what_is_wrong_is_counted(numbers: list[int], missing: int, doubled: int, reversed_: int) -> None:
    result = read([SSE_HEAD, chunk(b"".join(map(frame, numbers)))])
    assert (result["missing"], result["doubled"], result["reversed"]) == (missing, doubled, reversed_)


def test_a_stream_that_ends_early_misses_the_rest() -> None:
    result = read([SSE_HEAD, chunk(frame(1))], until=4)
    assert (result["missing"], result["unfinished"]) == (3, 1)


def test_several_words_in_a_frame_are_several_tokens() -> None:
    frames = [f'data: {{"type":"answer","answer":"{text}"}}\n\n'.encode() for text in ("w0 ", "w1 w2 w3 ", "w4 w6 ")]
    result = read([SSE_HEAD, chunk(b"".join(frames))], until=7, tokens_per_second=50)
    assert (result["deliveries"], result["missing"], result["frames"]) == (6, 1, 3)
    assert not result["stamped"]


def test_a_word_may_say_when_it_was_produced() -> None:
    frames = b'data: {"type":"answer","answer":"w0@1 w1@1 "}\n\n'
    result = read([SSE_HEAD, chunk(frames)], until=2, tokens_per_second=50)
    assert (result["deliveries"], result["missing"], result["stamped"]) == (2, 0, True)


def test_websocket_frames_of_every_length_form_are_read() -> None:
    def text(n: int, padding: int) -> bytes:
        payload = json.dumps({"n": n, "sent": 1, "padding": "x" * padding}).encode()
        length = len(payload)
        head = bytes([length]) if length < 126 else b"\x7e" + struct.pack(">H", length) if length < 65536 else None
        return b"\x81" + (head or b"\x7f" + struct.pack(">Q", length)) + payload

    key = hashlib.sha1(b"dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()  # RFC 6455, 1.3
    head = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %s\r\n\r\n" % base64.b64encode(key)
    whole = head + text(1, 0) + b"\x89\x02hi" + text(2, 300) + text(3, 70_000)
    for cut in (len(head) - 3, len(head) + 1, len(head) + 40, len(head) + 60, len(whole) - 5):
        result = read([whole[:cut], whole[cut:]], until=3, websocket=True)
        assert (result["deliveries"], result["missing"]) == (3, 0), f"cut after byte {cut}"


def test_a_refused_reader_is_an_error() -> None:
    with pytest.raises(BenchmarkError, match="refused"):
        read([b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"])


def test_message_ids_are_kept_for_reading_again(tmp_path: Any) -> None:
    identity = "5f3c1b0a-0000-4000-8000-000000000000"
    first = f'data: {{"type":"message_id","message_id":"{identity}"}}\n\n'.encode()
    read(
        [SSE_HEAD, chunk(first + b'data: {"type":"answer","answer":"w0 "}\n\n')],
        until=1,
        tokens_per_second=50,
        ids=tmp_path / "ids",
    )
    assert (tmp_path / "ids").read_text().split() == [identity]


def frame_as(id_: str, n: int) -> bytes:
    return f'id: {id_}\ndata: {{"n":{n},"sent":1}}\n\n'.encode()


@contextmanager
def answering(*answers: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """A server that answers the first request with the first pieces and closes, and so on; and the requests that came."""
    requests: list[bytes] = []

    def accept() -> None:
        for pieces in answers:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                requests.append(connection.recv(65536))
                connection.sendall(b"".join(pieces))
                connection.shutdown(socket.SHUT_WR)
                while more := connection.recv(65536):
                    requests[-1] += more

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1], requests
        thread.join(30)


def test_a_reader_that_is_cut_off_comes_back_with_the_cursor_of_the_last_whole_event() -> None:
    first = [SSE_HEAD, chunk(frame_as("5-0", 1)), chunk(frame_as("6-0", 2)), chunk(b'id: 7-0\ndata: {"n":3,')]
    with (
        answering(first, [SSE_HEAD, chunk(frame_as("7-0", 3) + frame_as("8-0", 4))]) as (port, requests),
        Readers([port], 1, path="/feed", until=4, seconds=30, again=True) as readers,
    ):
        result = readers.result()
    assert (result["deliveries"], result["missing"], result["doubled"], result["reversed"]) == (4, 0, 0, 0)
    assert b"Last-Event-ID" not in requests[0]
    assert b"GET /feed HTTP/1.1\r\n" in requests[1]
    assert b"\r\nLast-Event-ID: 6-0\r\n" in requests[1]
    assert [each["readers"] for each in readers.reopened] == [1]


def test_who_asked_something_comes_back_for_the_answer_and_does_not_ask_again() -> None:
    identity = "5f3c1b0a-0000-4000-8000-000000000000"
    begun = f'data: {{"type":"message_id","message_id":"{identity}"}}\n\nid: 1\ndata: {{"type":"answer","answer":"w0 w1 "}}\n\n'
    rest = 'id: 3\ndata: {"type":"answer","answer":"w2 w3 "}\n\n'
    with (
        answering([SSE_HEAD, chunk(begun.encode())], [SSE_HEAD, chunk(rest.encode())]) as (port, requests),
        Readers([port], 1, path="/stream", body="{}", until=4, tokens_per_second=50, seconds=30, again=True) as readers,
    ):
        result = readers.result()
    assert (result["deliveries"], result["missing"], result["doubled"]) == (4, 0, 0)
    assert requests[0].startswith(b"POST /stream ")
    assert requests[1].startswith(f"GET /api/messages/{identity}/events ".encode())
    assert b"\r\nLast-Event-ID: 1\r\n" in requests[1]


def test_a_reader_whose_server_is_gone_goes_to_the_next_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        closed = probe.getsockname()[1]
    with (
        answering([SSE_HEAD, chunk(frame_as("1-0", 1))], [SSE_HEAD, chunk(frame_as("2-0", 2))]) as (port, _),
        Readers([port, closed], 1, until=2, seconds=30, again=True) as readers,
    ):
        assert (readers.result()["deliveries"], readers.result()["missing"]) == (2, 0)


def test_a_socket_subscribes_and_comes_back_with_its_cursor(tmp_path: Any) -> None:
    def text(payload: str) -> bytes:
        return bytes([0x81, len(payload)]) + payload.encode()

    frames = tmp_path / "frames"
    frames.write_text('{"action":"subscribe"}\n')
    head = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    subscribed = text('{"type":"subscribed","cursor":"4-0"}')
    event, later = text('{"id":"5-0","n":1,"sent":1}'), text('{"id":"6-0","n":2,"sent":1}')
    options: dict[str, Any] = {"path": "/ws?token=t", "websocket": True, "frames": frames, "again": True, "seconds": 30}
    with (
        answering([head, subscribed, event], [head, subscribed, later]) as (port, requests),
        Readers([port], 1, until=2, **options) as readers,
    ):
        assert readers.opened["opened"] == 1
        assert readers.result()["missing"] == 0
    # Masked with zeros, so that it can be read.
    assert b'{"action":"subscribe"}' in requests[0]
    assert b"GET /ws?token=t HTTP" in requests[0]
    assert b"GET /ws?token=t&since=5-0 HTTP" in requests[1]
