"""Topics and the patterns that match them: grammar and trie. No I/O.

`events.{org}.{source}.{resource}.{event}.{resourceId}[.{filterKey}.{filterValue}...]`, source: seed 001, "Topic subscriptions".
In a pattern `*` stands for exactly one segment. Filters are optional: a pattern matches a topic that has all its filters, and
maybe more. There are no regular expressions: what a match costs does not grow with the number of patterns.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from events.conf import conf
from events.exceptions import InvalidRequest

PREFIX = "events"
WILDCARD = "*"
REQUIRED = 6
"""Segments of a topic without filters, `events` included."""

FORM = "events.{org}.{source}.{resource}.{event}.{resourceId}[.{filterKey}.{filterValue}...]"
SEGMENT = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Topic:
    """What an event is about. `filters`: pairs of key and value, in the order of their keys."""

    organization: str
    source: str
    resource: str
    event: str
    resource_id: str
    filters: Pairs = ()

    @property
    def path(self) -> tuple[str, str, str, str]:
        """The segments that decide within an organisation, without the filters."""
        return self.source, self.resource, self.event, self.resource_id

    def __str__(self) -> str:
        pairs = (part for pair in self.filters for part in pair)
        return ".".join((PREFIX, self.organization, *self.path, *pairs))


class Pattern(Topic):
    """A topic in which `*` may stand for any one segment, but for the key of a filter."""

    __slots__ = ()

    def matches(self, topic: Topic) -> bool:
        """Whether an event on `topic` is one of those that were asked for."""
        fixed = zip((self.organization, *self.path), (topic.organization, *topic.path), strict=True)
        values = dict(topic.filters)
        return all(mine in (WILDCARD, other) for mine, other in fixed) and all(
            key in values and value in (WILDCARD, values[key]) for key, value in self.filters
        )


def make_topic(
    *, organization: str, source: str, resource: str, event: str, resource_id: str, filters: Mapping[str, str] | None = None
) -> Topic:
    """The topic with these segments. Raises `InvalidRequest`."""
    names = {"organization": organization, "source": source, "resource": resource, "event": event, "resourceId": resource_id}
    for name, segment in names.items():
        _check_segment(segment, name)
    for key, value in (filters or {}).items():
        _check_segment(key, "the key of a filter")
        _check_segment(value, f"the filter {key}")
    _check_length(REQUIRED + 2 * len(filters or {}))
    return Topic(organization, source, resource, event, resource_id, tuple(sorted((filters or {}).items())))


def parse_topic(text: str) -> Topic:
    """The topic that a text names. Raises `InvalidRequest`, also for a wildcard."""
    segments = _segments(text, "topic", wildcards=False)
    _, organization, source, resource, event, resource_id = segments[:REQUIRED]
    return Topic(organization, source, resource, event, resource_id, _filters(segments[REQUIRED:]))


def parse_pattern(text: str) -> Pattern:
    """The pattern that a text spells. Raises `InvalidRequest` that says what is wrong with it."""
    segments = _segments(text, "pattern", wildcards=True)
    _, organization, source, resource, event, resource_id = segments[:REQUIRED]
    return Pattern(organization, source, resource, event, resource_id, _filters(segments[REQUIRED:]))


def _segments(text: str, what: str, *, wildcards: bool) -> list[str]:
    # Bounded before it is looked at: what is refused must cost no more than what is accepted.
    longest = conf.TOPIC_SEGMENTS_MAX * 129
    if len(text) > longest:
        raise InvalidRequest(f"A {what} has at most {longest} characters, not {len(text)}.")
    segments = text.split(".")
    if segments[0] != PREFIX or len(segments) < REQUIRED:
        raise InvalidRequest(f"A {what} has the form {FORM}; {_shown(text)} has not.")
    if len(segments) % 2:
        raise InvalidRequest(
            f"After the first {REQUIRED} segments come filters, each a key and a value; {_shown(text)} ends with a key."
        )
    _check_length(len(segments))
    for number, segment in enumerate(segments):
        is_key = number >= REQUIRED and number % 2 == 0
        if segment == WILDCARD and wildcards and not is_key:
            continue
        if segment == WILDCARD and is_key and wildcards:
            raise InvalidRequest("The key of a filter must be named; `*` may stand for its value.")
        _check_segment(segment, f"segment {number + 1}")
    return segments


def _filters(segments: list[str]) -> Pairs:
    pairs = list(zip(segments[::2], segments[1::2], strict=True))
    if len(dict(pairs)) < len(pairs):
        raise InvalidRequest("A filter may be named once only.")
    return tuple(sorted(pairs))


def _check_segment(segment: str, name: str) -> None:
    if not SEGMENT.fullmatch(segment):
        raise InvalidRequest(f"{name[:150]}: 1 to 128 of the characters A-Z a-z 0-9 _ -, not {_shown(segment)}.")


def _check_length(count: int) -> None:
    if count > conf.TOPIC_SEGMENTS_MAX:
        raise InvalidRequest(f"At most {conf.TOPIC_SEGMENTS_MAX} segments are accepted, not {count}.")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 64 else f"{text[:64]}...")


T = TypeVar("T")


@dataclass(slots=True)
class _Node(Generic[T]):
    """One position in patterns: what may follow, by segment, and who asked for what ends here."""

    then: dict[str, "_Node[T]"] = field(default_factory=dict)
    filters: dict[str, dict[str, "_Node[T]"]] = field(default_factory=dict)
    values: set[T] = field(default_factory=set)

    @property
    def is_empty(self) -> bool:
        return not (self.then or self.filters or self.values)


class Trie(Generic[T]):
    """Patterns of one organisation, and the values that were added under them; the organisation itself is not compared."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, pattern: Pattern, value: T) -> None:
        """From now on topics that match `pattern` give `value`, too."""
        node = self._root
        for segment in pattern.path:
            node = node.then.setdefault(segment, _Node())
        for key, wanted in pattern.filters:
            node = node.filters.setdefault(key, {}).setdefault(wanted, _Node())
        node.values.add(value)

    def remove(self, pattern: Pattern, value: T) -> None:
        """Undoes `add`; nothing when it was not added."""
        _remove(self._root, pattern.path, pattern.filters, value)

    def match(self, topic: Topic) -> set[T]:
        """The values under all patterns that match `topic`; looks at no pattern that differs in an earlier segment."""
        nodes: list[_Node[T]] = [self._root]
        for segment in topic.path:
            nodes = [found for node in nodes for key in (segment, WILDCARD) if (found := node.then.get(key)) is not None]
        return {value for node in nodes for value in _with_filters(node, topic.filters)}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is added."""
        return self._root.is_empty


def _with_filters(node: _Node[T], pairs: Pairs) -> Iterator[T]:
    """What patterns give whose filters are all among `pairs`. Both are in the order of keys, so none is passed twice."""
    yield from node.values
    if not node.filters:
        return
    for number, (key, value) in enumerate(pairs, start=1):
        under = node.filters.get(key, {})
        for wanted in (value, WILDCARD):
            if wanted in under:
                yield from _with_filters(under[wanted], pairs[number:])


def _remove(node: _Node[T], path: Iterable[str], filters: Pairs, value: T) -> None:
    """Takes `value` away and every node that is empty then: patterns that come and go leave nothing behind."""
    path = tuple(path)
    if path:
        below, key = node.then, path[0]
        rest, pairs = path[1:], filters
    elif filters:
        name, key = filters[0]
        below, rest, pairs = node.filters.get(name, {}), (), filters[1:]
    else:
        node.values.discard(value)
        return
    child = below.get(key)
    if child is None:
        return
    _remove(child, rest, pairs, value)
    if child.is_empty:
        del below[key]
        if not path and not below:
            del node.filters[filters[0][0]]
