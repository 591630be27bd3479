"""The chat socket (S4): questions, answers and typing of those who share a session.

What may not be lost is read from logs: an answer from its own, and that one has begun from the user's feed, to which
`message.started` is published with the question. Only typing and leaving go through the ephemeral plane.
"""

import asyncio
import hashlib
import logging
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

from accounts.threads import in_thread
from chat.conf import conf
from chat.dialects.nadoo import DEFAULT, VOCABULARIES, NadooFrames
from chat.models import ChatSession, Message
from chat.run_events import Type
from chat.serializers import ChatFrameSerializer, first_error
from chat.services import answers, questions, resuming, sessions
from chat.services.questions import message_stream
from events.consumers import BaseConsumer, timestamp
from events.event import Event, EventId, to_json
from events.exceptions import Forbidden, InvalidRequest, NotFound, ThroughlineError, TooMany, Unavailable, translated
from events.feed import Feed
from events.frames import Frame, text_field, with_ref
from events.hub import current_hub
from events.paging import parse_id
from events.presence import current_presence, on_left
from events.streams import Stream, parse_cursor

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
"""Pause before a database that is away is asked again."""

P = ParamSpec("P")
R = TypeVar("R")


class ChatConsumer(BaseConsumer):
    """`/ws/chat/{session_id}`: see `docs/reference/sockets.md`."""

    subprotocols = tuple(VOCABULARIES)
    _place = ""
    _typing: asyncio.TimerHandle | None = None

    async def opened(self) -> None:
        """Enters the session, and begins to hear of its answers."""
        self.words = VOCABULARIES[self._dialect()]
        self.chat_session: ChatSession = await in_thread(sessions.resolve, caller=self.caller, name=self.path_args["session_id"])
        self._people = await in_thread(sessions.participants, self.chat_session)
        self._place = place_of(self.chat_session)
        self._known: set[uuid.UUID] = set()
        """Answers that were begun to be told here, and those that are asked for."""
        self._resumed: set[uuid.UUID] = set()
        self._asking: set[asyncio.Future[None]] = set()
        self._told_questions: set[uuid.UUID] = set()
        """Messages that were told here, or sent from here: in a room one may have several answers, or none."""
        self._tells_answers = self.query.get("answers") != "no"
        """Whether unasked: a page that reads answers as event streams does not want them twice."""
        self._mine = to_json({"user_id": self.caller.user_id})[1:-1]
        await self.join_group(self._place)
        await current_presence().join(place=self._place, user_id=self.caller.user_id, connection_id=self.connection_id)
        stream = Stream("user", self.caller.user_id)
        # Before the running answers are looked for: what begins meanwhile is heard.
        heads = await current_hub().log.heads([stream])
        self.work(self._hear(stream, heads[stream].id), name="hears of answers")
        if self._tells_answers:
            self.work(self._offer_running(after=conf.CHAT_RESUME_SECONDS), name="running answers")

    def _dialect(self) -> str:
        asked = [self.query["dialect"]] if "dialect" in self.query else self.scope.get("subprotocols", ())
        known = [name for name in asked if name in VOCABULARIES]
        if "dialect" in self.query and not known:
            raise InvalidRequest(f"There is no such dialect. Known: {', '.join(VOCABULARIES)}.")
        return known[0] if known else DEFAULT

    @property
    def session(self) -> str:
        """The session's name, as its client chose it."""
        return self.path_args["session_id"]

    def greeting(self) -> Frame:
        """The session's name and id, and who takes part."""
        return {"session_id": self.session, "session": str(self.chat_session.pk), "participants": self._people}

    async def allowed(self) -> None:
        """Whether the caller still takes part."""
        if not await in_thread(sessions.takes_part, caller=self.caller, session=self.chat_session):
            raise Forbidden

    async def gone(self) -> None:
        """Leaves, and tells the others if this was the user's last connection."""
        if not self._place:
            return  # refused before it came in
        await self._stop_typing()
        user_id = self.caller.user_id
        if await current_presence().leave(place=self._place, user_id=user_id, connection_id=self.connection_id):
            await tell_left(self._place, user_id)

    def offer(self, text: str) -> None:
        """A frame of the session's ephemeral plane; what the same user does elsewhere is no news to him."""
        if self._mine not in text:
            super().offer(text)

    # Frames of the client.

    async def on_chat(self, frame: Frame) -> None:
        """`chat {content, chat_id?, application_id?, id?}`: a question."""
        given = {"content": frame.get("message"), "chat_id": frame.get("conversation_id")} | frame
        serializer = ChatFrameSerializer(data={name: value for name, value in given.items() if value is not None})
        if not serializer.is_valid():
            raise InvalidRequest(first_error(serializer.errors))
        self.work(self._ask(serializer, frame), name="question")

    on_message = on_chat

    async def on_typing(self, frame: Frame) -> None:
        """`typing {chat_id?}`: told to the others, until CHAT_TYPING_SECONDS after the last one."""
        where = {"chat_id": text_field(frame, "chat_id", longest=255)} if "chat_id" in frame else {}
        if self._typing is not None:
            self._typing.cancel()
        self._typing = asyncio.get_running_loop().call_later(conf.CHAT_TYPING_SECONDS, self._typing_ran_out)
        who = {"user_id": self.caller.user_id, "username": self.caller.username}
        told = {"type": "typing", **who, **where, "expires_in": conf.CHAT_TYPING_SECONDS, "timestamp": timestamp()}
        await self.broadcast(self._place, told)

    async def on_typing_stopped(self, frame: Frame) -> None:
        """`typing_stopped`: before the time is over."""
        del frame
        await self._stop_typing()

    async def on_cancel(self, frame: Frame) -> None:
        """`cancel {message_id?}`: ends that answer, or all of the session that the caller asked for."""
        wanted = frame.get("message_id")
        id_ = None if wanted is None else parse_id(wanted, what="message_id")
        self.work(self._cancel(id_), name="cancel")

    async def on_resume(self, frame: Frame) -> None:
        """`resume {message_id, since?}`: the rest of an answer, after the `seq` that was seen last."""
        id_ = parse_id(frame.get("message_id"), what="message_id")
        since = frame.get("since", 0)
        cursor = parse_cursor(message_stream(id_), str(since)) if isinstance(since, int | str) else None
        if cursor is None or since is True:
            raise InvalidRequest("since must be the `seq` of the last frame seen, or 0 for the whole answer.")
        if len(self._resumed | {id_}) > conf.CHAT_SOCKET_ANSWERS:
            raise TooMany(f"{conf.CHAT_SOCKET_ANSWERS} answers are told here already. Wait for one to end.")
        self._known.add(id_)
        self._resumed.add(id_)
        self.work(self._resume(id_, cursor, ref=frame.get("ref")), name="resume")

    # What takes longer.

    async def _ask(self, serializer: ChatFrameSerializer, frame: Frame) -> None:
        question = serializer.to_question(session=self.chat_session)
        body = to_json(serializer.validated_data)
        asking = asyncio.get_running_loop().create_future()
        self._asking.add(asking)
        try:
            posted = await in_thread(
                questions.post,
                caller=self.caller,
                question=question,
                idempotency_key=_key(self.chat_session, frame, body),
                body=body.encode(),
            )
            self._told_questions.add(posted.message.pk)
            about = with_ref({}, frame.get("ref", frame.get("id")))
            if not posted.answers:
                await self.tell(self._accepted(posted.message) | about)
            for answer in posted.answers:
                if answer.pk not in self._known:
                    self._tell_answer(answer.pk, about=about | _agent(posted.message, answer))
        finally:
            self._asking.discard(asking)
            asking.set_result(None)
        await self._stop_typing()

    def _tell_answer(self, message_id: uuid.UUID, *, about: Frame, standing: resuming.Standing | None = None) -> None:
        """Begins to tell an answer, from its beginning or from where the client stands."""
        standing = standing or resuming.Standing()
        self._known.add(message_id)
        frames = NadooFrames(str(message_id), vocabulary=self.words, about=about)
        frames.pass_over(standing.told)

        async def done() -> None:
            self._resumed.discard(message_id)

        self.follow(
            f"answer:{message_id}", stream=message_stream(message_id), cursor=standing.cursor, render=frames.frames, done=done
        )

    async def _resume(self, message_id: uuid.UUID, since: EventId, *, ref: object) -> None:
        try:
            found = await resuming.standing(caller=self.caller, message_id=message_id, since=since)
        except BaseException:
            self._resumed.discard(message_id)
            raise
        if found.rest is None:
            self._tell_answer(message_id, about=with_ref({}, ref), standing=found)
            return
        self._resumed.discard(message_id)
        frames = NadooFrames(str(message_id), vocabulary=self.words, about=with_ref({}, ref))
        for event in found.rest:
            for frame in frames.frames(event):
                await self.tell(frame)

    async def _cancel(self, message_id: uuid.UUID | None) -> None:
        if message_id is not None:
            wanted = [message_id]
        else:
            wanted = await in_thread(sessions.running, caller=self.caller, session_id=self.chat_session.pk, own=True)
        if not wanted:
            raise InvalidRequest("None of your answers is running in this session.")
        for each in wanted:
            await in_thread(answers.stop, caller=self.caller, message_id=each)

    # Answers that others asked for, or that were begun before this socket.

    async def _hear(self, stream: Stream, cursor: EventId) -> None:
        """Follows every answer that begins in the session, asked by whomever, over whatever transport."""
        try:
            async with Feed(hub=current_hub(), stream=stream, cursor=cursor) as feed:
                while (batch := await feed.next()) is not None:
                    for event in batch.events:
                        await self._heed(event)
                    if batch.reason and self._tells_answers:
                        # Some may have begun without our hearing of it.
                        await self._offer_running()
        except Exception:
            # A deaf socket would wait for what never comes; closed, it comes back.
            logger.exception("A chat socket could not hear of answers.")
            self.end(ThroughlineError.close_code, "This failed; it was logged")

    async def _heed(self, event: Event) -> None:
        if event.data.get("session_id") != str(self.chat_session.pk):
            return
        if event.type == Type.SESSION_LEFT:
            self.end(Forbidden.close_code, "Forbidden")
        elif event.type == Type.MESSAGE_POSTED and self._tells_answers:
            await self._until_asked()
            await self._tell_posted(uuid.UUID(event.data["message_id"]))
        elif event.type == Type.MESSAGE_STARTED and self._tells_answers:
            # The answer to a question of this socket is told by who asked it, with its `ref`.
            await self._until_asked()
            await self._begin(uuid.UUID(event.data["message_id"]))

    async def _until_asked(self) -> None:
        while self._asking:
            await asyncio.wait(self._asking)

    async def _tell_posted(self, message_id: uuid.UUID) -> None:
        """What somebody wrote in a room, also when nobody answers it."""
        if message_id in self._told_questions:
            return
        self._told_questions.add(message_id)
        with suppress(NotFound):  # deleted, or no longer to be seen by the caller
            message = await _patiently(sessions.message_of, caller=self.caller, message_id=message_id)
            await self.tell(self._asked(message))

    async def _offer_running(self, *, after: float = 0.0) -> None:
        """Tells the answers of the session that are not over, except those that the client says `resume` to before."""
        await asyncio.sleep(after)
        for message_id in await _patiently(sessions.running, caller=self.caller, session_id=self.chat_session.pk):
            await self._begin(message_id)

    async def _begin(self, message_id: uuid.UUID) -> None:
        """The question, then the answer as it comes; nothing for one that is told already."""
        if message_id in self._known:
            return
        self._known.add(message_id)
        try:
            answer = await _patiently(sessions.message_of, caller=self.caller, message_id=message_id)
            question = await _patiently(sessions.question_of, caller=self.caller, message_id=message_id)
        except ThroughlineError:
            return  # deleted, or no longer to be seen by the caller
        # In a room a person's message is told by itself, too, and what an agent answers may be another agent's answer.
        if question.role == Message.Role.USER and question.pk not in self._told_questions:
            self._told_questions.add(question.pk)
            await self.tell(self._asked(question) | {"message_id": str(message_id)})
        self._tell_answer(message_id, about=_agent(question, answer))

    def _accepted(self, message: Message) -> Frame:
        """To who sent a message that nobody answers: it was kept."""
        chat_id = {self.words.conversation: str(message.conversation_id)}
        return {"type": "accepted", **chat_id, "question_id": str(message.pk), "timestamp": timestamp()}

    def _asked(self, question: Message) -> Frame:
        application = question.conversation.application
        return {
            "type": self.words.question,
            self.words.conversation: str(question.conversation_id),
            "content": question.text,
            "user_id": question.author.public_id if question.author else None,
            "application_id": application.public_id if application else None,
            "question_id": str(question.pk),
            "timestamp": timestamp(question.created_at.timestamp()),
        }

    # Typing.

    def _typing_ran_out(self) -> None:
        self._works.start(self._stop_typing(), name="socket: end of typing")

    async def _stop_typing(self) -> None:
        if self._typing is None:
            return
        self._typing.cancel()
        self._typing = None
        await self.broadcast(self._place, {"type": "typing_stopped", "user_id": self.caller.user_id, "timestamp": timestamp()})


