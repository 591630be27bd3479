import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from events import frames
from events.exceptions import InvalidRequest, TooMany

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.text(st.characters()) | ANYTHING.map(json.dumps))
@example("[" * 100_000)
@example('{"a":' * 100_000)
@example('{"a":"' + "[" * 100 + '"}')
def test_any_text_is_a_clean_object_or_a_clear_error(text):
    try:
        frame = frames.parse(text)
    except InvalidRequest:
        return
    assert isinstance(frame, dict)
    # What every store and every client can take.
    json.dumps(frame, allow_nan=False, ensure_ascii=False).encode()
    assert "\x00" not in json.dumps(frame, ensure_ascii=False)


def test_brackets_in_text_are_no_depth():
    assert frames.parse('{"a":"' + "[" * 1000 + '"}') == {"a": "[" * 1000}


@pytest.mark.parametrize("depth", [frames.MAX_DEPTH, frames.MAX_DEPTH + 1])
def test_depth_has_an_exact_bound(depth):
    text = '{"a":' + "[" * (depth - 1) + "1" + "]" * (depth - 1) + "}"
    if depth <= frames.MAX_DEPTH:
        assert frames.parse(text)
    else:
        with pytest.raises(InvalidRequest, match="deeper"):
            frames.parse(text)


def test_the_type_may_be_called_action():
    assert frames.type_of({"type": "a", "action": "b"}) == "a"
    assert frames.type_of({"action": "b"}) == "b"


@pytest.mark.parametrize("value", [None, "", 5, True, [], {}, "x" * 11])
def test_a_text_field_is_text_of_a_bounded_length(value):
    with pytest.raises(InvalidRequest, match="name"):
        frames.text_field({"name": value}, "name", longest=10)
    assert frames.text_field({"name": "x" * 10}, "name", longest=10) == "x" * 10
    assert frames.text_field({}, "name", longest=10, default="") == ""


def test_errors_are_told_with_ref_and_when_to_come_back():
    assert frames.error_frame(InvalidRequest("No.")) == {"type": "error", "code": "invalid_request", "message": "No."}
    assert frames.error_frame(TooMany("No.", retry_after=1.2), ref=0) == {
        "type": "error",
        "code": "too_many",
        "message": "No.",
        "retry_after": 2,
        "ref": 0,
    }


def test_timestamps_are_iso_with_milliseconds_and_z():
    assert frames.timestamp(1_700_000_000.5) == "2023-11-14T22:13:20.500Z"
