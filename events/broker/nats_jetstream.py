"""JetStream as the broker uses it: our streams made, messages stored and read, things that change kept."""

import asyncio
import json
import random
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from nats.aio.msg import Msg

from events.broker.nats_link import NO_RESPONDERS, Link, Question, said, status
from events.broker.nats_subjects import STATE, Facts, configurations, epoch_of, parsed_time, stream_name
from events.event import EventId
from events.exceptions import BrokerUnavailable

FACTS_SECONDS = 2.0
"""How long it is believed what JetStream said of a stream. Its epoch is not among it: see `stream_name`."""

WRONG_SEQUENCE = {10071, 10164}
"""Codes of JetStream's errors: the subject is not where the writer thought it was."""

TRIES = 40
LOCKS = 64

Document = dict[str, Any]


class Refused(Exception):
    """The message was not stored: its subject is not where the writer thought it was."""


class JetStream:
    """Our streams in JetStream at a URL, for one event loop. Every method raises `BrokerUnavailable` while it is away."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._link: Link | None = None
        self._opening: asyncio.Task[Link] | None = None
        self._names: dict[str, str] = {}
        self._facts: dict[str, Facts] = {}
        self._facts_due = 0.0
        # A change that is made here need not meet another one that is made here.
        self._locks = [asyncio.Lock() for _ in range(LOCKS)]

    async def close(self) -> None:
        """Lets go of the connection."""
        if self._opening is not None:
            self._opening.cancel()
        if self._link is not None:
            await self._link.close()

    async def ask(self, *questions: Question) -> list[list[Msg]]:
        """The answers, in one round trip. A stream that is gone is made anew, and asked again: it had done nothing."""
        link = await self._connected()
        answers = await link.ask(self._addressed(questions))
        unheard = [number for number, answer in enumerate(answers) if status(answer[0]) == NO_RESPONDERS]
        if unheard:
            await self._prepare(link)
            again = await link.ask(self._addressed([questions[number] for number in unheard]))
            for number, answer in zip(unheard, again, strict=True):
                answers[number] = answer
                if status(answer[0]) == NO_RESPONDERS:
                    raise BrokerUnavailable from RuntimeError("JetStream does not answer")
        return answers

    async def facts(self, which: str, *, fresh: bool = False) -> Facts:
        """What JetStream says of one of our streams."""
        await self._connected()
        if fresh or time.monotonic() > self._facts_due:
            await self._look()
        return self._facts[which]

    async def epoch(self, which: str) -> int:
        """What all cursors into one of our streams begin with, as far as is known; another one once it has been made anew."""
        await self._connected()
        return epoch_of(self._names[which])

    async def now(self) -> float:
        """The time in seconds since the epoch, by the server's clock: those of our processes may differ."""
        return time.time() + (await self.facts(STATE)).ahead

    async def version(self) -> str:
        """The version of the server."""
        return (await self._connected()).version

    async def put(self, question: Question) -> EventId:
        """Stores a message; the epoch of its stream, and its place there. Raises `Refused`."""
        [answer] = await self.ask(question)
        return stored_at(answer)

    async def last(self, which: str, subject: str) -> Msg | None:
        """The last message of a subject, or of all that a pattern covers."""
        [[message]] = await self.ask(direct(which, last_by_subj=subject))
        return None if status(message) else message

    async def walk(self, which: str, subject: str, seq: int, limit: int) -> list[Msg]:
        """At most `limit` messages of a subject, from a place on."""
        [messages] = await self.ask(direct(which, next_by_subj=subject, seq=max(1, seq), batch=limit))
        return [] if status(messages[0]) else messages

    async def all(self, which: str, subject: str) -> list[Msg]:
        """All messages of a subject."""
        found: list[Msg] = []
        while page := await self.walk(which, subject, _after(found), 1000):
            found += page
            if (page[-1].headers or {}).get("Nats-Num-Pending") == "0":
                break
        return found

    async def document(self, subject: str) -> Document | None:
        """What is kept under a subject of STATE."""
        message = await self.last(STATE, subject)
        return content(message) if message is not None else None

    async def change(self, subject: str, change: Callable[[Document, float], tuple[Any, float]]) -> Any:
        """Changes what is kept under a subject of STATE, whoever else changes it at the same time.

        `change` is given a document and the time, changes it in place, and returns its answer and for how many seconds
        the document is to be kept (0: not at all; negative: it is as it was).
        """
        async with self._locks[zlib.crc32(subject.encode()) % LOCKS]:
            for attempt in range(TRIES):
                message = await self.last(STATE, subject)
                document = (content(message) if message is not None else None) or {}
                answer, seconds = change(document, await self.now())
                if seconds < 0:
                    return answer
                payload = json.dumps(document, separators=(",", ":")).encode() if seconds else b""
                try:
                    await self.put(Question(subject, payload, expecting(message) | lasting(seconds or 60)))
                except Refused:
                    await asyncio.sleep(random.uniform(0, 0.002 * min(attempt, 10)))  # noqa: S311 - not a secret
                else:
                    return answer
        raise BrokerUnavailable from RuntimeError(f"{subject} is being changed all the time")

    async def purge(self, subject: str, which: str, *, below: int = 0) -> None:
        """Removes the messages of a subject, or those before a place."""
        wanted = {"filter": subject} | ({"seq": below} if below else {})
        [answer] = await self.ask(api("STREAM.PURGE.", wanted, which=which))
        said(answer)

    async def _connected(self) -> Link:
        if self._link is not None and not self._link.lost:
            return self._link
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open(), name="nats")
        # Shielded: others wait for the same connection.
        return await asyncio.shield(self._opening)

    async def _open(self) -> Link:
        link = await Link.open(self._url)
        try:
            await self._prepare(link)
        except BaseException:
            await link.close()
            raise
        self._link = link
        return link

    def _addressed(self, questions: Sequence[Question]) -> list[Question]:
        return [replace(each, subject=each.subject + self._names[each.which]) if each.which else each for each in questions]

    async def _prepare(self, link: Link) -> None:
        """Finds our streams, makes those that are missing, and has their limits as the settings want them."""
        wanted = configurations()
        names = await self._found(link, wanted)
        if len(names) < len(wanted):
            refusals = await self._make(link, {which: config for which, config in wanted.items() if which not in names})
            names = await self._found(link, wanted)
            if len(names) < len(wanted):
                raise BrokerUnavailable from RuntimeError("; ".join(refusals) or "our streams are being deleted")
        self._names = names
        answers = await link.ask(self._addressed([api("STREAM.INFO.", which=which) for which in wanted]))
        for (which, config), [message] in zip(wanted.items(), answers, strict=True):
            known = said([message])["config"]
            if any(known.get(key) != value for key, value in config.items()):
                [answer] = await link.ask(self._addressed([api("STREAM.UPDATE.", known | config, which=which)]))
                said(answer)
        if not await self._look_by(link):
            raise BrokerUnavailable from RuntimeError("our streams are being deleted")

    async def _found(self, link: Link, wanted: dict[str, Document]) -> dict[str, str]:
        """The names of our streams that there are: those that hold our subjects. Another's may hold them too, and is not ours."""
        asked = [api("STREAM.NAMES", {"subject": config["subjects"][0]}) for config in wanted.values()]
        names: dict[str, str] = {}
        for which, [message] in zip(wanted, await link.ask(asked), strict=True):
            if status(message):
                raise BrokerUnavailable from RuntimeError("JetStream is not enabled")
            for name in said([message])["streams"] or []:
                if name == stream_name(which, epoch_of(name)):
                    names[which] = name
        return names

    async def _make(self, link: Link, configs: dict[str, Document]) -> list[str]:
        """Makes streams; why JetStream did not. Of several who make one at the same time it refuses all but one."""
        now = int(time.time() * 1000)
        named = [{"name": stream_name(which, now), **config} for which, config in configs.items()]
        answers = await link.ask([api(f"STREAM.CREATE.{config['name']}", config) for config in named])
        told = [json.loads(answer[0].data or b"{}").get("error", {}).get("description", "") for answer in answers]
        return [f"{config['name']}: {why}" for config, why in zip(named, told, strict=True) if why]

    async def _look(self) -> None:
        link = await self._connected()
        if not await self._look_by(link):
            await self._prepare(link)

    async def _look_by(self, link: Link) -> bool:
        """Whether our streams are all there still."""
        asked = self._addressed([api("STREAM.INFO.", which=which) for which in self._names])
        for (which, name), answer in zip(self._names.items(), await link.ask(asked), strict=True):
            told = json.loads(answer[0].data or b"{}")
            if "state" not in told:
                return False
            state = told["state"]
            ahead = parsed_time(told["ts"]) - time.time()
            self._facts[which] = Facts(epoch_of(name), state["first_seq"], state["last_seq"], ahead)
        self._facts_due = time.monotonic() + FACTS_SECONDS
        return True


