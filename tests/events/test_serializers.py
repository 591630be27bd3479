import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.event import to_json
from events.serializers import PublicationSerializer

GOOD = {"user": "u_1", "type": "source.ingest.queued"}


def checked(data, **options):
    serializer = PublicationSerializer(data=data, **options)
    return serializer.is_valid(), serializer


def test_what_is_left_out_has_a_value():
    valid, serializer = checked(GOOD)
    assert valid
    assert serializer.validated_data == GOOD | {"payload": {}, "scope": {}, "idempotency_key": ""}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"type": "queued"}, "type"),
        ({"type": "Source.queued"}, "type"),
        ({"type": "source.queued\nid: 1-1"}, "type"),
        ({"type": "a." + "b" * 99}, "type"),
        ({"type": None}, "type"),
        ({"user": ""}, "user"),
        ({"user": "u" * 129}, "user"),
        ({"payload": [1]}, "payload"),
        ({"payload": None}, "payload"),
        ({"scope": {"id": {}}}, "scope"),
        ({"idempotency_key": "k" * 256}, "idempotency_key"),
        ({"stream": "user:u_1"}, "non_field_errors"),
        ({"payload": {"n": float("nan")}}, "non_field_errors"),
        ({"payload": {"deep": [{"n": float("inf")}]}}, "non_field_errors"),
    ],
)
def test_what_is_wrong_is_named(fields, field):
    valid, serializer = checked(GOOD | fields)
    assert not valid
    assert set(serializer.errors) == {field}


def test_one_of_user_and_stream_is_needed():
    assert not checked({"type": "a.b"})[0]
    assert checked({"type": "a.b", "stream": "org:o_1"})[0]


def test_one_wrong_event_spoils_a_list_and_an_empty_list_is_refused():
    assert checked([GOOD, GOOD], many=True)[0]
    valid, serializer = checked([GOOD, {"user": "u_1"}], many=True)
    assert not valid
    assert "type" in str(serializer.errors)
    assert not checked([], many=True, allow_empty=False)[0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_what_is_accepted_can_be_written(payload):
    valid, serializer = checked(GOOD | {"payload": payload})
    if valid:
        assert to_json(serializer.validated_data["payload"])
