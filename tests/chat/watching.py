"""Whether leases hold: what processes of a machine write is compared with the leases that were known before they wrote."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import partial

from accounts.threads import in_thread
from chat.services import claiming, endings, leases
from chat.services.questions import message_stream
from events import journal
from events.broker.base import Appended
from events.models import DurableStream
from tests.chat.freezing import Process

STORED = ("fence", "append_durable", "seed")
"""What is done with a durable stream in the broker."""


class Leases:
    """Which leases were given, and what was taken under one when a newer one was known already."""

    def __init__(self):
        self.given = defaultdict(set)
        self.fenced = Counter()
        self.mistakes = []

    def give(self, message_id, lease):
        """No lease is given twice: of two that have it neither is fenced."""
        if lease in self.given[message_id]:
            self.mistakes.append(f"lease {lease} of {message_id} was given twice")
        self.given[message_id].add(lease)

    async def watch(self, function, *args, **kwargs):
        """Asks the database, and compares what it took with the leases that it knew before."""
        held = _held(function, args, kwargs)
        known = await in_thread(_known, [stream for stream, _ in held])
        result = await in_thread(function, *args, **kwargs)
        taken = result if function is journal.append else [result is not False] * len(held)
        for (stream, lease), ok in zip(held, taken, strict=True):
            if ok and known[stream.name] != (lease, None):
                self.mistakes.append(f"{function.__qualname__} under lease {lease}, known was {known[stream.name]}")
        if isinstance(result, claiming.Claim | leases.TakenOver):
            self.give(result.message_id, result.lease)
        return result

    async def watch_broker(self, name, ask, *args, **kwargs):
        """The same of the broker: a fence that has come back holds."""
        before = self.fenced.copy()
        result = await ask(*args, **kwargs)
        if name == "append_durable":
            taken = [(each.stream, each.lease, answer is Appended.OK) for each, answer in zip(args[0], result, strict=True)]
        else:
            taken = [(*args[:2], result not in (None, Appended.STALE))]
        for stream, lease, ok in taken:
            if ok and lease < before[stream]:
                self.mistakes.append(f"{name} under lease {lease}, after a fence of {before[stream]}")
            if ok and name == "fence":
                self.fenced[stream] = max(self.fenced[stream], lease)
        return result


def _held(function, args, kwargs):
    """The streams to which something is written under a lease, with the leases."""
    if function is journal.append:
        return [(stream, lease) for stream, lease, _ in args[0]]
    if function in (journal.commit, journal.end):
        return [(kwargs["stream"], kwargs["lease"])]
    if function is endings.end:
        return [(message_stream(kwargs["message_id"]), kwargs["lease"])]
    if function is claiming.hand_back:
        return [(message_stream(kwargs["claim"].message_id), kwargs["claim"].lease)]
    return []


def _known(streams):
    rows = DurableStream.objects.filter(name__in=[each.name for each in streams]) if streams else []
    return {row.name: (row.lease, row.ended_at) for row in rows}


@dataclass(eq=False, kw_only=True)
class Watched(Process):
    """A process whose writing is watched; it may freeze before and after what it asks of the broker, too."""

    leases: Leases

    def __post_init__(self):
        super().__post_init__()
        for name in STORED:
            setattr(self.broker, name, partial(self._ask_broker, name, getattr(self.broker, name)))

    async def _ask_broker(self, name, ask, *args, **kwargs):
        return await self.ask(name, self.leases.watch_broker(name, ask, *args, **kwargs))

    async def call(self, function, *args, **kwargs):
        """What this process asks of the database."""
        return await self.leases.watch(function, *args, **kwargs)
