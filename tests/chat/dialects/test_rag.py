"""The frames of S2, byte for byte: `golden/rag/*.txt`. `UPDATE_GOLDEN=1 pytest` writes them anew, for review."""

import json
import os
from pathlib import Path

import pytest

from chat.dialects.docsgpt import DocsGPTDialect
from chat.dialects.rag import RAGDialect
from events.event import Event, EventId, compact
from tests.chat.dialects.test_docsgpt import COMPLETED, STARTED

GOLDEN = Path(__file__).parent / "golden" / "rag"
SOURCES = ("sources", {"sources": [{"index": 1, "title": "Tëa", "text": "Tea is hot.\n\ndata: no\u2028"}]})

CASES = {
    "answer": [
        STARTED,
        SOURCES,
        ("text.start", {"block": 1}),
        ("text.delta", {"block": 1, "text": "Hello"}),
        ("text.delta", {"block": 1, "text": ", wörld 😀\n\nid: 9\r\nevent: done\r\ndata: no\u2028"}),
        ("text.end", {"block": 1}),
        ("usage", {"input_tokens": 3, "output_tokens": 4}),
        COMPLETED,
    ],
    "reasoning": [
        STARTED,
        SOURCES,
        ("reasoning.start", {"block": 1}),
        ("reasoning.delta", {"block": 1, "text": "Let me see"}),
        ("reasoning.end", {"block": 1}),
        ("tool.call", {"call_id": "x", "name": "f", "arguments": {}}),
        ("text.start", {"block": 2}),
        ("text.delta", {"block": 2, "text": "Done"}),
        ("text.end", {"block": 2}),
        COMPLETED,
    ],
    "no_sources": [STARTED, ("sources", {"sources": [], "missing": ["docs"]}), COMPLETED],
    "failed": [
        STARTED,
        SOURCES,
        ("text.start", {"block": 1}),
        ("text.delta", {"block": 1, "text": "so far"}),
        ("text.end", {"block": 1}),
        ("run.failed", {"conversation_id": "c1", "code": "producer_stale", "message": "It died.", "retryable": True}),
    ],
    "cancelled": [STARTED, SOURCES, ("run.cancelled", {"conversation_id": "c1"})],
    "unknown": [STARTED, ("something.new", {"x": 1}), SOURCES, COMPLETED],
}


def events(name):
    return [Event(EventId(seq, 0), type_, data, 1_700_000_000_000) for seq, (type_, data) in enumerate(CASES[name], 1)]


def frames(found):
    return b"".join(map(RAGDialect().frame, found))


def parsed(data):
    """(event, id, data) of every frame."""
    for block in data.decode("ascii").split("\n\n")[:-1]:
        event, id_, payload = block.split("\n")
        yield event.removeprefix("event: "), id_.removeprefix("id: "), json.loads(payload.removeprefix("data: "))


@pytest.mark.parametrize("name", CASES)
def test_the_bytes_are_the_golden_ones(name):
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(frames(events(name)))
    assert frames(events(name)) == file.read_bytes()


@pytest.mark.parametrize("name", CASES)
def test_sources_then_text_then_one_end(name):
    names = [event for event, _, _ in parsed(frames(events(name)))]
    assert names[0] == "sources"
    assert set(names[1:-1]) <= {"text"}
    assert names[-1] == {"failed": "error", "cancelled": "error"}.get(name, "done")


@pytest.mark.parametrize("name", CASES)
def test_every_frame_has_the_id_of_its_event_and_one_line_of_ascii(name):
    for event in events(name):
        data = RAGDialect().frame(event)
        assert b"\r" not in data
        assert [id_ for _, id_, _ in parsed(data)] in ([], [str(event.id.major)])


def test_the_payloads_are_those_of_the_document():
    assert [payload for _, _, payload in parsed(frames(events("answer")))] == [
        SOURCES[1],
        {"content": "Hello"},
        {"content": CASES["answer"][4][1]["text"]},
        {"completed": True},
    ]
    assert list(parsed(frames(events("failed"))))[-1][2] == {"code": "producer_stale", "message": "It died."}


def test_joined_text_says_the_same():
    def text(found):
        return "".join(payload["content"] for event, _, payload in parsed(frames(found)) if event == "text")

    assert text(compact(events("answer"))) == text(events("answer"))


def test_what_is_encoded_is_shared_within_a_dialect_only():
    assert RAGDialect() == RAGDialect()
    assert hash(RAGDialect()) == hash(RAGDialect())
    assert RAGDialect() != DocsGPTDialect()
