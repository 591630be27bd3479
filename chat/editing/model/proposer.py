"""Proposals by a language model: asked part by part, its answer checked, repaired once, refused otherwise."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from uuid import UUID

from chat.editing.changes import MOST_CHANGES, Change, batch
from chat.editing.document import Chunk, Document
from chat.editing.model.answers import Reading, read
from chat.editing.model.prompts import SYSTEM, question, repair
from chat.editing.model.windows import View, Window, outline, view
from chat.editing.proposing import BaseProposer, EditRequest, Progress, Proposals
from chat.engines.base import BaseEngine, EngineError, EngineRequest, Finish, TextDelta, Turn, Usage

LONGEST_ANSWER = 2_000_000
"""How many characters of an answer are read."""


@dataclass(slots=True)
class _Asked:
    """One answer of the model: its text, why it ended, and the tokens so far."""

    text: str = ""
    finish: str = ""


@dataclass(slots=True)
class _Outcome:
    """What has come of all parts so far."""

    changes: list[Change] = field(default_factory=list)
    responses: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    failed: int = 0
    usage: Counter[str] = field(default_factory=Counter)


class ModelProposer(BaseProposer):
    """Asks an engine. `budget`: tokens of HTML sent at once; `most`: how many such parts are sent for one instruction."""

    def __init__(self, engine: BaseEngine, *, budget: int, most: int) -> None:
        self._engine = engine
        self._budget = budget
        self._most = most

    async def propose(self, request: EditRequest) -> AsyncGenerator[Progress | Proposals, None]:
        """See `BaseProposer.propose`. Raises `EngineError`: the engine's own, or `bad_proposal` when no answer could be used."""
        yield Progress("Reading the document...")
        # In a thread, as whatever walks through a large document: others share the loop.
        seen = await asyncio.to_thread(self._view, request)
        headings = await asyncio.to_thread(outline, request.document, budget=self._budget // 5)
        outcome = _Outcome()
        for window in seen.windows:
            async for progress in self._part(request, window, headings, outcome):
                yield progress
        if outcome.failed == len(seen.windows):
            raise _unusable(outcome.problems)
        yield _proposals(outcome, seen)

    def _view(self, request: EditRequest) -> View:
        about = list(_denied_chunks(request))
        return view(request.document, request.message, budget=self._budget, most=self._most, about=about)

    async def _part(
        self, request: EditRequest, window: Window, headings: list[Chunk], outcome: _Outcome
    ) -> AsyncGenerator[Progress, None]:
        """Has one window edited; what comes of it is added to `outcome`."""
        document = request.document
        names = {f"c{document.positions[chunk.id] + 1}": chunk for chunk in window.chunks}
        part = f"This is part {window.number} of {window.total} of the document." if window.total > 1 else ""
        asked = question(request, document, names, headings, part)
        where = f" about part {window.number} of {window.total}" if window.total > 1 else ""
        yield Progress(f"Asking the language model{where}...")
        reading, answer = await self._ask(request, document, names, EngineRequest(asked, system_prompt=SYSTEM), outcome)
        if reading.problems:
            yield Progress("The answer cannot be used as it is; asking for a corrected one...")
            # The end of a long wrong answer says nothing that its beginning does not.
            turns = (Turn("user", asked), Turn("assistant", answer.text[: 8 * self._budget]))
            again = EngineRequest(repair(reading.problems), turns, system_prompt=SYSTEM)
            second, _ = await self._ask(request, document, names, again, outcome)
            reading = (
                second if len(second.problems) <= len(reading.problems) and (second.changes or not reading.changes) else reading
            )
        outcome.changes += reading.changes
        outcome.problems += reading.problems
        outcome.failed += bool(reading.problems and not reading.changes)
        if reading.response:
            outcome.responses.append(reading.response)

    async def _ask(
        self, request: EditRequest, document: Document, names: dict[str, Chunk], asked: EngineRequest, outcome: _Outcome
    ) -> tuple[Reading, _Asked]:
        asked.options.update({"temperature": 0} | request.options)
        answer = _Asked()
        pieces: list[str] = []
        size = 0
        async with aclosing(self._engine.stream(asked)) as parts:
            async for part in parts:
                if isinstance(part, TextDelta):
                    pieces.append(part.text)
                    size += len(part.text)
                elif isinstance(part, Usage):
                    outcome.usage.update(input_tokens=part.input_tokens, output_tokens=part.output_tokens)
                elif isinstance(part, Finish):
                    answer.finish = part.reason
                if size > LONGEST_ANSWER:
                    break
        answer.text = "".join(pieces)[:LONGEST_ANSWER]
        reading = await asyncio.to_thread(read, answer.text, document, names)
        if reading.problems and answer.finish == "length":
            cut = "It was cut off because it is too long: propose fewer or shorter changes."
            reading = Reading(reading.changes, reading.response, (cut, *reading.problems))
        return reading, answer


def _denied_chunks(request: EditRequest) -> Iterable[Chunk]:
    for denied in request.denied:
        for id_ in (denied.change.chunk_id, denied.change.insert_after_chunk_id):
            chunk = request.document.chunk(UUID(id_)) if id_ else None
            if chunk is not None:
                yield chunk


def _proposals(outcome: _Outcome, seen: View) -> Proposals:
    said = " ".join(dict.fromkeys(outcome.responses)) or ("Done." if outcome.changes else "Nothing needs to change.")
    notes = []
    left = len(outcome.problems)
    if left:
        notes.append(
            f"{left} proposed change{'s' if left > 1 else ''} could not be used and {'were' if left > 1 else 'was'} left out."
        )
    if seen.left_out:
        notes.append(f"{seen.left_out} sections of this large document were not looked at; name the part to be changed.")
    if seen.too_long:
        notes.append(f"{seen.too_long} section{'s are' if seen.too_long > 1 else ' is'} too long to be changed.")
    chosen = outcome.changes[:MOST_CHANGES]
    return Proposals(batch(chosen) if chosen else (), " ".join([said, *notes]), dict(outcome.usage))


def _unusable(problems: list[str]) -> EngineError:
    first = problems[0] if problems else "It is empty."
    message = (
        f"The language model proposed nothing that can be used, also when asked again ({first}) Try another wording or model."
    )
    return EngineError("bad_proposal", message, retryable=True)
