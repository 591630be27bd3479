"""Runs without a worker: the tests claim and end them."""

from chat.services import claiming, endings
from chat.services.endings import CANCELLED
from chat.services.questions import message_stream
from events import journal
from events.event import START


def claim(message, worker="w"):
    return claiming.claim(message_id=message.pk, worker=worker)


def end(message, lease, ending=CANCELLED):
    events = journal.read(message_stream(message.pk), START)
    return endings.end(message_id=message.pk, conversation_id=message.conversation_id, lease=lease, events=events, ending=ending)
