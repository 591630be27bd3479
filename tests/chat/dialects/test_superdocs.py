"""The frames of S3, byte for byte: `golden/superdocs_*.txt`. `UPDATE_GOLDEN=1 pytest` writes them anew, for review."""

import json
import os
from pathlib import Path

import pytest

from chat.dialects.superdocs import SuperDocsDialect
from events.event import Event, EventId

GOLDEN = Path(__file__).parent / "golden"
USAGE = {
    "monthly_used": 43,
    "monthly_limit": 500,
    "monthly_remaining": 457,
    "was_billable": True,
    "subscription_tier": "free",
}
STARTED = ("run.started", {"message_id": "m1", "conversation_id": "c1"})
CHANGE = {
    "change_id": "ch_1",
    "operation": "edit",
    "chunk_id": "550e8400-e29b-41d4-a716-446655440000",
    "old_html": "<p>Original\n\nsection \u2028 content...</p>",
    "new_html": "<p>Updated content with GDPR compliance...</p>",
    "ai_explanation": "Added GDPR data processing requirements",
    "batch_id": "ch_1",
    "batch_total": 1,
    "insert_after_chunk_id": None,
}
DECIDED = {
    "approval_id": "a1",
    "batch_id": "b1",
    "kind": "proposed_change",
    "subject": "ch_1",
    "title": "Edit a section",
    "status": "approved",
    "decided_by": "alice",
    "feedback": "",
    "edited": False,
}
RESULT = {
    "response": "Done.",
    "session_id": "my-session",
    "version_id": "v2",
    "changes_summary": "1 section changed.",
    "usage": USAGE,
}
COMPLETED = ("run.completed", {"conversation_id": "c1", "finish_reason": "stop", "usage": USAGE})
CASES = {
    "reviewed": [
        STARTED,
        ("progress", {"text": "Reading the document..."}),
        ("change.proposed", {"approval_id": "a1", "change_id": "ch_1", "change": CHANGE}),
        ("approval.requested", {"batch_id": "b1", "kind": "proposed_change", "approvals": []}),
        ("approval.decided", DECIDED),
        ("text.start", {"block": 1}),
        ("text.delta", {"block": 1, "text": "Done."}),
        ("text.end", {"block": 1}),
        ("usage", {"input_tokens": 3, "output_tokens": 4}),
        ("job.result", RESULT | {"updated_html": "<p>é\r\n</p>"}),
        COMPLETED,
    ],
    "expired": [STARTED, ("approval.decided", DECIDED | {"status": "expired", "decided_by": None})],
    "answer": [
        STARTED,
        ("tool.call", {"call_id": "x", "name": "search", "arguments": {}}),
        ("job.result", RESULT | {"version_id": None, "changes_summary": ""}),
        COMPLETED,
    ],
    "failed": [STARTED, ("run.failed", {"conversation_id": "c1", "code": "x", "message": "It broke.", "retryable": True})],
    "cancelled": [STARTED, ("run.cancelled", {"conversation_id": "c1"})],
}


def frames(name):
    events = [Event(EventId(seq, 0), type_, data, 1_700_000_000_000) for seq, (type_, data) in enumerate(CASES[name], 1)]
    return b"".join(map(SuperDocsDialect().frame, events))


@pytest.mark.parametrize("name", CASES)
def test_frames_are_those_of_the_golden_file(name):
    path = GOLDEN / f"superdocs_{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_bytes(frames(name))
    assert frames(name) == path.read_bytes()


@pytest.mark.parametrize("name", CASES)
def test_every_frame_has_its_sequence_as_id_and_one_line_of_ascii(name):
    for block in frames(name).decode("ascii").split("\n\n")[:-1]:
        event, id_, data = block.split("\n")
        told = json.loads(data.removeprefix("data: "))
        assert event == f"event: {told['type']}"
        assert id_ == f"id: {told['sequence']}"
        assert told["timestamp"] == "2023-11-14T22:13:20.000Z"


@pytest.mark.parametrize("name", CASES)
def test_no_frame_before_the_end_looks_like_the_end(name):
    """Clients of the seed take an `error` or a `status` of completed, failed or cancelled for the end."""
    told = [json.loads(line[6:]) for line in frames(name).decode().split("\n") if line.startswith("data: ")]
    for each in told:
        assert "status" not in each
        if each["type"] != "error":
            assert "error" not in each


def test_a_proposed_change_is_a_string_of_json():
    (line,) = [
        line for line in frames("reviewed").decode().split("\n") if '"proposed_change"' in line and line.startswith("data")
    ]
    content = json.loads(line[6:])["content"]
    assert isinstance(content, str)
    assert json.loads(content) == CHANGE
