"""Which engine answers: CHAT_ENGINE names an alias of CHAT_ENGINES, in the manner of Django's backends."""

from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from chat.conf import conf
from chat.engines.base import BaseEngine, EngineError

_engines: dict[str, tuple[dict[str, Any], BaseEngine]] = {}
_replaced: list[BaseEngine] = []


def engine(alias: str) -> BaseEngine:
    """The engine of that alias, one per process; raises `ImproperlyConfigured`."""
    entry = _entry(alias)
    made = _engines.get(alias)
    # Compared and not only looked up, so that a changed setting (in tests) is seen.
    if made is not None and made[0] == entry:
        return made[1]
    if made is not None:
        _replaced.append(made[1])
    new = _make(alias, entry)
    _engines[alias] = (entry, new)
    return new


def selected_alias() -> str:
    """The alias that CHAT_ENGINE selects; raises `EngineError` when it selects none."""
    chosen = conf.CHAT_ENGINE.strip() or "auto"
    if chosen == "none":
        raise EngineError("engine_not_configured", "No engine answers here: CHAT_ENGINE is none.", retryable=False)
    if chosen != "auto":
        return chosen
    if "openai" in settings.CHAT_ENGINES and (conf.OPENAI_BASE_URL or conf.OPENAI_API_KEY):
        return "openai"
    if "local" in settings.CHAT_ENGINES and engine("local").check() is None:
        return "local"
    if "extractive" in settings.CHAT_ENGINES:
        return "extractive"
    raise ImproperlyConfigured(f"CHAT_ENGINE=auto finds no engine: set it to one of {_names()}.")


def selected_engine() -> BaseEngine:
    """The engine that answers; raises `EngineError` (engine_not_configured) when it says that it cannot."""
    selected = engine(selected_alias())
    problem = selected.check()
    if problem:
        raise EngineError("engine_not_configured", problem, retryable=False)
    return selected


async def close_engines() -> None:
    """Closes every engine of this process, all of them even when one fails; the next use makes new ones."""
    closing = [*_replaced, *(made for _, made in _engines.values())]
    _replaced.clear()
    _engines.clear()
    failures = []
    for each in closing:
        try:
            await each.close()
        except Exception as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _entry(alias: str) -> dict[str, Any]:
    """A copy of the alias's entry in CHAT_ENGINES."""
    entry = settings.CHAT_ENGINES.get(alias)
    if entry is None:
        raise ImproperlyConfigured(f"There is no engine {alias!r}: set CHAT_ENGINE to auto, none or one of {_names()}.")
    options = entry.get("OPTIONS", {}) if isinstance(entry, dict) else None
    if not isinstance(options, dict) or not isinstance(entry.get("BACKEND"), str):
        raise ImproperlyConfigured(f'CHAT_ENGINES["{alias}"] must be {{"BACKEND": "dotted.path.to.Engine", "OPTIONS": {{...}}}}.')
    return {"BACKEND": entry["BACKEND"], "OPTIONS": dict(options)}


def _make(alias: str, entry: dict[str, Any]) -> BaseEngine:
    path = entry["BACKEND"]
    module, _, name = path.rpartition(".")
    try:
        # By name, because the setting holds a name: an engine may live outside the project.
        backend = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImproperlyConfigured(f'CHAT_ENGINES["{alias}"]: cannot import {path!r} ({error}). Check BACKEND.') from error
    if not (isinstance(backend, type) and issubclass(backend, BaseEngine)):
        raise ImproperlyConfigured(f'CHAT_ENGINES["{alias}"]: {path!r} is no BaseEngine. Check BACKEND.')
    try:
        return backend(**entry["OPTIONS"])
    except TypeError as error:
        raise ImproperlyConfigured(f'CHAT_ENGINES["{alias}"]: {path} refuses its OPTIONS ({error}).') from error


def _names() -> str:
    return ", ".join(sorted(settings.CHAT_ENGINES)) or "none, because CHAT_ENGINES is empty"
