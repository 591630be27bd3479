"""Who is told that a source was shared."""

import pytest
import redis
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import services as accounts
from accounts.models import User
from events.exceptions import InvalidRequest
from knowledge.models import Source
from tests.knowledge.conftest import add_file, add_text, caller_for, told


@pytest.fixture
def shared_with(redis_url, alice):
    """The data of `resource.shared` that a caller was told."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        yield lambda caller: [data for type_, data in told(client, caller.user_id) if type_ == "resource.shared"]


def test_the_other_members_are_told_of_a_shared_source(alice, bob, mallory, shared_with):
    source = add_text(alice, "Words.", name="Notes", organization="org_tests")
    (data,) = shared_with(bob)
    assert data == {
        "scope": {"kind": "resource", "id": str(source.pk)},
        "payload": {
            "resource_type": "source",
            "resource_id": str(source.pk),
            "resource_name": "Notes",
            "access_level": "read",
            "team_id": "org_tests",
            "team_name": "Tests",
            "shared_by": alice.user_id,
        },
    }
    assert shared_with(alice) == shared_with(mallory) == []


def test_private_sources_and_attachments_are_told_to_nobody(alice, bob, shared_with):
    add_text(alice, "Words.")
    add_text(alice, "Words.", organization="org_tests", purpose=Source.Purpose.ATTACHMENT)
    assert shared_with(bob) == []


def test_a_source_that_is_not_kept_is_told_to_nobody(alice, bob, shared_with):
    with pytest.raises(InvalidRequest):
        add_file(alice, "notes.txt", b"", organization="org_tests")
    assert shared_with(bob) == []


def test_deactivated_members_are_not_told(alice, bob, shared_with):
    User.objects.filter(pk=bob.pk).update(is_active=False)
    add_text(alice, "Words.", organization="org_tests")
    assert shared_with(bob) == []


def test_a_large_organisation_is_told_in_one_statement_and_within_bounds(alice, organization, shared_with, settings):
    settings.KNOWLEDGE_SHARED_TOLD = 250
    many = [caller_for(accounts.ensure_user(username=f"m{n}", password="x", organization=organization)) for n in range(260)]
    with CaptureQueriesContext(connection) as queries:
        add_text(alice, "Words.", organization="org_tests")
    inserts = [each for each in queries if each["sql"].startswith('INSERT INTO "events_outboxevent"')]
    assert len(inserts) == 2, "one for the owner's own event, one for all members"
    assert [len(shared_with(each)) for each in many] == [1] * 250 + [0] * 10
