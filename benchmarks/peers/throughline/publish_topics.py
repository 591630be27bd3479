"""Publishes on topics of BENCH_ORGANIZATION: events go to BENCH_TEAMS teams in turn, and are numbered within each.

An event of team 7 is about one of its members: `events.<org>.bench.task.changed.r107.team.t7`.
"""

import os

import django

django.setup()

from events.publishing import Publication, publish_many  # noqa: E402 - after django.setup()
from events.streams import Stream  # noqa: E402
from events.topic_event import TOPIC_EVENT, stored  # noqa: E402
from events.topics import make_topic  # noqa: E402

ORGANIZATION = os.environ["BENCH_ORGANIZATION"]
TEAMS = int(os.environ.get("BENCH_TEAMS", "1"))
MEMBERS = int(os.environ.get("BENCH_MEMBERS", "1"))


async def publish(events: list[dict[str, int]]) -> None:
    """All in one round trip."""
    await publish_many([_publication(event["n"] - 1, event["sent"]) for event in events])


def _publication(number: int, sent: int) -> Publication:
    own, team = divmod(number, TEAMS)
    topic = make_topic(
        organization=ORGANIZATION,
        source="bench",
        resource="task",
        event="changed",
        resource_id=f"r{team + TEAMS * (own % MEMBERS)}",
        filters={"team": f"t{team}"},
    )
    data = stored(topic, id=f"evt_{number}", at=sent / 1e9, payload={"n": own + 1, "sent": sent})
    return Publication(Stream("org", ORGANIZATION), TOPIC_EVENT.name, data)
