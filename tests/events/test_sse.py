import json

from hypothesis import given
from hypothesis import strategies as st

from events import sse
from events.event import to_json
from tests.events.asgi import frames

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
names = st.from_regex(r"[a-z]{1,10}", fullmatch=True)
ids = st.from_regex(r"[0-9]{1,18}(-[0-9]{1,18})?", fullmatch=True)
between = st.sampled_from([b"", sse.KEEPALIVE, sse.CONNECTED, sse.retry(200), sse.PUSH_DISABLED])


@given(st.lists(st.tuples(json_values, st.none() | ids, st.none() | names, between), max_size=8))
def test_what_is_framed_is_what_clients_read(told):
    body = b"".join(comment + sse.frame(to_json(data), id=id, event=event) for data, id, event, comment in told)
    last_id, expected = "", []
    for data, id, event, _ in told:
        last_id = id if id is not None else last_id
        expected.append((event or "message", data, last_id))
    assert [(event, json.loads(data), id) for event, data, id in frames(body)] == expected


@given(json_values)
def test_a_frame_is_ascii_with_one_line_of_data(data):
    frame = sse.frame(to_json(data), id="5")
    assert frame.isascii()
    assert b"\r" not in frame
    assert frame.count(b"data: ") >= 1
    assert frame.endswith(b"\n\n")
    assert len(frame.split(b"\n")) == 4


def test_the_exact_bytes():
    assert sse.frame('{"a":1}', id="7", event="text") == b'event: text\nid: 7\ndata: {"a":1}\n\n'
    assert sse.frame("{}") == b"data: {}\n\n"
    assert sse.retry(200) == b"retry: 200\n"


def test_comments_end_with_one_newline_so_that_nobody_sees_an_empty_event():
    for comment in (sse.KEEPALIVE, sse.CONNECTED, sse.PUSH_DISABLED):
        assert comment.startswith(b":")
        assert comment.endswith(b"\n")
        assert not comment.endswith(b"\n\n")
