"""`manage.py publish_event`: an event on a topic, from a terminal."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from events.exceptions import ThroughlineError
from events.topics.grammar import parse_topic
from events.topics.publishing import publish_by_operator


class Command(BaseCommand):
    """Publishes one event and prints its id and cursor."""

    help = (
        "Publishes an event on a topic (events.{org}.{source}.{resource}.{event}.{resourceId}) and prints its id and its cursor."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The topic, and what the event carries."""
        parser.add_argument("topic", help="For example events.org_demo.tasks.task.completed.t1")
        parser.add_argument("--payload", metavar="JSON", default="{}", help="A JSON object.")
        parser.add_argument("--tag", action="append", default=[], help="May be given several times.")
        parser.add_argument("--key", default="", help="Idempotency key: the same one again publishes nothing.")

    def handle(self, *, topic: str, payload: str, tag: list[str], key: str, **options: Any) -> None:
        """Says in one line what is wrong."""
        del options
        try:
            carried = json.loads(payload)
        except ValueError:
            carried = None
        if not isinstance(carried, dict):
            raise CommandError("--payload must be a JSON object, such as '{\"a\": 1}'.")
        try:
            published = publish_by_operator(topic=parse_topic(topic), payload=carried, tags=tag, key=key)
        except ThroughlineError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{published.id} {published.cursor}")
