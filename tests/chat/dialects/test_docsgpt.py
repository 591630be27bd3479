"""The frames of S0, byte for byte: `golden/*.txt`. `UPDATE_GOLDEN=1 pytest` writes them anew, for review."""

import json
import os
from pathlib import Path

import pytest

from chat.dialects.docsgpt import DocsGPTDialect
from events.event import Event, EventId, compact

GOLDEN = Path(__file__).parent / "golden"
STARTED = ("run.started", {"message_id": "m1", "conversation_id": "c1"})
COMPLETED = ("run.completed", {"conversation_id": "c1", "finish_reason": "stop"})

ASKED = {"approval_id": "a1", "reason": "", "payload_sha256": "00", "editable": True}
DECIDED = {"approval_id": "a1", "batch_id": "b1", "kind": "tool_call", "decided_by": "bob", "feedback": "", "edited": False}
CASES = {
    "answer": [
        STARTED,
        ("text.start", {"block": 1}),
        ("text.delta", {"block": 1, "text": "Hello"}),
        ("text.delta", {"block": 1, "text": ", wörld 😀\n\nid: 9\r\ndata: no\u2028"}),
        ("text.end", {"block": 1}),
        COMPLETED,
    ],
    "everything": [
        STARTED,
        ("reasoning.start", {"block": 1}),
        ("reasoning.delta", {"block": 1, "text": "Let me see"}),
        ("reasoning.end", {"block": 1}),
        ("sources", {"sources": [{"title": "T", "text": "t"}, {"title": "U", "text": "u"}]}),
        ("tool.call", {"call_id": "x", "name": "f", "arguments": {"a": [1, None, True]}}),
        ("tool.call", {"call_id": "y", "name": "g", "arguments": {}}),
        ("tool.result", {"call_id": "y", "name": "g", "status": "error", "error": "No.", "execution_id": "e"}),
        ("tool.result", {"call_id": "x", "name": "f", "status": "completed", "content": {"b": "ü"}, "execution_id": "e"}),
        ("text.start", {"block": 2}),
        ("text.delta", {"block": 2, "text": "Done"}),
        ("text.end", {"block": 2}),
        ("usage", {"input_tokens": 3, "output_tokens": 4}),
        COMPLETED,
    ],
    "approvals": [
        STARTED,
        ("tool.call", {"call_id": "x", "name": "f", "arguments": {"a": 1}}),
        ("tool.call", {"call_id": "y", "name": "g", "arguments": "{...", "arguments_truncated": True}),
        (
            "approval.requested",
            {
                "batch_id": "b1",
                "kind": "tool_call",
                "expires_at": "2026-01-02T03:04:05+00:00",
                "approvals": [
                    {"subject": "x", "title": "f", "payload": {"a": 1}, **ASKED},
                    {"subject": "y", "title": "g", **ASKED},
                ],
            },
        ),
        ("approval.decided", {"subject": "x", "title": "f", "status": "approved", **DECIDED}),
        ("approval.decided", {"subject": "y", "title": "g", "status": "denied", **DECIDED, "feedback": "No."}),
        ("tool.result", {"call_id": "y", "name": "g", "status": "denied", "error": "A human denied this call."}),
        ("tool.result", {"call_id": "x", "name": "f", "status": "completed", "content": 2}),
        ("tool.result", {"call_id": "z", "name": "f", "status": "expired", "error": "Nobody decided."}),
        ("approval.requested", {"batch_id": "b2", "kind": "proposed_change", "expires_at": "2026", "approvals": []}),
        COMPLETED,
    ],
    "failed": [
        STARTED,
        ("text.start", {"block": 1}),
        ("text.delta", {"block": 1, "text": "so far"}),
        ("text.end", {"block": 1}),
        ("run.failed", {"conversation_id": "c1", "code": "producer_stale", "message": "It died.", "retryable": True}),
    ],
    "cancelled": [STARTED, ("run.cancelled", {"conversation_id": "c1"})],
    "unknown": [STARTED, ("something.new", {"x": 1}), COMPLETED],
}


def events(name):
    return [Event(EventId(seq, 0), type_, data, 1_700_000_000_000) for seq, (type_, data) in enumerate(CASES[name], 1)]


def frames(name):
    return b"".join(map(DocsGPTDialect().frame, events(name)))


@pytest.mark.parametrize("name", CASES)
def test_the_bytes_are_the_golden_ones(name):
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        file.write_bytes(frames(name))
    assert frames(name) == file.read_bytes()


@pytest.mark.parametrize("name", CASES)
def test_every_frame_is_one_line_of_ascii_json_and_only_the_last_of_an_event_has_its_id(name):
    for event in events(name):
        data = DocsGPTDialect().frame(event)
        assert data.isascii()
        assert b"\r" not in data
        blocks = data.decode().split("\n\n")[:-1]
        for number, block in enumerate(blocks, 1):
            *before, line = block.split("\n")
            assert json.loads(line.removeprefix("data: "))["type"]
            assert before == ([f"id: {event.id.major}"] if number == len(blocks) else [])


def test_the_last_frame_of_every_ending_is_end_or_error():
    for name, kind in (("answer", "end"), ("failed", "error"), ("cancelled", "end")):
        last = frames(name).decode().split("\n\n")[-2].split("\n")[-1]
        assert json.loads(last.removeprefix("data: "))["type"] == kind


def test_joined_text_says_the_same():
    dialect = DocsGPTDialect()

    def text(found):
        lines = b"".join(map(dialect.frame, found)).decode().split("\n")
        payloads = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
        return "".join(payload.get("answer", "") for payload in payloads)

    assert text(compact(events("answer"))) == text(events("answer"))


def test_equal_dialects_share_what_they_encoded():
    assert DocsGPTDialect() == DocsGPTDialect()
    assert hash(DocsGPTDialect()) == hash(DocsGPTDialect())
