"""An application with tools that ask first, and that count how often they were really called."""

import json
from datetime import timedelta

import pytest
import redis
from django.utils import timezone

from accounts.threads import in_thread
from chat.approvals.requesting import Batch, Item, request
from chat.continuation import Continuation
from chat.engines.base import ToolCall
from chat.models import Application, Approval, Conversation
from chat.run_events import Type
from chat.services import claiming
from chat.services.questions import message_stream
from events import journal
from events.event import Event, EventId
from events.publishing import now_ms
from plugins.tools.registry import Tool, register, unregister
from tests.chat.conftest import _person, ask, asked, run_of, until

SCHEMA = {
    "type": "object",
    "properties": {"to": {"type": "string"}, "amount": {"type": "integer", "minimum": 1}},
    "required": ["to", "amount"],
    "additionalProperties": False,
}
PAY = {"to": "bob", "amount": 5}


class Counting:
    """`pay` asks first and counts; `look` does not ask."""

    def __init__(self):
        self.paid = []
        self.looked = 0

    async def pay(self, arguments, context):
        self.paid.append(arguments)
        return {"paid": arguments["amount"]}

    async def look(self, arguments, context):
        self.looked += 1
        return "seen"


@pytest.fixture
def counting():
    counting = Counting()
    tools = (
        Tool("pay", "Pays.", SCHEMA, counting.pay, needs_approval=True, idempotent=False),
        Tool("look", "Looks.", {"type": "object"}, counting.look),
    )
    for tool in tools:
        register(tool.name, lambda tool=tool: tool)
    yield counting
    for tool in tools:
        unregister(tool.name)


@pytest.fixture
def application(organization, counting):
    return Application.objects.create(public_id="app_pay", organization=organization, name="Pay", tools=["pay", "look"])


@pytest.fixture
def carol(organization):
    """An administrator of the organisation, in none of the conversations."""
    carol = _person("carol", organization)
    organization.memberships.filter(user_id=carol.pk).update(role="admin")
    return carol


@pytest.fixture
def dave(stores):
    """Somebody else."""
    return _person("dave")


def pay(call_id="call_1", **arguments):
    return {"tool_call": {"name": "pay", "call_id": call_id, "arguments": PAY | arguments}}


async def waiting(runner, caller, *steps, also=()):
    """An answer that waits: its message and its open approvals. `also`: others who take part."""
    steps = steps or (pay(), {"results": True}, {"text": "Result: "}, {"result": 1})
    message = await asked(caller, *steps, application_id="app_pay")
    await in_thread(lambda: [join(message, other) for other in also])
    await runner.answer(message.pk)
    await until(lambda: run_of(message).status == "awaiting_approval")
    return message, await in_thread(lambda: list(Approval.objects.filter(run_id=message.pk).order_by("position")))


def join(message, other):
    Conversation.objects.get(pk=message.conversation_id).participants.get_or_create(user_id=other.pk)


def people(count):
    """So many callers."""
    return [_person(f"person{number}") for number in range(count)]


def opened(caller, *items, also=(), **fields):
    """Approvals of a stored run that waits, made without a worker: its message, and they in their order."""
    message = ask(caller, application_id="app_pay")
    for other in also:
        join(message, other)
    claim = claiming.claim(message_id=message.pk, worker="w")
    items = items or (Item("call_1", "pay", PAY, SCHEMA),)
    batch = Batch("tool_call", items, **fields)
    continuation = Continuation((), "", tuple(ToolCall(each.subject, each.title, each.payload) for each in items), {})
    write = request(message_id=message.pk, batch=batch, continuation=continuation.as_json())
    event = Event(EventId(2, 0), Type.APPROVAL_REQUESTED, batch.event(), now_ms())
    journal.commit(stream=message_stream(message.pk), lease=claim.lease, events=[event], also=write)
    return message, list(Approval.objects.filter(run_id=message.pk).order_by("position"))


def feed_of(redis_url, caller, kind):
    """The payloads of that type in a user's feed."""
    with redis.Redis.from_url(redis_url) as client:
        entries = client.xrange(f"tl:{{user:{caller.user_id}}}")
    found = [json.loads(entry[b"e"]) for _, entry in entries]
    return [each["data"]["payload"] for each in found if each["type"] == kind]


def expire(message):
    """What waits of an answer is too late now."""
    Approval.objects.filter(run_id=message.pk, status="pending").update(expires_at=timezone.now() - timedelta(seconds=1))
