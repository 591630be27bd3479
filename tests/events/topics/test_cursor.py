import pytest

from events.event import EventId
from events.streams import Stream
from events.topics.cursor import LONGEST, Aside, SinceCursor, Standing, mark
from events.topics.grammar import parse_pattern

STREAM = Stream("org", "org_a")


def test_a_cursor_with_topics_aside_is_read_as_it_was_written():
    ahead, behind, later = (parse_pattern(f"events.org_a.s.task.{name}.*") for name in ("a", "b", "c"))
    asides = (Aside((mark(behind),), EventId(3, 0), EventId(5, 1)), Aside((mark(later),), EventId(8, 0), EventId(9, 0)))
    text = Standing({STREAM: EventId(9, 0)}, {STREAM: asides}).cursor
    read = SinceCursor(text)
    assert not read.is_malformed
    starts = [read.start(STREAM, each) for each in (ahead, behind, later)]
    assert [(start.place, start.since) for start in starts] == [
        (EventId(9, 0), EventId(0, 0)),
        (EventId(5, 1), EventId(3, 0)),
        (EventId(9, 0), EventId(8, 0)),
    ]


@pytest.mark.parametrize("text", ["org_a~x:1-0", "org_a~x~y:1-0", "org_a~x~1-0~2-0:1-0", "~:1-0", "org_a~x~1-0:z"])
def test_what_is_no_such_cursor_is_malformed(text):
    assert SinceCursor(text).is_malformed


def test_where_there_are_too_many_topics_to_be_named_something_is_told_twice_rather_than_not_at_all():
    marks = tuple(mark(parse_pattern(f"events.org_a.s.task.done.r{number}")) for number in range(1000))
    text = Standing({STREAM: EventId(9, 0)}, {STREAM: (Aside(marks, EventId(3, 0), EventId(5, 1)),)}).cursor
    assert (text, len(text) < LONGEST) == ("5-1", True)
