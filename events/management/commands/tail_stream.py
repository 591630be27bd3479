"""`manage.py tail_stream`: the events of a stream in a terminal."""

import asyncio
import os
import sys
from argparse import ArgumentParser
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from events import inspecting
from events.event import Event, to_json
from events.exceptions import translated
from events.ring import Batch
from events.streams import KINDS, Stream, format_cursor


class Command(BaseCommand):
    """Prints events of a stream as they come, until its terminal event or Ctrl-C."""

    help = (
        f"Prints the events of a stream (kind:id; kinds: {', '.join(KINDS)}) as they come, one a line, until its terminal event "
        "or Ctrl-C. Pieces of one text that are read together are printed joined."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The stream, and three options."""
        parser.add_argument("stream", metavar="kind:id", help="For example message:<id of the answer> or user:<public id>.")
        parser.add_argument(
            "--since",
            metavar="CURSOR",
            default="0",
            help="Print what follows this event's id. 0 (default): all that is retained; now: only what is still to come.",
        )
        parser.add_argument("--json", action="store_true", help="One JSON object a line: id, type, at (ms), data.")
        parser.add_argument("--no-follow", action="store_true", help="Stop after what there is now.")

    def handle(self, *, stream: str, since: str, json: bool, no_follow: bool, **options: Any) -> None:
        """Follows the stream. Says on stderr when events are missing."""
        del options
        try:
            asyncio.run(self._tail(inspecting.named_stream(stream), since, as_json=json, live=not no_follow))
        except KeyboardInterrupt:
            return
        except BrokenPipeError:
            # The reader of our pipe has what it wanted; Python would complain while flushing at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except Exception as error:
            known = translated(error)
            if known is None:
                raise
            raise CommandError(known.message) from error

    async def _tail(self, stream: Stream, since: str, *, as_json: bool, live: bool) -> None:
        cursor = await inspecting.starting_point(stream=stream, since=since)
        async with aclosing(inspecting.follow(stream=stream, cursor=cursor, live=live)) as batches:
            async for batch in batches:
                self._print(stream, batch, as_json=as_json)

    def _print(self, stream: Stream, batch: Batch, *, as_json: bool) -> None:
        if batch.reason:
            self.stderr.write(f"-- Events before this one are missing ({batch.reason}). --")
            self.stderr.flush()
        for event in batch.events:
            self.stdout.write(_json_line(stream, event) if as_json else _line(stream, event))
        self.stdout.flush()


def _json_line(stream: Stream, event: Event) -> str:
    return to_json({"id": format_cursor(stream, event.id), "type": event.type, "at": event.at, "data": event.data})


def _line(stream: Stream, event: Event) -> str:
    """Id, time, type, data. JSON in ASCII: nothing in an event can command the terminal."""
    at = datetime.fromtimestamp(event.at / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    return f"{format_cursor(stream, event.id):>6}  {at}  {event.type:<16}  {to_json(event.data)}"
