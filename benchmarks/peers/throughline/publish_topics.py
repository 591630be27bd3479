"""Publishes on topics of BENCH_ORGANIZATION, such as `events.<org>.bench.task.changed.r107.team.t7`."""

import os

import django

django.setup()

from events.publishing import Publication, publish_many  # noqa: E402 - after django.setup()
from events.streams import Stream  # noqa: E402
from events.topics.event import TOPIC_EVENT, stored  # noqa: E402
from events.topics.grammar import make_topic  # noqa: E402

ORGANIZATION = os.environ["BENCH_ORGANIZATION"]


async def publish(events: list[dict[str, int]]) -> None:
    """All in one round trip."""
    await publish_many([publication(event["n"], event["sent"], task=0, team=0) for event in events])


def publication(n: int, sent: int, *, task: int, team: int) -> Publication:
    """The event with this number, about this task of this team."""
    topic = make_topic(
        organization=ORGANIZATION,
        source="bench",
        resource="task",
        event="changed",
        resource_id=f"r{task}",
        filters={"team": f"t{team}"},
    )
    data = stored(topic, id=f"evt_{team}_{n}", at=sent / 1e9, payload={"n": n, "sent": sent})
    return Publication(Stream("org", ORGANIZATION), TOPIC_EVENT.name, data)
