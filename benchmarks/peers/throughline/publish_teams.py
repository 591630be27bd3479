"""Publishes to the teams of `teams.py` in turn; events are numbered within each team."""

from benchmarks.peers.throughline.publish_topics import publication
from benchmarks.peers.throughline.teams import place
from events.publishing import Publication, publish_many


async def publish(events: list[dict[str, int]]) -> None:
    """All in one round trip."""
    await publish_many([_publication(event["n"] - 1, event["sent"]) for event in events])


def _publication(number: int, sent: int) -> Publication:
    team, n, task = place(number)
    return publication(n, sent, task=task, team=team)
