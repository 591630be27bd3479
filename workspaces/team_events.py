"""The events of teams on a user's feed. S0's teams are organisations here."""

from events.event import EventType, register

MEMBER_ADDED = EventType(
    "team.member_added", "User feed: you were added to an organisation: `team_id`, `team_name`, `role`, `added_by`."
)
register(MEMBER_ADDED)
