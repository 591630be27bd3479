import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from events.event import START, EventId
from events.exceptions import InvalidRequest
from events.streams import KINDS, Stream, format_cursor, parse_cursor

DURABLE = Stream("message", "5f3c")
BACKLOG = Stream("user", "u1")


@given(st.text() | st.from_regex(r"[0-9]{1,40}(-[0-9]{1,40})?"))
@example("٣")  # a digit, but not of ASCII
@example("1-٣")
@example("+1")
@example("1_0")
@example("-1")
@example("1" * 5000)
@example("\x00")
@example("\ud800")
def test_any_text_is_a_cursor_or_none(text):
    for stream in (DURABLE, BACKLOG):
        cursor = parse_cursor(stream, text)
        assert cursor is None or cursor >= START
        if cursor is not None:
            assert parse_cursor(stream, format_cursor(stream, cursor)) == cursor
            assert text.strip().isascii()


@given(st.integers(0, 10**18 - 1), st.integers(0, 10**18 - 1))
def test_cursors_survive_being_written_and_read(major, minor):
    backlog, durable = EventId(major, minor), EventId(major, 0)
    assert parse_cursor(BACKLOG, format_cursor(BACKLOG, backlog)) == backlog
    assert parse_cursor(DURABLE, format_cursor(DURABLE, durable)) == durable


@pytest.mark.parametrize("stream", [DURABLE, BACKLOG])
@pytest.mark.parametrize("text", ["0", "0-0", " 0 "])
def test_zero_is_before_everything(stream, text):
    assert parse_cursor(stream, text) == START


@pytest.mark.parametrize("text", ["5-0", "", "abc", "1.5", "0x10", "1e3", "9" * 19, "5 5"])
def test_malformed_cursors_of_durable_streams(text):
    assert parse_cursor(DURABLE, text) is None


@pytest.mark.parametrize("text", ["5", "", "5-", "-5", "5-0-0", "5-a", "9" * 19 + "-0", "$", "+", "*"])
def test_malformed_cursors_of_backlogs(text):
    assert parse_cursor(BACKLOG, text) is None


def test_a_name_is_parsed_into_its_stream():
    assert Stream.parse("user:a:b") == Stream("user", "a:b")
    assert Stream.parse(DURABLE.name) == DURABLE
    assert DURABLE.durable
    assert not BACKLOG.durable


@pytest.mark.parametrize("name", ["", "user", "user:", ":5", "nothing:5"])
def test_names_that_are_no_stream(name):
    with pytest.raises(InvalidRequest):
        Stream.parse(name)


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(InvalidRequest, match="message, execution, user"):
        Stream("nothing", "1")
    assert {kind.name for kind in KINDS.values() if kind.durable} == {"message", "execution"}
