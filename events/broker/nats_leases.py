"""What ends by itself in NATS unless its process keeps it alive: leases, connection slots, who is where, and boards.

Where Redis runs a script, a document is read, changed, and stored only if nobody stored another one meanwhile.
"""

import asyncio
import json
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from nats.aio.msg import Msg

from events.broker.base import Admission, BaseBroker, Entry, Held, Here
from events.broker.nats_jetstream import Document, JetStream, content, lasting, stored_at
from events.broker.nats_link import Question
from events.broker.nats_subjects import STATE, state_subject, token

SHARDS = 8
"""Documents of one place: two users who come at the same time seldom wait for each other, and each stays small."""

FORGET_SECONDS = 3600.0
"""How long a place is kept whose processes have all died: nobody is left to say who has left."""

TAKE_OUT_MAX = 500
CONCURRENT_WAIT = 2.0


class NatsLeases(BaseBroker):
    """The part of the broker on NATS that needs nothing but documents."""

    js: JetStream

    async def touch(self, name: str, *, seconds: float) -> None:
        """See `BaseBroker`. NATS ends it by itself, with a whole second as its shortest time."""
        await self.js.put(Question(state_subject("lease", token(name)), b"1", lasting(seconds)))

    async def alive(self, names: Sequence[str]) -> list[bool]:
        """See `BaseBroker`."""
        subjects = [state_subject("lease", token(name)) for name in names]
        return [message is not None for message in await asyncio.gather(*(self.js.last(STATE, each) for each in subjects))]

    async def admit(self, name: str, member: str, *, slots: int, seconds: float, replays: int, window: float) -> Admission:
        """See `BaseBroker`. A refusal counts for nothing: else who retries is never let in again."""

        def change(document: Document, now: float) -> tuple[Admission, float]:
            taken = {each: until for each, until in document.get("slots", {}).items() if until > now}
            counted = [at for at in document.get("replays", []) if at > now - window]
            if slots > 0 and len(taken) >= slots:
                return Admission("concurrent", CONCURRENT_WAIT), -1
            if replays > 0:
                if len(counted) >= replays:
                    return Admission("replays", counted[0] + window - now + 0.001), -1
                counted.append(now)
            document |= {"slots": taken | {member: now + seconds}, "replays": counted}
            return Admission(), max(seconds, window if replays else 0)

        answer: Admission = await self.js.change(_slots(name), change)
        return answer

    async def keep_slots(self, members: Mapping[str, Sequence[str]], *, seconds: float) -> None:
        """See `BaseBroker`."""

        async def keep(name: str, each: Sequence[str]) -> None:
            def change(document: Document, now: float) -> tuple[None, float]:
                document.setdefault("slots", {}).update(dict.fromkeys(each, now + seconds))
                return None, max([seconds, *(until - now for until in document["slots"].values())]) + _window(document)

            await self.js.change(_slots(name), change)

        await asyncio.gather(*(keep(name, each) for name, each in members.items()))

    async def release_slot(self, name: str, member: str) -> None:
        """See `BaseBroker`."""

        def change(document: Document, now: float) -> tuple[None, float]:
            if document.get("slots", {}).pop(member, None) is None:
                return None, -1
            longest = max([0.0, *(until - now for until in document["slots"].values())])
            return None, longest + _window(document)

        await self.js.change(_slots(name), change)

    async def hold(self, entries: Sequence[Entry], *, seconds: float, epoch: str) -> Held:
        """See `BaseBroker`."""
        if not entries:
            return Held([], epoch)

        def put(document: Document, now: float, part: Sequence[Entry]) -> list[bool]:
            return [_put(document, entry, now + seconds) for entry in part]

        new = await self._in_parts(entries, put)
        # Asked afterwards: only then it is known whether everything had been forgotten before.
        return Held(new, await self._epoch(epoch, seconds))

    async def let_go(self, entries: Sequence[Entry], *, seconds: float, epoch: str) -> list[bool]:
        """See `BaseBroker`."""
        if not entries:
            return []
        is_settling = await self.js.document(state_subject("settling")) is not None
        is_settling |= epoch not in ("", await self._epoch(epoch, seconds))

        def take(document: Document, now: float, part: Sequence[Entry]) -> list[bool]:
            if is_settling:
                for entry in part:
                    _put(document, entry, now + seconds)
                return [False] * len(part)
            return [_take(document, entry.user_id, entry.connection_id) for entry in part]

        return await self._in_parts(entries, take)

    async def _epoch(self, known: str, seconds: float) -> str:
        """Which epoch it is. Someone who knows another one shows that everything was forgotten, which takes time to settle."""
        epoch = str(await self.js.epoch(STATE))
        if known not in ("", epoch):
            await self.js.put(Question(state_subject("settling"), b"{}", lasting(seconds)))
        return epoch

    async def _in_parts(self, entries: Sequence[Entry], change: Any) -> list[bool]:
        """The answers to entries, each from the document it belongs to."""
        parts: dict[str, list[int]] = defaultdict(list)
        for number, entry in enumerate(entries):
            parts[_shard(entry)].append(number)
        answers = [False] * len(entries)

        async def change_part(subject: str, numbers: list[int]) -> None:
            def apply(document: Document, now: float) -> tuple[list[bool], float]:
                found = change(document, now, [entries[number] for number in numbers])
                return found, FORGET_SECONDS if document else 0

            for number, answer in zip(numbers, await self.js.change(subject, apply), strict=True):
                answers[number] = answer

        await asyncio.gather(*(change_part(subject, numbers) for subject, numbers in parts.items()))
        return answers

    async def take_out(self) -> list[tuple[str, str]]:
        """See `BaseBroker`."""
        now = await self.js.now()
        left: list[tuple[str, str]] = []
        for message in await self.js.all(STATE, state_subject("here", "*", "*")):
            document = content(message) or {}
            if any(until <= now for users in document.values() for leases in users.values() for until in leases.values()):
                left += await self.js.change((message.headers or {})["Nats-Subject"], _take_out)
            if len(left) >= TAKE_OUT_MAX:
                break
        return left

    async def here(self, place: str, *, limit: int) -> Here:
        """See `BaseBroker`."""
        messages = await self.js.all(STATE, state_subject("here", token(place), "*"))
        users = [user for message in messages for user in (content(message) or {}).get(place, {})]
        return Here(len(users), sorted(users[:limit]))

    async def post(self, owner: str, tables: Mapping[str, Mapping[str, str | None]], *, seconds: float, whole: bool) -> bool:
        """See `BaseBroker`. A field is a message, so that a change costs what it is long, and not what the board is."""
        now, board = await self.js.now(), state_subject("board", token(owner))
        if whole:
            await self._remove_dead(now)
            await asyncio.gather(*(self.js.purge(_fields(owner, table), STATE) for table in tables))
        else:
            kept = await self.js.document(board)
            if kept is None or kept["until"] <= now:
                return False
        fields = [_posted(owner, table, *field) for table, each in tables.items() for field in each.items()]
        lease = Question(board, json.dumps({"owner": owner, "until": now + seconds}).encode())
        for answer in await self.js.ask(*fields, lease):
            stored_at(answer)
        return True

    async def boards(self, tables: Sequence[str]) -> dict[str, list[dict[str, str]]]:
        """See `BaseBroker`."""
        now = await self.js.now()
        owners = [board["owner"] for board in await self._boards() if board["until"] > now]
        found = await asyncio.gather(*(self.js.all(STATE, _fields(owner, table)) for owner in owners for table in tables))
        contents = iter([_values(messages) for messages in found])
        return {owner: [next(contents) for _ in tables] for owner in owners}

    async def take_down(self, owner: str, tables: Sequence[str]) -> None:
        """See `BaseBroker`."""
        gone = [state_subject("board", token(owner)), *(_fields(owner, table) for table in tables)]
        await asyncio.gather(*(self.js.purge(subject, STATE) for subject in gone))

    async def _boards(self) -> list[Document]:
        return [json.loads(message.data) for message in await self.js.all(STATE, state_subject("board", "*"))]

    async def _remove_dead(self, now: float) -> None:
        for board in await self._boards():
            if board["until"] <= now:
                await self.js.purge(state_subject("board", token(board["owner"])), STATE)
                await self.js.purge(_fields(board["owner"], "*"), STATE)


