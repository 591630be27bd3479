"""An application with tools that ask first, and that count how often they were really called."""

import pytest

from accounts.threads import in_thread
from chat.models import Application, Approval, Conversation
from plugins.tools.registry import Tool, register, unregister
from tests.chat.conftest import _person, asked, run_of, until

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


def people(count, organization=None):
    """So many callers."""
    del organization
    return [_person(f"person{number}") for number in range(count)]
