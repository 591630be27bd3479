"""The one cursor of a subscription, over all the streams that its patterns cover. No I/O.

For one organisation it is the id of an event in its stream, `1731000000000-0`. For several it names the place in each,
`org_a:1731000000000-0,org_b:1731000000123-4`. Clients keep it as it is and give it back.
"""

from collections.abc import Mapping

from events.event import START, EventId
from events.streams import Stream, parse_cursor

LONGEST = 4096
"""Characters of a cursor that are read; TOPIC_ORGANIZATIONS_MAX keeps what is written below that."""


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
        return self._places.get(stream.id, self._everywhere)

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
    return ",".join(f"{stream.id}:{place}" for stream, place in sorted(places.items(), key=lambda item: item[0].name))
