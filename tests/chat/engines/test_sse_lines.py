import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.engines.sse_lines import ServerSentEvent, SSEError, SSEParser


def events(chunks: list[bytes], *, limit: int = 10_000) -> list[ServerSentEvent]:
    parser = SSEParser(limit=limit)
    return [event for chunk in chunks for event in parser.feed(chunk)] + list(parser.finish())


def data(chunks: list[bytes]) -> list[str]:
    return [event.data for event in events(chunks)]


STREAM = (
    "\ufeff: hello\r\ndata: one \U0001f600\u2028\u0085\x0b two\r\ndata: three\r\n\r\n"
    "event: error\rdata:first\rdata:  second\r\r"
    "id: 7\nretry: 5\ndata\n\n:\n\ndata: last é\n\n"
).encode()
EXPECTED = [
    ServerSentEvent("", "one \U0001f600\u2028\u0085\x0b two\nthree"),
    ServerSentEvent("error", "first\n second"),
    ServerSentEvent("", ""),
    ServerSentEvent("", "last é"),
]


def test_the_stream_reads_as_the_standard_says() -> None:
    assert events([STREAM]) == EXPECTED


def test_a_cut_at_every_byte_changes_nothing() -> None:
    for cut in range(len(STREAM) + 1):
        assert events([STREAM[:cut], STREAM[cut:]]) == EXPECTED
    assert events([STREAM[i : i + 1] for i in range(len(STREAM))]) == EXPECTED


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_cuts_change_nothing(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    assert events([STREAM[a:b] for a, b in itertools.pairwise(edges)]) == EXPECTED


@given(
    st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\n"), min_size=1), min_size=1),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.integers(1, 7),
)
def test_data_comes_back_whole_whatever_the_line_ends_and_chunks(lines: list[str], end: str, size: int) -> None:
    body = "".join(f"data: {line}{end}{end}" for line in lines).encode()
    assert data([body[i : i + size] for i in range(0, len(body), size)]) == lines


def test_only_cr_and_lf_end_a_line() -> None:
    assert data(["data: a\u2028b\u2029c\x0b\x0c\x1c\x85d\n\n".encode()]) == ["a\u2028b\u2029c\x0b\x0c\x1c\x85d"]


def test_bytes_that_are_not_utf8_become_replacement_characters() -> None:
    assert data([b"data: a\xff\xc3", b"(b\n\n"]) == ["a\ufffd\ufffd(b"]


def test_the_last_event_may_lack_its_blank_line() -> None:
    assert data([b"data: one\n\ndata: two"]) == ["one", "two"]


def test_text_that_is_no_event_stream_is_refused_at_its_first_line() -> None:
    with pytest.raises(SSEError, match="not an event stream"):
        events([b"<!doctype html>\n"])


def test_an_unknown_field_after_the_first_event_is_ignored() -> None:
    assert data([b"data: one\n\nfoo: bar\ndata: two\n\n"]) == ["one", "two"]


@pytest.mark.parametrize("chunks", [[b"data: " + b"x" * 200], [b"data: ", b"x" * 90, b"y" * 90], [b"data: xxxxxxxxxxxx\n"] * 20])
def test_a_line_or_event_beyond_the_limit_is_refused(chunks: list[bytes]) -> None:
    with pytest.raises(SSEError, match="more than 100 bytes"):
        events(chunks, limit=100)


def test_events_before_a_fault_are_given() -> None:
    parser = SSEParser(limit=20)
    given_events = parser.feed(b"data: one\n\ndata: " + b"x" * 50 + b"\n\n")
    assert next(given_events).data == "one"
    with pytest.raises(SSEError):
        next(given_events)
