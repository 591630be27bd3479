import pytest

from accounts import services as accounts
from workspaces.services import ensure_workspace

pytestmark = pytest.mark.django_db


def test_the_pages_open(admin_client, settings):
    settings.ROOT_URLCONF = "tests.accounts.urls"
    organization = accounts.ensure_organization(public_id="org_w")
    row = ensure_workspace(public_id="ws_a", organization_pk=organization.pk)
    for page in ("", "?q=a", "add/", f"{row.pk}/change/"):
        assert admin_client.get(f"/admin/workspaces/workspace/{page}").status_code == 200
