"""The frames of S4: `golden/nadoo/*.jsonl`. `UPDATE_GOLDEN=1 pytest` writes them anew, for review."""

import json
import os
from pathlib import Path

import pytest

from chat.dialects.nadoo import VOCABULARIES, NadooFrames
from events.event import Event, EventId, compact
from tests.chat.dialects.test_docsgpt import COMPLETED, STARTED

GOLDEN = Path(__file__).parent / "golden" / "nadoo"
SOURCES = ("sources", {"sources": [{"index": 1, "title": "Tëa", "text": "Tea is hot."}], "missing": ["docs"]})
REQUESTED = (
    "approval.requested",
    {"batch_id": "b", "kind": "tool_call", "approvals": [{"approval_id": "a", "subject": "x", "title": "calculator"}]},
)
FAILED = ("run.failed", {"conversation_id": "c1", "code": "producer_stale", "message": "It died.", "retryable": True})

CASES = {
    "answer": [
        STARTED,
        ("text.start", {"block": 1}),
        ("text.delta", {"block": 1, "text": "Based on the Q4 report, "}),
        ("text.delta", {"block": 1, "text": "revenue increased by 15%. 😀\u2028"}),
        ("text.end", {"block": 1}),
        SOURCES,
        ("usage", {"input_tokens": 30, "output_tokens": 12}),
        COMPLETED,
    ],
    "everything": [
        STARTED,
        SOURCES,
        ("reasoning.start", {"block": 1}),
        ("reasoning.delta", {"block": 1, "text": "Let me see"}),
        ("reasoning.end", {"block": 1}),
        ("tool.call", {"call_id": "x", "name": "calculator", "arguments": {"expression": "1+1"}}),
        REQUESTED,
        ("approval.decided", {"approval_id": "a", "batch_id": "b", "kind": "tool_call", "subject": "x", "status": "approved"}),
        ("progress", {"message": "calculating"}),
        ("tool.result", {"call_id": "x", "name": "calculator", "status": "completed", "content": 2, "execution_id": "e"}),
        ("text.start", {"block": 2}),
        ("text.delta", {"block": 2, "text": "Two."}),
        ("text.end", {"block": 2}),
        ("usage", {"input_tokens": 3, "output_tokens": 4}),
        COMPLETED,
    ],
    "failed": [STARTED, ("text.start", {"block": 1}), ("text.delta", {"block": 1, "text": "so far"}), FAILED],
    "cancelled": [
        STARTED,
        ("text.start", {"block": 1}),
        ("text.delta", {"block": 1, "text": "so"}),
        ("run.cancelled", {"conversation_id": "c1"}),
    ],
    "unknown": [STARTED, ("something.new", {"x": 1}), COMPLETED],
}


def events(name):
    # A third of a second apart, so that the time an answer took can be seen.
    return [
        Event(EventId(seq, 0), type_, data, 1_700_000_000_000 + 333 * seq) for seq, (type_, data) in enumerate(CASES[name], 1)
    ]


def encoder(vocabulary="nadoo", **about):
    return NadooFrames("m1", vocabulary=VOCABULARIES[vocabulary], about=about)


def told(found, by=None):
    by = by or encoder()
    return [frame for event in found for frame in by.frames(event)]


def text(frames):
    return "".join(frame["text"] for frame in frames if frame["type"] == "text-delta")


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize("name", CASES)
def test_the_frames_are_the_golden_ones(name, vocabulary):
    file = GOLDEN / f"{name}.{vocabulary}.jsonl"
    lines = "".join(json.dumps(frame) + "\n" for frame in told(events(name), encoder(vocabulary, ref="r")))
    if os.environ.get("UPDATE_GOLDEN") == "1":
        file.write_text(lines)
    assert lines == file.read_text()


def test_they_are_those_of_the_document():
    start, first, second, sources, end = told(events("answer"))
    assert start.items() >= {"type": "response_start", "message_id": "m1", "chat_id": "c1"}.items()
    assert first.items() >= {"type": "text-delta", "text": "Based on the Q4 report, ", "index": 0}.items()
    assert second.items() >= {"type": "text-delta", "index": 1}.items()
    assert sources.items() >= {"type": "sources", "sources": SOURCES[1]["sources"]}.items()
    whole = {"full_response": first["text"] + second["text"], "tokens_used": 12, "response_time": 2.331}
    assert end.items() >= {"type": "response_end", **whole}.items()


def test_those_of_the_other_document():
    frames = told(events("everything"), encoder("streaming"))
    assert [frame["type"] for frame in frames] == [
        *("message_start", "sources", "agent_thinking", "agent_tool_call", "approval_requested", "approval_decided", "progress"),
        *("agent_tool_result", "text_chunk", "token_usage", "done"),
    ]
    assert frames[8]["content"] == "Two."
    assert frames[9].items() >= {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}.items()


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize("name", CASES)
def test_every_frame_names_its_answer_its_place_and_its_time(name, vocabulary):
    for event in events(name):
        by = encoder(vocabulary)
        for frame in by.frames(event):
            assert (frame["message_id"], frame["seq"]) == ("m1", event.id.major)
            assert frame["timestamp"].endswith("Z")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("joined", [False, True])
def test_cut_anywhere_and_resumed_it_is_the_same(name, joined):
    uncut = told(events(name))
    for cut in range(len(CASES[name])):
        before, after = events(name)[:cut], events(name)[cut:]
        resumed = encoder()
        resumed.pass_over(before)
        rest = told(compact(after) if joined else after, resumed)
        if not joined:
            assert rest == [frame for frame in uncut if frame["seq"] > cut]
        assert text([frame for frame in uncut if frame["seq"] <= cut]) + text(rest) == text(uncut)
        assert rest[-1] == uncut[-1]


def test_an_index_never_comes_twice_though_pieces_were_joined():
    by = encoder()
    first = told(compact(events("answer")[:3]), by)
    by = encoder()
    by.pass_over(events("answer")[:3])
    assert [frame["index"] for frame in first + told(events("answer")[3:], by) if "index" in frame] == [0, 1]


def test_the_last_frame_of_a_very_long_answer_stays_below_what_clients_take():
    long = [STARTED, ("text.start", {"block": 1}), *[("text.delta", {"block": 1, "text": "é" * 10_000})] * 30, COMPLETED]
    found = [Event(EventId(seq, 0), type_, data, 0) for seq, (type_, data) in enumerate(long, 1)]
    end = told(found)[-1]
    assert len(json.dumps(end)) < 2**20
    assert (len(end["full_response"]), end["full_response_truncated"]) == (150_000, True)
    assert text(told(found)) == "é" * 300_000


def test_an_answer_that_comes_again_from_its_beginning_is_told_as_new():
    by = encoder()
    told(events("answer")[:4], by)
    assert told(events("answer"), by) == told(events("answer"))
