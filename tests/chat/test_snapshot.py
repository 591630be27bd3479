from hypothesis import given
from hypothesis import strategies as st

from chat.run_events import Type
from chat.snapshot import Snapshot
from events.event import Event, EventId, compact

TEXTS = st.text(max_size=8)
BLOCK = st.tuples(st.sampled_from(["text", "reasoning"]), st.lists(TEXTS, max_size=6))
OTHER = st.one_of(
    st.builds(lambda title: (Type.SOURCES, {"sources": [{"title": title}]}), TEXTS),
    st.builds(lambda name: (Type.TOOL_CALL, {"call_id": "c", "name": name, "arguments": {}}), TEXTS),
    st.builds(lambda n: (Type.USAGE, {"input_tokens": n, "output_tokens": n}), st.integers(0, 9)),
)


@st.composite
def streams(draw):
    """A run's events: whole blocks and others between them, cut anywhere."""
    items = [(Type.STARTED, {"message_id": "m", "conversation_id": "c"})]
    block = 0
    for part in draw(st.lists(st.one_of(BLOCK, OTHER), max_size=6)):
        if isinstance(part[0], Type):
            items.append(part)
            continue
        family, texts = part
        block += 1
        items.append((f"{family}.start", {"block": block}))
        items += [(f"{family}.delta", {"block": block, "text": text}) for text in texts]
        items.append((f"{family}.end", {"block": block}))
    cut = draw(st.integers(0, len(items)))
    return [Event(EventId(seq, 0), str(type_), data, seq) for seq, (type_, data) in enumerate(items[:cut], 1)]


def state(snapshot):
    return (
        snapshot.head,
        "".join(snapshot.text),
        "".join(snapshot.thought),
        snapshot.sources,
        snapshot.tool_calls,
        snapshot.usage,
        snapshot.open_block,
        snapshot.blocks,
    )


@given(streams(), st.integers(1, 20))
def test_the_fold_of_compacted_events_is_the_fold_of_the_events(events, most):
    assert state(Snapshot.of(compact(events, max_chars=most))) == state(Snapshot.of(events))


@given(streams(), st.data())
def test_a_fold_goes_on_where_it_was_left(events, data):
    cut = data.draw(st.integers(0, len(events)))
    snapshot = Snapshot.of(events[:cut])
    for event in events[cut:]:
        snapshot.head = event.id.major
        snapshot.add(event.type, event.data)
    assert state(snapshot) == state(Snapshot.of(events))


def test_nothing_is_shared_between_snapshots():
    first = Snapshot.of([Event(EventId(1, 0), Type.SOURCES, {"sources": [{"title": "a"}]}, 0)])
    assert Snapshot().sources == []
    assert first.sources == [{"title": "a"}]


def folded(*items):
    return Snapshot.of(Event(EventId(seq, 0), str(type_), data, seq) for seq, (type_, data) in enumerate(items, 1))


CALL = (Type.TOOL_CALL, {"call_id": "a", "name": "f", "arguments": {}})
ASKED = (Type.APPROVAL_REQUESTED, {"approvals": [{"subject": "a", "approval_id": "p"}]})
DECIDED = (Type.APPROVAL_DECIDED, {"subject": "a", "status": "approved"})
RESULT = (Type.TOOL_RESULT, {"call_id": "a", "name": "f", "status": "completed", "content": 1})


def test_a_call_has_the_state_it_is_in():
    states = [folded(*items).tool_calls[0].get("status") for items in ((CALL,), (CALL, ASKED), (CALL, ASKED, DECIDED))]
    assert states == [None, "awaiting_approval", "approved"]
    (call,) = folded(CALL, ASKED, DECIDED, RESULT).tool_calls
    assert call == {"call_id": "a", "name": "f", "arguments": {}, "approval_id": "p", "status": "completed", "content": 1}
    assert "status" not in CALL[1]


def test_it_waits_until_something_else_than_decisions_and_results_is_written():
    assert [folded(*items).is_waiting for items in ((CALL,), (CALL, ASKED), (CALL, ASKED, DECIDED, RESULT))] == [
        False,
        True,
        True,
    ]
    assert not folded(CALL, ASKED, DECIDED, RESULT, ("text.start", {"block": 1})).is_waiting
    assert folded(CALL, ASKED, DECIDED, RESULT).answered == {"a"}
