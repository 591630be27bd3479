"""The contract of what proposes changes of a document. No I/O here; a proposer with a language model has some."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from chat.editing.changes import Change
from chat.editing.document import Document


@dataclass(frozen=True, slots=True)
class Denied:
    """A change that was proposed before and denied, and what was said about it."""

    change: Change
    feedback: str


@dataclass(frozen=True, slots=True)
class EditRequest:
    """What is asked: the `message`, of which document, and what became of earlier proposals for it.

    `options` are the request's other fields (temperature, model, seed), for the engine.
    """

    message: str
    document: Document
    denied: tuple[Denied, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """What is being done, in a sentence for people."""

    text: str


@dataclass(frozen=True, slots=True)
class Proposals:
    """What is proposed: one batch of changes, each checked against the document, possibly none; `response` says it in words.

    `usage`: tokens used, as `input_tokens` and `output_tokens`; empty without a language model.
    """

    changes: tuple[Change, ...]
    response: str
    usage: dict[str, int] = field(default_factory=dict)


class BaseProposer:
    """Proposes changes. It never applies them."""

    def propose(self, request: EditRequest) -> AsyncGenerator[Progress | Proposals, None]:
        """`Progress` while it works, then exactly one `Proposals`; raises `EngineError`. Use it within `contextlib.aclosing`."""
        raise NotImplementedError
