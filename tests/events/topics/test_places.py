"""How far somebody who reads all events of an organisation has come."""

import pytest

from events.event import START, EventId
from events.topics.places import Place


@pytest.mark.parametrize(("stored", "cursor"), [("17-4", EventId(17, 4)), ("", START), ("nonsense", START)])
def test_a_place_is_read_from_what_is_stored(stored, cursor):
    assert Place.of(1, "org_a", stored) == Place(1, "org_a", cursor)
