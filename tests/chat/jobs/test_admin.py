from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from chat.models import Job, Subscription, UsageMonth
from chat.services import jobs, usage
from chat.services.jobs import NewJob
from tests.chat.jobs.conftest import HTML

pytestmark = pytest.mark.usefixtures("stores")


@pytest.fixture
def job(alice):
    return jobs.begin(caller=alice, asked=NewJob("do it", session="s1", document_html=HTML))


def test_jobs_are_shown_and_not_to_be_changed(admin_client, job):
    for address in (
        "/admin/chat/job/",
        f"/admin/chat/job/?q={job.pk}",
        "/admin/chat/job/?q=alice",
        f"/admin/chat/job/{job.pk}/change/",
    ):
        assert str(job.pk) in admin_client.get(address).content.decode()
    assert str(job.pk) not in admin_client.get("/admin/chat/job/?q=bob").content.decode()
    assert admin_client.post(f"/admin/chat/job/{job.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Job.objects.exists()


def test_a_tier_is_given_of_those_that_there_are(admin_client, alice):
    assert "free (500)" in admin_client.get("/admin/chat/subscription/add/").content.decode()
    admin_client.post("/admin/chat/subscription/add/", {"user": alice.pk, "tier": "gold"})
    assert not Subscription.objects.exists()
    admin_client.post("/admin/chat/subscription/add/", {"user": alice.pk, "tier": "unlimited"})
    assert usage.of_month(user_pk=alice.pk).monthly_limit is None


def test_a_month_is_corrected(admin_client, job, alice):
    row = UsageMonth.objects.get()
    listed = admin_client.get("/admin/chat/usagemonth/").content.decode()
    assert ">500<" in listed
    admin_client.post(f"/admin/chat/usagemonth/{row.pk}/change/", {"used": 0})
    assert usage.of_month(user_pk=alice.pk).monthly_used == 0
    assert admin_client.get("/admin/chat/usagemonth/add/").status_code == 403


@transaction.atomic
def test_a_month_begins_anew(alice, settings, monkeypatch):
    settings.USAGE_TIERS = ["free=1"]
    month, used = usage.take(user_pk=alice.pk)
    assert used.monthly_remaining == 0
    with pytest.raises(usage.UsedUp) as refused:
        usage.take(user_pk=alice.pk)
    left = refused.value.retry_after
    assert 0 < left <= 31 * 86_400
    later = timezone.now() + timedelta(seconds=left + 1)
    monkeypatch.setattr(timezone, "now", lambda: later)
    following, used = usage.take(user_pk=alice.pk)
    assert following > month
    assert used.monthly_used == 1


@pytest.mark.parametrize("tiers", [["free"], ["free=x"], ["=5"], ["pro=5"]])
def test_tiers_that_mean_nothing_are_told_by_the_checks(settings, tiers):
    from chat.checks import check_settings

    settings.USAGE_TIERS = tiers
    assert [problem.id for problem in check_settings()] == ["chat.E004"]


def test_a_tier_that_is_no_more_is_the_usual_one(alice, settings):
    Subscription.objects.create(user_id=alice.pk, tier="gold")
    assert usage.of_month(user_pk=alice.pk).subscription_tier == "free"
