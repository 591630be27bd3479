"""Checking what a language model gives to a tool."""

from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry

MOST_PROBLEMS = 3


def problem_of(arguments: Any, schema: dict[str, Any]) -> str:
    """What is wrong with arguments, in words that a model can act on; empty: nothing.

    The schema is JSON Schema 2020-12; references to other documents are never fetched.
    """
    validator = Draft202012Validator(schema, registry=Registry())
    problems = sorted(validator.iter_errors(arguments), key=lambda error: list(map(str, error.absolute_path)))
    return " ".join(_in_words(each) for each in problems[:MOST_PROBLEMS])


def _in_words(error: ValidationError) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")
    # The message quotes the value, which may be long.
    message = error.message if len(error.message) <= 300 else f"{error.message[:300]}..."
    return f"{place or 'The arguments'}: {message}."
