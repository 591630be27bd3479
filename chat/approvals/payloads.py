"""What exactly is approved: its hash, and what it may be changed to. No I/O."""

import hashlib
import json
from typing import Any

from plugins.tools.arguments import problem_of


def sha256_of(payload: Any) -> str:
    """The hash that a decision may name: of the payload's JSON with sorted keys, without spaces, in ASCII."""
    return hashlib.sha256(json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def problem_of_edit(edited: Any, schema: dict[str, Any] | None) -> str:
    """What is wrong with a payload that a human gave instead; empty: nothing."""
    if schema is None:
        return "This cannot be edited: approve or deny it as it is."
    return problem_of(edited, schema)
