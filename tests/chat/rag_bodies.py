"""Bodies of S2 that are wrong, by name; `golden/fastapi_422.json` has what FastAPI itself answers to each.

The golden answers were recorded from FastAPI 0.165 with pydantic 2.14, serving `ChatCompletionRequest`:
`app.post("/")(lambda request: ...)` with the model as its type, each body posted as `application/json`.
"""

from typing import Any

SOURCE = {"name": "docs", "model_name": "openai-small"}
ATTACHMENT = {"storage_key": "att_1"}
TURN = {"role": "user", "content": "Hi"}


def body(**fields: Any) -> dict[str, Any]:
    """A request that is right but for `fields`."""
    return {"query": "What?", **fields}


def source(**fields: Any) -> dict[str, Any]:
    """A request with one source."""
    return body(rag_config={"sources": [SOURCE | fields]})


def attachment(**fields: Any) -> dict[str, Any]:
    """A request with one attachment."""
    return body(attachment_config={"attachments": [ATTACHMENT | fields]})


def without(whole: dict[str, Any], name: str) -> dict[str, Any]:
    """The object but for one field."""
    return {key: value for key, value in whole.items() if key != name}


AT_THE_LIMIT: dict[str, Any] = {
    "only a query": body(),
    "query of 1": body(query="x"),
    "query of 10000": body(query="x" * 10_000),
    "query of 10000 in characters, not bytes": body(query="\U0001f600" * 10_000),
    "no history": body(history=[]),
    "history of 50": body(history=[TURN] * 50),
    "history of all roles": body(history=[TURN | {"role": role} for role in ("user", "assistant", "system")]),
    "content of 1": body(history=[TURN | {"content": "x"}]),
    **{f"context_mode {mode}": body(context_mode=mode) for mode in ("rag", "attachment", "hybrid", "document", "none")},
    "no rag_config": body(rag_config=None),
    "empty rag_config": body(rag_config={}),
    "100 sources": body(rag_config={"sources": [SOURCE] * 100}),
    "limit 1": source(limit=1),
    "limit 50": source(limit=50),
    "similarity_threshold 0": source(similarity_threshold=0),
    "similarity_threshold 1": source(similarity_threshold=1),
    "weight 0": source(weight=0),
    "weight 2": source(weight=2),
    "no metadata_filters": source(metadata_filters=None),
    "metadata_filters of anything": source(metadata_filters={"a": [1, None, True, "x"], "b": {"gte": 1.5}}),
    **{
        f"retrieval_strategy {name}": body(rag_config={"retrieval_strategy": name})
        for name in ("merge", "sequential", "ensemble")
    },
    "max_total_results 1": body(rag_config={"max_total_results": 1}),
    "max_total_results 50": body(rag_config={"max_total_results": 50}),
    "no attachment_config": body(attachment_config=None),
    "20 attachments": body(attachment_config={"attachments": [ATTACHMENT] * 20}),
    "storage_key of 1": attachment(storage_key="x"),
    "no title": attachment(title=None),
    "attachment max_tokens 1": attachment(max_tokens=1),
    "attachments max_tokens 1": body(attachment_config={"max_tokens": 1}),
    "attachments max_tokens null": body(attachment_config={"max_tokens": None}),
    "include_full_content false": body(attachment_config={"include_full_content": False}),
    "document_paths null": body(document_paths=None),
    "20 document_paths": body(document_paths=["a.md"] * 20),
    "temperature 0": body(temperature=0),
    "temperature 2": body(temperature=2),
    "max_tokens 1": body(max_tokens=1),
    "max_tokens 8192": body(max_tokens=8192),
    "system_prompt null": body(system_prompt=None),
    "conversation_id null": body(conversation_id=None),
    "conversation_id of 255": body(conversation_id="x" * 255),
    "unknown fields": body(stream=True, user="x"),
    "numbers as text": body(temperature="0.5", max_tokens="5"),
}

BEYOND: dict[str, Any] = {
    "no body": b"",
    "not JSON": b'{"query": "x"',
    "not JSON either": b"query=x",
    "a trailing comma": b'{"query": "x",}',
    "null": None,
    "a list": [],
    "a text": "x",
    "a number": 5,
    "no query": {},
    "query of 0": body(query=""),
    "query of 10001": body(query="x" * 10_001),
    "query null": body(query=None),
    "query a number": body(query=5),
    "query with NUL": body(query="a\0b"),
    "history null": body(history=None),
    "history of 51": body(history=[TURN] * 51),
    "history of numbers": body(history=[1]),
    "history of an unknown role": body(history=[TURN, TURN | {"role": "tool"}]),
    "history without role": body(history=[without(TURN, "role")]),
    "history without content": body(history=[without(TURN, "content")]),
    "history of no content": body(history=[TURN | {"content": ""}]),
    "context_mode unknown": body(context_mode="RAG"),
    "context_mode null": body(context_mode=None),
    "rag_config a text": body(rag_config="all"),
    "rag_config a list": body(rag_config=[]),
    "sources null": body(rag_config={"sources": None}),
    "101 sources": body(rag_config={"sources": [SOURCE] * 101}),
    "source a text": body(rag_config={"sources": ["docs"]}),
    "source without name": body(rag_config={"sources": [without(SOURCE, "name")]}),
    "source without model_name": body(rag_config={"sources": [without(SOURCE, "model_name")]}),
    "limit 0": source(limit=0),
    "limit 51": source(limit=51),
    "limit 1.5": source(limit=1.5),
    "limit a text": source(limit="many"),
    "similarity_threshold below 0": source(similarity_threshold=-0.01),
    "similarity_threshold above 1": source(similarity_threshold=1.01),
    "similarity_threshold null": source(similarity_threshold=None),
    "weight below 0": source(weight=-0.01),
    "weight above 2": source(weight=2.01),
    "metadata_filters a list": source(metadata_filters=[]),
    "retrieval_strategy unknown": body(rag_config={"retrieval_strategy": "best"}),
    "max_total_results 0": body(rag_config={"max_total_results": 0}),
    "max_total_results 51": body(rag_config={"max_total_results": 51}),
    "attachment_config a list": body(attachment_config=[]),
    "21 attachments": body(attachment_config={"attachments": [ATTACHMENT] * 21}),
    "attachment without storage_key": body(attachment_config={"attachments": [{"title": "x"}]}),
    "storage_key of 0": attachment(storage_key=""),
    "title a number": attachment(title=1),
    "attachment max_tokens 0": attachment(max_tokens=0),
    "attachments max_tokens 0": body(attachment_config={"max_tokens": 0}),
    "include_full_content a text": body(attachment_config={"include_full_content": "perhaps"}),
    "21 document_paths": body(document_paths=["a.md"] * 21),
    "document_paths of numbers": body(document_paths=["a.md", 1]),
    "document_paths a text": body(document_paths="a.md"),
    "embedding_model null": body(embedding_model=None),
    "llm_model a number": body(llm_model=4),
    "system_prompt a list": body(system_prompt=[]),
    "temperature below 0": body(temperature=-0.1),
    "temperature above 2": body(temperature=2.1),
    "temperature a text": body(temperature="hot"),
    "max_tokens 0": body(max_tokens=0),
    "max_tokens 8193": body(max_tokens=8193),
    "seed below 0": body(seed=-1),
    "conversation_id a number": body(conversation_id=5),
    "conversation_id of 256": body(conversation_id="x" * 256),
    "several at once": body(
        query="", temperature=3, history=[TURN, {}], rag_config={"sources": [SOURCE | {"limit": 0, "weight": 9}]}
    ),
}
