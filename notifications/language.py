"""The language of conditions and templates: a small part of Jinja's, by Jinja, in its sandbox.

There are no loops, no calls and no arithmetic, only a few filters, and values are plain JSON: what an expression
costs is bounded by its length and by the size of one event. What is not in `_NODES` is refused before it is compiled.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import ChainableUndefined, StrictUndefined, TemplateSyntaxError, Undefined, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from events.exceptions import InvalidRequest

NAMES = ("event", "payload")
"""What expressions may speak of: an event as clients see it, and what it carries."""

LONGEST_SEPARATOR = 16
MOST_JOINED = 100

_NODES = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Const,
    nodes.List,
    nodes.Tuple,
    nodes.Name,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Filter,
    nodes.Test,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Neg,
    nodes.If,
    nodes.CondExpr,
)
_WORDS = {nodes.For: "loops", nodes.Call: "calls", nodes.BinExpr: "arithmetic", nodes.Stmt: "this statement"}


def _join(value: Any, separator: str = ", ") -> str:
    if not isinstance(value, list):
        raise TypeError("join takes a list.")
    return str(separator)[:LONGEST_SEPARATOR].join(str(each) for each in value[:MOST_JOINED])


def _truncate(value: Any, length: int = 100) -> str:
    text, most = str(value), max(1, int(length))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _default(value: Any, other: Any = "") -> Any:
    # An empty text is nothing to show, either.
    return other if isinstance(value, Undefined) or value is None or value == "" else value


_FILTERS = {
    "capitalize": lambda value: str(value).capitalize(),
    "default": _default,
    "first": lambda value: value[0] if value else None,
    "join": _join,
    "last": lambda value: value[-1] if value else None,
    "length": lambda value: len(value),
    "lower": lambda value: str(value).lower(),
    "title": lambda value: str(value).title(),
    "trim": lambda value: str(value).strip(),
    "truncate": _truncate,
    "upper": lambda value: str(value).upper(),
}
_TESTS = ("defined", "undefined", "none", "string", "number")


class _Absent(ChainableUndefined):
    """A field that an event has not, in a condition: none, so that comparing it is false."""

    __hash__ = ChainableUndefined.__hash__

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, Undefined)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def _no(self, other: object) -> bool:  # noqa: ARG002 - whatever it is
        return False

    __lt__ = __le__ = __gt__ = __ge__ = _no  # type: ignore[assignment]


class _Language(ImmutableSandboxedEnvironment):
    """Values have fields and no attributes: nothing of Python can be reached."""

    def __init__(self, undefined: type[Undefined]) -> None:
        super().__init__(autoescape=False, undefined=undefined, keep_trailing_newline=False)
        self.globals.clear()
        self.filters = dict(_FILTERS)
        self.tests = {name: self.tests[name] for name in _TESTS}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A field of an object."""
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """A field of an object, or an element of a list."""
        if isinstance(obj, Undefined):
            return obj[argument]
        if isinstance(obj, Mapping) and isinstance(argument, str) and argument in obj:
            return obj[argument]
        if isinstance(obj, list) and isinstance(argument, int) and -len(obj) <= argument < len(obj):
            return obj[argument]
        return self.undefined(obj=obj, name=argument)


TEMPLATES = _Language(StrictUndefined)
"""A template that speaks of a field that is not there fails, which its owner hears."""

CONDITIONS = _Language(_Absent)


def check(source: str, *, what: str, language: _Language, longest: int) -> None:
    """Refuses what is no sentence of the language. Raises `InvalidRequest` that says where it is wrong."""
    if len(source) > longest:
        raise InvalidRequest(f"{what} has {len(source)} characters; at most {longest} are accepted.")
    try:
        found = language.parse(source)
        _refuse(found.iter_child_nodes(), what)
        for name in found.find_all(nodes.Name):
            if name.name not in NAMES:
                raise InvalidRequest(f"{what}: there is no {name.name!r}; it can speak of {', '.join(NAMES)}.")
        language.from_string(source)
    except TemplateSyntaxError as error:
        raise InvalidRequest(f"{what}, line {error.lineno}: {error.message}") from None
    except (RecursionError, MemoryError, SyntaxError, OverflowError, ValueError):
        raise InvalidRequest(f"{what} is nested too deeply, or has a number that is too large.") from None


def _refuse(found: Iterable[nodes.Node], what: str) -> None:
    for node in found:
        if not isinstance(node, _NODES):
            words = next((words for kind, words in _WORDS.items() if isinstance(node, kind)), type(node).__name__)
            raise InvalidRequest(f"{what}: {words} cannot be used here.")
        _refuse(node.iter_child_nodes(), what)
