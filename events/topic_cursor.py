"""The one cursor of a subscription, over all the streams that its patterns cover. No I/O.

For one organisation it is the id of an event in its stream, `1731000000000-0`. For several it names the place in each,
`org_a:1731000000000-0,org_b:1731000000123-4`, and likewise in each answer that is running, `message:<id>:17-0`.
Clients keep it as it is and give it back.
"""

from collections.abc import Mapping

from events.event import START, EventId
from events.streams import Stream, parse_cursor

MESSAGE = "message:"

LONGEST = 8192
"""Characters of a cursor that are read; TOPIC_ORGANIZATIONS_MAX and TOPIC_ANSWERS_MAX keep what is written below that."""


class SinceCursor:
    """A cursor as a client gave it: where to begin in each stream, where that is known."""

    def __init__(self, text: str) -> None:
        self._everywhere: EventId | None = None
        self._places: dict[str, EventId] = {}
        self.is_malformed = len(text) > LONGEST
        if not self.is_malformed:
            self._read(text.strip())

    def place(self, stream: Stream) -> EventId | None:
        """Where to begin in `stream`; None: the cursor says nothing of it, so with what comes from now on."""
        if self.is_malformed:
            return START
        return self._places.get(_name(stream), self._everywhere if stream.kind == "org" else None)

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
            if not name or found is None:
                self.is_malformed = True
                return
            self._places[name] = found


def write(places: Mapping[Stream, EventId]) -> str:
    """The cursor for someone who stands at these places."""
    if len(places) == 1:
        return str(next(iter(places.values())))
    return ",".join(f"{_name(stream)}:{place}" for stream, place in sorted(places.items(), key=lambda item: item[0].name))


def _name(stream: Stream) -> str:
    return stream.id if stream.kind == "org" else stream.name