def direct(which: str, **wanted: Any) -> Question:
    """A question to the store itself: any replica answers it."""
    return Question("$JS.API.DIRECT.GET.", json.dumps(wanted).encode(), which=which)


def api(name: str, wanted: Document | None = None, *, which: str = "") -> Question:
    """A question to JetStream's own interface; with `which` about one of our streams."""
    return Question(f"$JS.API.{name}", json.dumps(wanted).encode() if wanted is not None else b"", which=which)


def stored_at(answer: list[Msg]) -> EventId:
    """Where a message was stored: the epoch of its stream, and its place there.

    Raises `Refused`, and `BrokerUnavailable` for every other reason not to store it.
    """
    told = json.loads(answer[0].data or b"{}")
    if told.get("error", {}).get("err_code") in WRONG_SEQUENCE:
        raise Refused
    told = said(answer)
    return EventId(epoch_of(told["stream"]), int(told["seq"]))


def expecting(message: Msg | None) -> dict[str, str]:
    """The header for a message that is only to be stored if this one is the last of its subject."""
    return {"Nats-Expected-Last-Subject-Sequence": (message.headers or {})["Nats-Sequence"] if message is not None else "0"}


def lasting(seconds: float) -> dict[str, str]:
    """The header for a message that ends by itself; NATS counts whole seconds."""
    return {"Nats-TTL": f"{max(1, round(seconds + 0.5))}s"}


def content(message: Msg) -> Document | None:
    """The document in a message; None: it was taken away."""
    return json.loads(message.data) if message.data else None


def _after(found: list[Msg]) -> int:
    return int((found[-1].headers or {})["Nats-Sequence"]) + 1 if found else 1
