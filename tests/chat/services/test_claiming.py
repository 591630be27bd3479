import uuid

import pytest
from procrastinate.contrib.django.models import ProcrastinateJob

from chat.services import claiming
from tests.chat.conftest import ask, run_of
from tests.chat.services.conftest import claim, end
from tests.chat.services.test_questions import at_once

pytestmark = pytest.mark.usefixtures("stores")


def test_a_run_is_claimed_once(alice):
    message = ask(alice)
    assert claim(message).lease == 1
    assert claim(message) is None
    run = run_of(message)
    assert (run.status, run.worker, run.lease) == ("running", "w", 1)
    assert run.started_at is not None


def test_a_run_is_claimed_by_one_of_many_at_once(alice):
    message = ask(alice)
    claims = at_once(6, lambda number: claim(message, f"w{number}"))
    (won,) = [each for each in claims if each is not None]
    assert won.lease == run_of(message).lease == 1, "a claim that fails must not take the stream from the one that holds it"


def test_a_run_that_is_over_or_unknown_is_not_claimed(alice):
    message = ask(alice)
    end(message, claiming.claim(message_id=message.pk, worker="w").lease)
    assert claim(message) is None
    assert claiming.claim(message_id=uuid.uuid4(), worker="w") is None


def test_handing_back_needs_the_lease(alice):
    message = ask(alice)
    first = claim(message)
    assert claiming.hand_back(claim=first)
    assert not claiming.hand_back(claim=first)
    second = claim(message)
    assert second.lease == first.lease + 1
    assert not claiming.hand_back(claim=first)
    assert ProcrastinateJob.objects.count() == 2
