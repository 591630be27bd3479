import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.event import (
    EVENT_TYPES,
    START,
    Event,
    EventId,
    EventType,
    compact,
    is_terminal,
    pack,
    register,
    storable,
    to_json,
    unpack,
)
from tests.events.conftest import DELTA, END, NOTE, delta, end, note

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
data = st.dictionaries(st.text(max_size=8), json_values, max_size=4)


@st.composite
def streams_of_events(draw):
    kinds = st.one_of(
        st.tuples(st.just(DELTA.name), st.fixed_dictionaries({"block": st.integers(0, 2), "text": st.text(max_size=20)})),
        st.tuples(st.just(DELTA.name), st.fixed_dictionaries({"block": st.integers(0, 1)})),
        st.tuples(st.just(DELTA.name), st.fixed_dictionaries({"block": st.just(0), "text": st.integers()})),
        st.tuples(st.just(NOTE.name), st.fixed_dictionaries({"n": st.integers()})),
        st.tuples(st.just("test.unknown"), st.fixed_dictionaries({"text": st.text(max_size=3)})),
    )
    drawn = draw(st.lists(kinds, max_size=30))
    return [Event(EventId(n, 0), type_, data, n) for n, (type_, data) in enumerate(drawn, start=1)]


def spoken(events):
    """The text of each run of deltas of one block, and everything else as it is."""
    result = []
    for event in events:
        text = event.data.get("text") if event.type == DELTA.name else None
        key = (event.data.get("block"),)
        if isinstance(text, str) and result and result[-1][0] == key:
            result[-1] = (key, result[-1][1] + text)
        else:
            result.append((key, text) if isinstance(text, str) else (event.type, event.data, event.id))
    return result


@given(streams_of_events(), st.integers(1, 40))
def test_compacting_keeps_the_text_the_order_and_the_last_id(events, max_chars):
    compacted = compact(events, max_chars=max_chars)
    assert spoken(compacted) == spoken(events)
    assert [event.id for event in compacted][-1:] == [event.id for event in events][-1:]
    assert all(first.id < second.id for first, second in pairwise(compacted))
    assert {event.id for event in compacted} <= {event.id for event in events}


@given(streams_of_events())
def test_compacting_again_changes_nothing_more(events):
    once = compact(events)
    assert compact(once) == once


@given(streams_of_events())
def test_compacting_leaves_the_events_it_was_given_as_they_were(events):
    before = [(event.id, event.type, dict(event.data)) for event in events]
    compact(events)
    assert [(event.id, event.type, event.data) for event in events] == before


def test_a_replay_of_two_thousand_tokens_is_one_event_and_a_long_one_arrives_in_parts():
    tokens = [delta(n, "word ") for n in range(1, 2001)]
    assert [event.id.major for event in compact(tokens)] == [2000]
    parts = compact([delta(n, "x" * 100) for n in range(1, 1001)])
    assert 5 <= len(parts) <= 8
    assert max(len(event.data["text"]) for event in parts) <= 16384 + 100
    assert "".join(event.data["text"] for event in parts) == "x" * 100_000


def test_text_of_different_blocks_is_not_joined():
    events = [delta(1, "a"), delta(2, "b"), delta(3, "c", block=1), note(4), delta(5, "d", block=1)]
    assert [(event.id.major, event.data) for event in compact(events)] == [
        (2, {"block": 0, "text": "ab"}),
        (3, {"block": 1, "text": "c"}),
        (4, {"n": 4}),
        (5, {"block": 1, "text": "d"}),
    ]


@given(data, st.integers(0, 2**53))
def test_what_is_packed_is_unpacked(data, at):
    packed = pack(NOTE.name, data, at)
    assert packed.isascii()
    assert "\n" not in packed
    assert unpack(EventId(7, 0), packed) == Event(EventId(7, 0), NOTE.name, data, at)
    assert unpack(EventId(7, 0), packed.encode()) == Event(EventId(7, 0), NOTE.name, data, at)


def test_json_is_ascii_and_refuses_what_json_does_not_know():
    assert to_json({"a": "\u2028é\U0001f600"}) == '{"a":"\\u2028\\u00e9\\ud83d\\ude00"}'
    assert json.loads(to_json({"a": "\U0001f600"})) == {"a": "\U0001f600"}
    with pytest.raises(ValueError, match="JSON"):
        to_json({"a": float("nan")})


def test_ids_are_ordered_and_written_as_redis_writes_them():
    assert START < EventId(1, 0) < EventId(1, 1) < EventId(2, 0)
    assert str(EventId(1700000000000, 3)) == "1700000000000-3"


def test_only_terminal_types_end_a_stream():
    assert is_terminal(end(1))
    assert not is_terminal(note(1))
    assert not is_terminal(Event(START, "test.unknown", {}, 0))


def test_a_type_is_registered_once(monkeypatch):
    monkeypatch.setitem(EVENT_TYPES, "test.twice", EventType("test.twice", "One."))
    register(EventType("test.twice", "One."))
    with pytest.raises(ValueError, match=r"test\.twice"):
        register(EventType("test.twice", "Another."))
    assert EVENT_TYPES["test.twice"].meaning == "One."
    assert END.terminal


@given(json_values | st.text(st.characters(categories=["Cs", "Lu", "So"])))
def test_storable_text_has_neither_nul_nor_lone_surrogates(value):
    def clean(each):
        if isinstance(each, str):
            return "\x00" not in each and each.encode() is not None
        if isinstance(each, dict):
            return all(clean(key) and clean(item) for key, item in each.items())
        return not isinstance(each, list) or all(map(clean, each))

    assert clean(storable(value))
    assert storable(storable(value)) == storable(value)


def test_storable_text_is_changed_only_where_it_must_be():
    assert storable({"a": ["\ud83d\ude00", "\ud83d", 1, None, {"b\x00": "é\x00"}]}) == {
        "a": ["\U0001f600", "\ufffd", 1, None, {"b\ufffd": "é\ufffd"}]
    }
