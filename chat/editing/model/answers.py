"""Reading what a language model proposes: nothing in it is trusted. No I/O."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from chat.editing import changes
from chat.editing.changes import BadChange, Change
from chat.editing.document import Chunk, Document
from chat.engines.text import clean_json

MOST_TRIED = 20
"""At how many `{` the object is looked for."""
LONGEST_RESPONSE = 4000
LONGEST_WHY = 1000
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)


class _Proposed(BaseModel):
    """One change as the model writes it."""

    model_config = ConfigDict(extra="ignore", strict=True)

    operation: Literal["edit", "create", "delete"]
    id: str | None = None
    insert_after: str | None = None
    html: str | None = None
    why: str = ""


class _Answer(BaseModel):
    """The object around them."""

    model_config = ConfigDict(extra="ignore", strict=True)

    response: str = ""
    changes: list[Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """What could be used of an answer, and what is wrong with the rest, in sentences for the model."""

    changes: tuple[Change, ...]
    response: str
    problems: tuple[str, ...]


def read(text: str, document: Document, names: Mapping[str, Chunk]) -> Reading:
    """The changes in an answer, each checked against the document; never raises. `names`: the ids that were sent."""
    found = _object(text)
    if found is None:
        return Reading((), "", ("It is not one JSON object.",))
    try:
        answer = _Answer.model_validate(found)
    except ValidationError as error:
        return Reading((), "", tuple(_told(error)))
    if len(answer.changes) > changes.MOST_CHANGES:
        return Reading((), "", (f"It has more than {changes.MOST_CHANGES} changes.",))
    made: list[Change] = []
    problems: list[str] = []
    touched: set[str] = set()
    for number, each in enumerate(answer.changes, 1):
        try:
            change = _change(_Proposed.model_validate(each), document, names)
            if change.chunk_id is not None and change.chunk_id in touched:
                raise BadChange("", "that piece is changed twice.")
        except ValidationError as error:
            problems += [f"Change {number}: {told}" for told in _told(error)]
        except BadChange as error:
            problems.append(f"Change {number}: {error.message}")
        else:
            touched.add(change.chunk_id or change.change_id)
            if change.new_html is None or change.new_html != change.old_html:
                made.append(change)
    return Reading(tuple(made), answer.response.strip()[:LONGEST_RESPONSE], tuple(problems))


def _change(proposed: _Proposed, document: Document, names: Mapping[str, Chunk]) -> Change:
    why = proposed.why.strip()[:LONGEST_WHY]
    if proposed.operation == "create":
        after = _named(proposed.insert_after, names) if proposed.insert_after is not None else None
        return changes.create(document, after, proposed.html or "", why)
    chunk = _named(proposed.id, names)
    if proposed.operation == "delete":
        return changes.delete(document, chunk, why)
    return changes.edit(document, chunk, proposed.html or "", why)


def _named(name: str | None, names: Mapping[str, Chunk]) -> Chunk:
    chunk = names.get((name or "").strip().strip("[]<>"))
    if chunk is None:
        raise BadChange("", f"there is no piece with the id {str(name)[:40]!r} among those given.")
    return chunk


def _object(text: str) -> Any:
    """The first JSON object in the text with `changes`: models write fences, thoughts and greetings around it."""
    text = _THOUGHT.sub("", text)
    decoder = json.JSONDecoder(strict=False)
    at = -1
    for _ in range(MOST_TRIED):
        at = text.find("{", at + 1)
        if at < 0:
            return None
        try:
            found, _end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and "changes" in found:
            return clean_json(found)
    return None


def _told(error: ValidationError) -> list[str]:
    """Where and what, without what was given: it may be long."""
    return [
        f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}."
        for each in error.errors(include_url=False, include_input=False)
    ][:5]
