"""S2's request: every bound at the limit and one beyond, and errors word for word as FastAPI tells them."""

import json
import time
from pathlib import Path

import pytest

from chat.rag_request import parse
from events.exceptions import Unprocessable, error_response
from tests.chat.rag_bodies import AT_THE_LIMIT, BEYOND, TURN, body, source
from tests.patience import patiently

GOLDEN = json.loads((Path(__file__).parent / "golden" / "fastapi_422.json").read_text())


def raw(value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def errors(value):
    """What a client is told: the `detail` of the response."""
    with pytest.raises(Unprocessable) as raised:
        parse(raw(value))
    response = error_response(raised.value)
    assert response.status_code == 422
    whole = json.loads(response.content, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert set(whole) == {"detail"}
    return whole["detail"]


def shortened(told):
    return [
        each | {"input": "(long)"} if isinstance(each.get("input"), str | list) and len(str(each["input"])) > 300 else each
        for each in told
    ]


@pytest.mark.parametrize("name", AT_THE_LIMIT)
def test_what_is_at_the_limit_is_taken(name):
    parse(raw(AT_THE_LIMIT[name]))


@pytest.mark.parametrize("name", BEYOND)
def test_one_beyond_is_told_as_fastapi_tells_it(name):
    told = shortened(errors(BEYOND[name]))
    if name == "query with NUL":
        assert told[0].pop("input") == "a\ufffdb"
        GOLDEN[name][0].pop("input", None)
    assert told == GOLDEN[name]
    assert all(each["loc"][0] == "body" for each in told)


def test_the_golden_answers_are_of_these_bodies():
    assert set(GOLDEN) == set(BEYOND)


def test_every_field_has_the_default_of_the_document():
    asked = parse(raw(source()))
    assert asked.model_dump() == {
        "query": "What?",
        "history": [],
        "context_mode": "rag",
        "rag_config": {
            "sources": [
                {
                    "name": "docs",
                    "model_name": "openai-small",
                    "limit": 5,
                    "similarity_threshold": 0.7,
                    "weight": 1.0,
                    "metadata_filters": None,
                }
            ],
            "retrieval_strategy": "merge",
            "max_total_results": 10,
        },
        "attachment_config": None,
        "document_paths": None,
        "embedding_model": "openai-small",
        "llm_model": "gpt-4o-mini",
        "system_prompt": None,
        "temperature": 0.7,
        "max_tokens": 1024,
        "seed": None,
        "conversation_id": None,
    }
    empty = parse(raw(body(attachment_config={}))).attachment_config
    assert empty.model_dump() == {"attachments": [], "max_tokens": None, "include_full_content": True}


@pytest.mark.parametrize(
    "path",
    [
        ("query",),
        ("system_prompt",),
        ("conversation_id",),
        ("llm_model",),
        ("embedding_model",),
        ("history", 0, "content"),
        ("rag_config", "sources", 0, "name"),
        ("rag_config", "sources", 0, "model_name"),
        ("rag_config", "sources", 0, "metadata_filters"),
        ("attachment_config", "attachments", 0, "storage_key"),
        ("attachment_config", "attachments", 0, "title"),
        ("document_paths", 0),
    ],
    ids=str,
)
@pytest.mark.parametrize(("text", "kind"), [("a\0", "string_nul"), ("a\ud800", "string_unicode")], ids=["NUL", "half"])
def test_text_that_the_database_cannot_hold_is_refused_where_it_is(path, text, kind):
    value = {"key": [text]} if path[-1] == "metadata_filters" else text
    whole = body(
        history=[dict(TURN)],
        rag_config={"sources": [{"name": "n", "model_name": "m"}]},
        attachment_config={"attachments": [{"storage_key": "k"}]},
        document_paths=["a"],
    )
    place = whole
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    (told,) = errors(whole)
    assert told["loc"] == ["body", *path]
    assert told["type"] == kind or path[-1] == "metadata_filters"


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_a_number_that_json_has_not_is_refused(number):
    (told,) = errors(b'{"query": "x", "temperature": %s}' % number)
    assert told["loc"] == ["body", "temperature"]
    (told,) = errors(
        b'{"query": "x", "rag_config": {"sources": [{"name": "n", "model_name": "m", "metadata_filters": {"a": [%s]}}]}}' % number
    )
    assert (told["loc"], told["type"]) == (["body", "rag_config", "sources", 0, "metadata_filters"], "finite_number")


@pytest.mark.parametrize("depth", [3, 21, 300, 480, 600, 900, 990, 5000, 200_000])
def test_deep_nesting_is_refused_and_never_an_error_of_ours(depth):
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    filters = b'{"query": "x", "rag_config": {"sources": [{"name": "n", "model_name": "m", "metadata_filters": %s}]}}' % nested
    assert errors(filters)[0]["type"] in {"filters_invalid", "json_invalid"}
    # The whole body is the input of the error.
    assert errors(b'{"other": %s}' % nested)[0]["type"] in {"missing", "json_invalid"}
    assert errors(b"[" * depth + b"]" * depth)[0]["type"] in {"model_attributes_type", "json_invalid"}


@pytest.mark.parametrize(
    "filters",
    [
        {"a": {"like": "x"}},
        {"a": {}},
        {"a": [[1]]},
        {"a": {"gte": True}},
        {"a": {"gte": None}},
        {str(n): n for n in range(21)},
        {"a": list(range(101))},
    ],
    ids=str,
)
def test_filters_that_no_search_can_be_made_with_are_refused_before_the_answer_begins(filters):
    (told,) = errors(source(metadata_filters=filters))
    assert (told["loc"], told["type"]) == (["body", "rag_config", "sources", 0, "metadata_filters"], "filters_invalid")
    assert "metadata_filters" in told["msg"]


@pytest.mark.parametrize(
    "filters", [{}, {str(n): n for n in range(20)}, {"a": list(range(100))}, {"a": {"gte": 1, "lte": 2}, "b": None}], ids=str
)
def test_filters_that_a_search_can_be_made_with_are_taken(filters):
    assert parse(raw(source(metadata_filters=filters))).rag_config.sources[0].metadata_filters == filters


@pytest.mark.parametrize("text", ["a\0", "a\ud800"], ids=["NUL", "half"])
def test_a_key_of_filters_that_the_database_cannot_hold_is_refused(text):
    (told,) = errors(source(metadata_filters={text: 1}))
    assert told["loc"][-1] == "metadata_filters"


@pytest.mark.parametrize(
    "data", [b"\xff", b'{"query": "\xff"}', b'{"query": 1' + b"0" * 5000 + b"}"], ids=["no text", "no UTF-8", "a huge number"]
)
def test_a_body_that_cannot_be_read_is_told_as_no_json(data):
    (told,) = errors(data)
    assert (told["type"], told["loc"]) == ("json_invalid", ["body", 0])


def test_a_body_full_of_mistakes_is_refused_quickly_and_briefly():
    began = time.monotonic()
    for wrong in (
        b'{"query": "x", "rag_config": {"sources": [' + b",".join([b"{}"] * 340_000) + b"]}}",
        b'{"query": "x", "history": [' + b",".join([b"{}"] * 340_000) + b"]}",
        b'{"query": "x", "attachment_config": {"attachments": [' + b",".join([b"{}"] * 340_000) + b"]}}",
        b'{"query": "x", "document_paths": [' + b",".join([b"0"] * 500_000) + b"]}",
    ):
        with pytest.raises(Unprocessable) as raised:
            parse(wrong)
        assert len(raised.value.errors) == 1
        assert len(error_response(raised.value).content) < 3 * len(wrong)
    assert time.monotonic() - began < patiently(10)
