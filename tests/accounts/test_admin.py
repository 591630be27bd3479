import re

import pytest

from accounts import services
from accounts.authentication import find_caller
from accounts.credentials import Credential
from accounts.models import ApiKey, Organization, User

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("model", ["user", "organization", "apikey"])
def test_the_pages_open(admin_client, alice, organization, model):
    services.issue_api_key(user_pk=alice.pk, name="laptop")
    row = {"user": User, "organization": Organization, "apikey": ApiKey}[model].objects.first()
    for page in ("", "?q=a", "add/", f"{row.pk}/change/"):
        assert admin_client.get(f"/admin/accounts/{model}/{page}").status_code == 200


def test_a_key_made_in_the_admin_is_shown_once(admin_client, alice):
    page = admin_client.post("/admin/accounts/apikey/add/", {"user": alice.pk, "name": "laptop"}, follow=True).content.decode()
    (key,) = set(re.findall(r"sk_[0-9a-f]{32}", page))
    assert find_caller(Credential("api_key", key), path="").pk == alice.pk
    for again in ("", f"{ApiKey.objects.get().pk}/change/"):
        assert key not in admin_client.get(f"/admin/accounts/apikey/{again}").content.decode()
    history = admin_client.get(f"/admin/accounts/apikey/{ApiKey.objects.get().pk}/history/").content.decode()
    assert key not in history


def test_keys_are_revoked_by_an_action_and_never_deleted(admin_client, alice):
    made = services.issue_api_key(user_pk=alice.pk, name="laptop")
    body = {"action": "revoke", "_selected_action": [made.row.pk]}
    assert "1 API keys were revoked" in admin_client.post("/admin/accounts/apikey/", body, follow=True).content.decode()
    assert ApiKey.objects.get().revoked_at is not None
    assert admin_client.post(f"/admin/accounts/apikey/{made.row.pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_new_organization_gets_a_public_id_that_then_stays(admin_client):
    members = {"memberships-TOTAL_FORMS": 0, "memberships-INITIAL_FORMS": 0}
    admin_client.post("/admin/accounts/organization/add/", {"public_id": "org_new", "name": "New"} | members)
    row = Organization.objects.get(public_id="org_new")
    admin_client.post(f"/admin/accounts/organization/{row.pk}/change/", {"public_id": "org_other", "name": "Newer"} | members)
    row.refresh_from_db()
    assert (row.public_id, row.name) == ("org_new", "Newer")


def test_a_key_limit_is_said_and_not_an_error_page(admin_client, alice, settings):
    settings.API_KEYS_PER_USER = 0
    response = admin_client.post("/admin/accounts/apikey/add/", {"user": alice.pk, "name": "laptop"}, follow=True)
    assert response.status_code == 200
    assert "as many API keys as allowed" in response.content.decode()
    assert not ApiKey.objects.exists()
