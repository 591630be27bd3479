"""Which tools there are. A tool is registered once, when its app is ready; what it is may depend on settings of today."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from accounts.caller import Caller
from plugins.recorder import Recorder

Arguments = dict[str, Any]


class ToolError(Exception):
    """A tool could not do what it was asked; the message is for the language model, which may try again."""


@dataclass(frozen=True, slots=True)
class Context:
    """For whom a tool works: it may do what `caller` may do, and nothing else. What it says to `recorder` people can see."""

    caller: Caller
    recorder: Recorder


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that a run can have done. See `docs/how-to/write-a-tool.md`.

    `parameters`: JSON schema of its arguments, an object. `run` gives a JSON value, or raises `ToolError`.
    `needs_approval`: a human decides before each call. `idempotent`: done twice is as good as done once, so a call
    that was cut off may be repeated. `harmless` names calls to which both cautions do not apply, such as a GET.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    run: Callable[[Arguments, Context], Awaitable[Any]]
    needs_approval: bool = False
    idempotent: bool = True
    harmless: Callable[[Arguments], bool] | None = None

    def asks(self, arguments: Arguments) -> bool:
        """Whether a human must decide about this call."""
        return self.needs_approval and not self._is_harmless(arguments)

    def may_repeat(self, arguments: Arguments) -> bool:
        """Whether this call may be made again when nobody knows what became of it."""
        return self.idempotent or self._is_harmless(arguments)

    def _is_harmless(self, arguments: Arguments) -> bool:
        return self.harmless is not None and self.harmless(arguments)


Build = Callable[[], Tool | None]
"""Makes a tool as the settings want it; None: it is off in this installation."""

_builds: dict[str, Build] = {}


def register(name: str, build: Build) -> None:
    """Adds a tool; the same name twice is a mistake."""
    if _builds.setdefault(name, build) is not build:
        raise ValueError(f"The tool {name!r} is registered twice.")


def unregister(name: str) -> None:
    """Takes a tool away."""
    _builds.pop(name, None)


def tools() -> dict[str, Tool]:
    """The tools that can be called in this installation, by name."""
    built = ((name, build()) for name, build in sorted(_builds.items()))
    return {name: tool for name, tool in built if tool is not None}
