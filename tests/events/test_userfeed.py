import json

from hypothesis import given
from hypothesis import strategies as st

from events.event import Event, EventId
from events.ring import Batch
from events.streams import Stream
from events.userfeed import UserFeedDialect, truncated_frame
from tests.events.asgi import frames

DIALECT = UserFeedDialect(Stream("user", "u_1"))
ID = EventId(1700000000123, 4)


def envelope(frame):
    [(kind, data, last_id)] = frames(frame)
    assert kind == "message"
    return json.loads(data), last_id


def test_the_envelope_of_an_event():
    data = {"scope": {"kind": "source", "id": "s1"}, "payload": {"progress": 5}}
    told, last_id = envelope(DIALECT.frame(Event(ID, "source.ingest.progress", data, 1_700_000_000_007)))
    assert last_id == "1700000000123-4"
    assert told == {
        "type": "source.ingest.progress",
        "ts": "2023-11-14T22:13:20.007Z",
        "user_id": "u_1",
        "topic": "user:u_1",
        "scope": {"kind": "source", "id": "s1"},
        "payload": {"progress": 5},
        "id": "1700000000123-4",
    }


def test_data_without_a_payload_is_the_payload():
    told, _ = envelope(DIALECT.frame(Event(ID, "message.started", {"message_id": "m"}, 0)))
    assert (told["scope"], told["payload"]) == ({}, {"message_id": "m"})


def test_what_is_pending_has_no_id_to_resume_from():
    told, last_id = envelope(DIALECT.pending_frame(Event(ID, "message.started", {}, 0)))
    assert last_id == ""
    assert "id" not in told


def test_a_truncation_names_the_oldest_and_has_no_id():
    told, last_id = envelope(truncated_frame(Batch([Event(ID, "test.note", {}, 0)], reason="trimmed")))
    assert last_id == ""
    assert told == {"type": "backlog.truncated", "payload": {"oldest_retained_id": str(ID), "reason": "trimmed"}}
    told, _ = envelope(truncated_frame(Batch([], reason="expired")))
    assert told["payload"] == {"oldest_retained_id": "", "reason": "expired"}


@given(st.integers(0, 4_102_444_800_000), st.dictionaries(st.text(max_size=5), st.text(), max_size=3))
def test_every_event_is_one_frame(at, data):
    told, last_id = envelope(DIALECT.frame(Event(ID, "test.note", {"payload": data}, at)))
    assert told["payload"] == data
    assert last_id == str(ID)
    assert told["ts"][-5] == "."
