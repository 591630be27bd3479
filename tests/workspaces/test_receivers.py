"""What the server itself tells in workspaces: changes of the organisation's sources, once, and only if they are committed."""

import pytest
from django.db import transaction

from accounts import services as accounts
from accounts.models import User
from knowledge.services import sources
from tests.knowledge.conftest import add_text, caller_for, ready
from workspaces.services import ensure_workspace


@pytest.fixture(autouse=True)
def _quick(settings):
    settings.KNOWLEDGE_EMBEDDINGS = "hashing"


@pytest.fixture
def bob(people):
    return caller_for(people["bob"], "org_w")


def updates(told, stream="workspace:ws_a"):
    return [(data["payload"], data["user_id"]) for type_, data in told(stream) if type_ == "workspace.document_updated"]


def test_a_shared_source_is_told_when_it_can_be_searched_again_and_when_it_goes(told, bob):
    ensure_workspace(public_id="ws_second", organization_pk=User.objects.get(username="bob").organizations.get().pk)
    elsewhere = accounts.ensure_organization(public_id="org_elsewhere")
    ensure_workspace(public_id="ws_elsewhere", organization_pk=elsewhere.pk)
    source = add_text(bob, "Green tea is steeped at 80 degrees.", organization="org_w")
    assert updates(told) == []
    ready(source)
    sources.reingest(caller=bob, source_id=source.pk)
    ready(source)
    sources.delete(caller=bob, source_id=source.pk)
    expected = [
        ({"document_id": str(source.pk), "name": "notes", "action": action}, "user_bob")
        for action in ("added", "updated", "deleted")
    ]
    assert updates(told) == expected
    assert updates(told, "workspace:ws_second") == expected
    assert updates(told, "workspace:ws_elsewhere") == []


def test_what_is_not_shared_and_what_could_not_be_read_is_not_told(told, bob):
    own = ready(add_text(bob, "My own notes on tea."))
    sources.delete(caller=bob, source_id=own.pk)
    shared = add_text(bob, "Cancelled before it is read.", organization="org_w")
    sources.cancel(caller=bob, source_id=shared.pk)
    assert updates(told) == []


def test_a_change_that_is_rolled_back_is_not_told(told, bob):
    source = ready(add_text(bob, "Green tea is steeped at 80 degrees.", organization="org_w"))
    before = len(updates(told))
    with transaction.atomic():
        sources.delete(caller=bob, source_id=source.pk)
        transaction.set_rollback(True)
    assert len(updates(told)) == before
