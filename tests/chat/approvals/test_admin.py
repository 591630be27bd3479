import pytest

from chat.approvals.deciding import Decision, decide
from chat.models import Approval
from tests.chat.approvals.conftest import opened

pytestmark = pytest.mark.usefixtures("application")

LIST = "/admin/chat/approval/"


def test_history_can_be_read_and_found_and_nothing_written(admin_client, alice, bob):
    message, (approval,) = opened(alice, also=[bob])
    decide(caller=bob, approval_id=approval.pk, decision=Decision(approved=False, feedback="<b>No</b>"))
    one = f"{LIST}{approval.pk}/change/"
    page = admin_client.get(one).content.decode()
    assert "&lt;b&gt;No&lt;/b&gt;" in page
    assert "denied" in page
    assert "&quot;amount&quot;: 5" in page
    for term in (approval.pk, approval.batch_id, message.pk, "bob", "user_alice"):
        assert str(approval.pk) in admin_client.get(LIST, {"q": term}).content.decode(), term
    assert str(approval.pk) not in admin_client.get(LIST, {"q": "nobody"}).content.decode()
    for address in (one, f"{LIST}add/", f"{LIST}{approval.pk}/delete/"):
        assert admin_client.post(address, {"status": "approved"}).status_code == 403
    assert Approval.objects.get().status == "denied"