def _slots(name: str) -> str:
    return state_subject("slots", token(name))


def _window(document: Document) -> float:
    """So long, at most, replays are counted; longer than any window keeps them, and each looks only as far back as its own."""
    return FORGET_SECONDS if document.get("replays") else 0


def _shard(entry: Entry) -> str:
    return state_subject("here", token(entry.place), str(zlib.crc32(entry.user_id.encode()) % SHARDS))


def _put(document: Document, entry: Entry, until: float) -> bool:
    """Writes a lease into a document `{place: {user: {connection: until}}}`; whether its user is new."""
    users = document.setdefault(entry.place, {})
    is_new = entry.user_id not in users
    users.setdefault(entry.user_id, {})[entry.connection_id] = until
    return is_new


def _take(document: Document, user_id: str, connection_id: str) -> bool:
    """Removes a lease; whether its user has left with it."""
    users: dict[str, dict[str, float]] = next(iter(document.values()), {})
    leases = users.get(user_id, {})
    if leases.pop(connection_id, None) is None or leases:
        return False
    del users[user_id]
    if not users:
        document.clear()
    return True


def _take_out(document: Document, now: float) -> tuple[list[tuple[str, str]], float]:
    """Removes leases that have run out; the users who left with that."""
    due = [
        (place, user, connection)
        for place, users in document.items()
        for user, leases in users.items()
        for connection, until in leases.items()
        if until <= now
    ]
    left = [(place, user) for place, user, connection in due if _take(document, user, connection)]
    return left, (FORGET_SECONDS if document else 0) if due else -1


def _fields(owner: str, table: str) -> str:
    return state_subject("field", token(owner), table, "*")


def _posted(owner: str, table: str, name: str, value: str | None) -> Question:
    """Sets a field; without a value it ends at once."""
    subject = state_subject("field", token(owner), table, token(name))
    return Question(subject, b"", lasting(1)) if value is None else Question(subject, json.dumps([name, value]).encode())


def _values(messages: Sequence[Msg]) -> dict[str, str]:
    return dict(json.loads(message.data) for message in messages if message.data)
