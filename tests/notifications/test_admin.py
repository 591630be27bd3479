"""Notifications in the admin: looked at, never changed."""

import pytest
from django.contrib.auth import get_user_model

from notifications.inbox import Action, Chosen, act
from notifications.models import Delivery, Notification
from tests.notifications.conftest import caller_of, tell
from tests.notifications.rules import happen, organization, rule, work

LIST = "/admin/notifications/notification/"


@pytest.fixture
def admin(client):
    client.force_login(get_user_model().objects.create_superuser(username="root", password="x"))
    return client


@pytest.mark.parametrize("query", ["alice", "user_alice", "import:", "Finished"])
def test_found_by_user_key_and_words(admin, people, query):
    tell(people["alice"], "Finished the import", key="import:7")
    tell(people["bob"], "Nothing of the kind")
    page = admin.get(LIST, {"q": query}).content.decode()
    assert "Finished the import" in page
    assert "Nothing of the kind" not in page


def test_history_is_read_only(admin, people):
    (id,) = tell(people["alice"], "t")
    assert admin.get(f"{LIST}add/").status_code == 403
    assert admin.get(f"{LIST}{id}/delete/").status_code == 403
    assert admin.post(f"{LIST}{id}/change/", {"title": "other"}).status_code == 403
    assert '<input type="text" name="title"' not in admin.get(f"{LIST}{id}/change/").content.decode()
    assert Notification.objects.get().title == "t"


def test_of_what_was_deleted_only_that_it_was(admin, people):
    (id,) = tell(people["alice"], "Secret")
    act(caller=caller_of(people["alice"]), action=Action.DELETE, chosen=Chosen(ids=[id]))
    page = admin.get(LIST).content.decode()
    assert "Secret" not in page
    assert "deleted" in page


def test_dead_deliveries_are_replayed_from_the_admin(admin, people, feed):
    organization(people)
    rule(people["ops"], channels=["email"], recipients=["user:user_alice"])
    happen()
    work(deliver=False)
    Delivery.objects.update(status="dead", attempts=20, reason="554 no")
    row = Delivery.objects.get()
    assert "554 no" in admin.get("/admin/notifications/delivery/").content.decode()
    chosen = {"action": "replay", "_selected_action": [str(row.pk)]}
    page = admin.post("/admin/notifications/delivery/", chosen, follow=True).content.decode()
    assert "1 dead deliveries are tried again" in page
    row.refresh_from_db()
    assert (row.status, row.attempts) == ("held", 0)
    assert admin.get(f"/admin/notifications/delivery/{row.pk}/change/").status_code == 200
    assert admin.get("/admin/notifications/rule/").status_code == 200
