"""Who proposes changes here: a language model where one is connected, else rules."""

import uuid
from collections.abc import Sequence
from typing import Any

from accounts.caller import Caller
from chat.conf import conf
from chat.editing.model.proposer import ModelProposer
from chat.editing.proposing import BaseProposer, Denied, EditRequest
from chat.editing.rules.proposer import RulesProposer
from chat.engines.base import EngineError
from chat.engines.registry import engine, selected_alias
from chat.services import documents


def proposer(*, alias: str = "") -> BaseProposer:
    """The proposer that EDITING_PROPOSER selects, with the engine of that alias (empty: CHAT_ENGINE's). Raises `EngineError`."""
    choice = conf.EDITING_PROPOSER.strip() or "auto"
    if choice not in ("auto", "model", "rules"):
        raise EngineError("engine_not_configured", "EDITING_PROPOSER must be auto, model or rules.", retryable=False)
    if choice == "rules":
        return RulesProposer()
    chosen = engine(alias or selected_alias())
    if choice == "auto" and not chosen.edits:
        return RulesProposer()
    problem = chosen.check()
    if problem:
        raise EngineError("engine_not_configured", problem, retryable=False)
    return ModelProposer(chosen, budget=conf.EDITING_CONTEXT_TOKENS, most=conf.EDITING_PARTS_MAX)


def edit_request(
    *,
    caller: Caller,
    version_id: uuid.UUID,
    message: str,
    denied: Sequence[Denied] = (),
    options: dict[str, Any] | None = None,
) -> EditRequest:
    """What to ask a proposer about a version of a document; raises `NotFound`."""
    row = documents.version(caller=caller, version_id=version_id)
    return EditRequest(message, documents.load(row), tuple(denied), options or {})