def place_of(session: ChatSession) -> str:
    """Where those are present who are connected to a session; also the group that hears of typing and leaving."""
    return f"chat:{session.pk}"


async def tell_left(place: str, user_id: str) -> None:
    """Tells the others in a session that a user's last connection is gone."""
    frame = {"type": "user_disconnected", "user_id": user_id, "timestamp": timestamp()}
    await current_hub().groups.send(place, to_json(frame))


on_left("chat", tell_left)


def _agent(question: Message, answer: Message) -> Frame:
    """In a room, which agent answers what."""
    if not question.conversation.type or answer.application is None:
        return {}
    return {"application_id": answer.application.public_id, "question_id": str(question.pk)}


def _key(session: ChatSession, frame: Frame, body: str) -> str:
    """By which a question that is sent again is known: its `id`; its `ref` only with what is asked.

    Clients count refs anew on each connection. Empty: it has neither.
    """
    if frame.get("id") not in (None, ""):
        named = ["id", frame["id"]]
    elif frame.get("ref") not in (None, ""):
        named = ["ref", frame["ref"], body]
    else:
        return ""
    return f"chat:{session.pk}:{hashlib.sha256(to_json(named).encode()).hexdigest()}"


async def _patiently(ask: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The answer of the database, however long it is away: what a socket is to be told must not be lost meanwhile."""
    while True:
        try:
            return await in_thread(ask, *args, **kwargs)
        except Exception as error:
            if not isinstance(translated(error), Unavailable):
                raise
            await asyncio.sleep(RETRY_SECONDS)
