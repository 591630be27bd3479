"""How far somebody who reads all events of an organisation has come: kept in the database, with what was made of them."""

from dataclasses import dataclass
from typing import Self

from events.event import START, EventId
from events.streams import parse_cursor
from events.topics.event import organization_stream


@dataclass(frozen=True, slots=True)
class Place:
    """How far the events of an organisation were compared."""

    organization_pk: int
    organization_id: str
    cursor: EventId

    @classmethod
    def of(cls, organization_pk: int, organization_id: str, stored: str) -> Self:
        """From the cursor as it is stored; empty, or of another broker, it is the beginning."""
        return cls(organization_pk, organization_id, parse_cursor(organization_stream(organization_id), stored) or START)
