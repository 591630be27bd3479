"""The one cursor of a subscription, over all the streams that its patterns cover. No I/O.

For one organisation it is the id of an event in its stream, `1731000000000-0`. For several it names the place in each,
`org_a:1731000000000-0,org_b:1731000000123-4`, and likewise in each answer that is running, `message:<id>:17-0`.
Patterns that were added with a place of their own, and are still told what the others are ahead of them, stand aside:
`org_a~<marks of the patterns>~<since when they are told>:<their place>`.
Clients keep it as it is and give it back.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from events.event import START, EventId
from events.streams import Stream, parse_cursor
from events.topics.grammar import Pattern

MESSAGE = "message:"
ASIDE = "~"

LONGEST = 8192
"""Characters of a cursor that are read; TOPIC_ORGANIZATIONS_MAX and TOPIC_ANSWERS_MAX keep what is written below that."""


@dataclass(frozen=True, slots=True)
class Aside:
    """Patterns (their marks) of which all that came after `since` was told, up to `place`."""

    marks: tuple[str, ...]
    since: EventId
    place: EventId


@dataclass(frozen=True, slots=True)
class Start:
    """Where a pattern begins, and since when it has been told of everything: what lies between needs not be told again."""

    place: EventId
    since: EventId


@dataclass(slots=True)
class Standing:
    """Where one reader stands in each stream, and which of its patterns are aside."""

    places: dict[Stream, EventId] = field(default_factory=dict)
    asides: dict[Stream, tuple[Aside, ...]] = field(default_factory=dict)

    def copy(self) -> "Standing":
        """The same now, whatever becomes of this one."""
        return Standing(dict(self.places), dict(self.asides))

    def stand_aside(self, stream: Stream, asides: tuple[Aside, ...]) -> None:
        """These patterns are aside in a stream, and no others."""
        if asides:
            self.asides[stream] = asides
        else:
            self.asides.pop(stream, None)

    def leave(self, stream: Stream) -> None:
        """Stands nowhere in it."""
        self.places.pop(stream, None)
        self.asides.pop(stream, None)

    @property
    def cursor(self) -> str:
        """The cursor of who stands so."""
        if len(self.places) == 1 and not self.asides:
            return str(next(iter(self.places.values())))
        parts = []
        for stream, place in sorted(self.places.items(), key=lambda item: item[0].name):
            name, asides = _name(stream), self.asides.get(stream, ())
            parts.append(f"{name}:{place}")
            parts += [f"{name}{ASIDE}{'.'.join(each.marks)}{ASIDE}{each.since}:{each.place}" for each in asides]
        text = ",".join(parts)
        return text if len(text) <= LONGEST or not self.asides else self._furthest_back().cursor

    def _furthest_back(self) -> "Standing":
        """As if all patterns stood where the last of them stands: better something is told twice than not at all."""
        return Standing(
            {stream: min([place, *(each.place for each in self.asides.get(stream, ()))]) for stream, place in self.places.items()}
        )


class Progress:
    """Where one reader stands: `at`, after all that it was given, and `told`, after what it is known to have passed on."""

    def __init__(self) -> None:
        self.at = Standing()
        self.told = Standing()

    @property
    def both(self) -> tuple[Standing, Standing]:
        """For what changes where it stands, and not what it was given."""
        return self.at, self.told

    def has_told(self) -> None:
        """All that it was given has been passed on."""
        self.told = self.at.copy()

    def leave(self, stream: Stream) -> None:
        """Stands nowhere in it."""
        for standing in self.both:
            standing.leave(stream)


class SinceCursor:
    """A cursor as a client gave it: where to begin in each stream, where that is known."""

    def __init__(self, text: str) -> None:
        self._everywhere: EventId | None = None
        self._places: dict[str, EventId] = {}
        self._asides: dict[str, dict[str, Start]] = {}
        self.is_malformed = len(text) > LONGEST
        if not self.is_malformed:
            self._read(text.strip())

    def start(self, stream: Stream, pattern: Pattern) -> Start | None:
        """Where `pattern` begins in `stream`; None: the cursor says nothing of it, so with what comes from now on."""
        if self.is_malformed:
            return Start(START, START)
        name = _name(stream)
        place = self._places.get(name, self._everywhere)
        asides = self._asides.get(name)
        if place is None:
            return None
        # Who has others beside him that are behind has been told everything that those are yet to be told.
        return Start(place, place) if asides is None else asides.get(mark(pattern), Start(place, START))

    @property
    def running(self) -> dict[str, EventId]:
        """Places in the durable streams that were running, by message id."""
        names = {name.removeprefix(MESSAGE): place for name, place in self._places.items() if name.startswith(MESSAGE)}
        return {} if self.is_malformed else names

    def _read(self, text: str) -> None:
        bare = parse_cursor(Stream("org", "-"), text)
        if bare is not None:
            # Of one stream. In any other it names no event, which its reader is told.
            self._everywhere = bare
            return
        for part in text.split(","):
            name, _, place = part.rpartition(":")
            found = parse_cursor(Stream("org", name or "-"), place)
            if not name or found is None or not self._take(name, found):
                self.is_malformed = True
                return

    def _take(self, name: str, place: EventId) -> bool:
        if ASIDE not in name:
            self._places[name] = place
            return True
        parts = name.split(ASIDE)
        since = parse_cursor(Stream("org", "-"), parts[-1])
        if len(parts) != 3 or since is None:
            return False
        marks = self._asides.setdefault(parts[0], {})
        marks.update(dict.fromkeys(parts[1].split("."), Start(place, since)))
        return True


@lru_cache(maxsize=4096)
def mark(pattern: Pattern) -> str:
    """What names a pattern in a cursor, whichever organisation it was given for."""
    pairs = (part for pair in pattern.filters for part in pair)
    return hashlib.blake2s(".".join((*pattern.path, *pairs)).encode(), digest_size=5).hexdigest()


def marks_of(patterns: Iterable[Pattern]) -> tuple[str, ...]:
    """Those of several, in one order."""
    return tuple(sorted(map(mark, patterns)))


def _name(stream: Stream) -> str:
    return stream.id if stream.kind == "org" else stream.name
