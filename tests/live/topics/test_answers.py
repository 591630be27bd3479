"""Chat on topics: each token of an answer reaches who subscribed to its conversation, once and in order, across cuts."""

import asyncio
import random
from typing import Any

import pytest

from tests.live.conftest import Client, words
from tests.live.processes import Stack, eventually
from tests.live.topics.subscribers import SocketSubscriber, StreamSubscriber, Subscriber
from tests.patience import patiently

SECONDS = patiently(30)
TOKENS = 60


async def _begin(kind: type[Subscriber], client: Client, topics: list[str], seed: int) -> Subscriber:
    subscriber = kind(client.stack, client.token, topics, chance=random.Random(seed))
    async with asyncio.timeout(SECONDS):
        await subscriber.ready.wait()
    return subscriber


def _of(subscriber: Subscriber, event: str) -> list[dict[str, Any]]:
    return [frame["event"]["payload"] for frame in subscriber.of("event") if frame["event"]["eventName"] == event]


@pytest.mark.parametrize("kind", [SocketSubscriber, StreamSubscriber])
async def test_tokens_messages_and_tasks_are_told_once_and_in_order_across_cuts(alice: Client, bob: Client, kind: Any) -> None:
    topics = ["events.org_demo.conversations.conversation.*.*", "events.org_demo.tasks.task.completed.*"]
    subscriber, outsider = await _begin(kind, alice, topics, 7), await _begin(SocketSubscriber, bob, topics, 8)
    try:
        message_id = await alice.ask([{"tokens": TOKENS, "per_second": 30}])
        await eventually(lambda: _of(subscriber, "completed"), within=SECONDS, what="the end of the task")
        await eventually(
            lambda: any(each.get("final") for each in _of(subscriber, "message_stream")), within=SECONDS, what="the last token"
        )
        tokens = [each for each in _of(subscriber, "message_stream") if each["message_id"] == message_id]
        assert "".join(each["text"] for each in tokens) == words(TOKENS)
        seqs = [each["seq"] for each in tokens]
        assert seqs == sorted(set(seqs))
        posted = [each for each in _of(subscriber, "message_posted") if each["text"]]
        assert [each["role"] for each in posted] == ["user", "assistant"]
        assert posted[1]["text"] == words(TOKENS)
        assert [each["message_id"] for each in _of(subscriber, "message_started")] == [message_id]
        assert len(_of(subscriber, "created")) == 1
        assert subscriber.cuts > 0
        assert outsider.of("event") == []
    finally:
        await subscriber.stop()
        await outsider.stop()


async def test_who_subscribes_during_an_answer_hears_it_from_its_beginning_and_only_that_conversation(
    stack: Stack, alice: Client
) -> None:
    message_id = await alice.ask([{"tokens": TOKENS, "per_second": 30}])
    other = await alice.ask([{"tokens": 5}])
    tail = await alice.tail(message_id)
    rows = stack.query("SELECT conversation_id FROM chat_message WHERE id = %s", message_id)
    topic = f"events.org_demo.conversations.conversation.message_stream.{rows[0][0]}"
    subscriber = await _begin(SocketSubscriber, alice, [topic], 3)
    try:
        await eventually(
            lambda: any(each.get("final") for each in _of(subscriber, "message_stream")), within=SECONDS, what="the end"
        )
        assert "".join(each["text"] for each in _of(subscriber, "message_stream")) == words(TOKENS), tail
        assert other not in {each["message_id"] for each in _of(subscriber, "message_stream")}
        assert {frame["topic"] for frame in subscriber.of("event")} == {topic}
        assert message_id in subscriber.of("subscribed")[0]["cursor"], (
            "who is cut before the first token must find the answer again"
        )
    finally:
        await subscriber.stop()
