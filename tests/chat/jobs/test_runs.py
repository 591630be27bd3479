"""Jobs driven by a worker: proposed, waited for, applied, proposed anew; and what readers are told."""

import asyncio
from uuid import UUID

import pytest

from accounts.threads import in_thread
from chat.editing.rules.proposer import RulesProposer
from chat.editing_run import Standing
from chat.engines.base import Finish, TextDelta, Usage
from chat.models import DocumentVersion, Run
from chat.services import claiming, documents, jobs, proposing, sweeping
from chat.services.jobs import Verdict
from events.event import to_json
from events.exceptions import LeaseLost
from tests.chat import raw_engine
from tests.chat.conftest import ended, journaled, run_of, until
from tests.chat.jobs.conftest import HTML, begun, described, done, found, names, stream_address, told, waiting

CHANGED = "<h1>Terms</h1>\n<p>Invoice is due.</p>\n<!-- kept -->\n<p>Delivery is fast, and invoice is late.</p>\n"


async def decide(caller, job, *args, **fields):
    return await in_thread(jobs.decide, caller=caller, job_id=job.pk, session="s1", verdict=Verdict(*args, **fields))


async def test_everything_is_changed_at_once_without_asking(here, alice, alice_client):
    job = await begun(alice)
    state = await done(here, alice, job)
    assert state["status"] == "completed"
    changes = state["result"]["document_changes"]
    assert changes["updated_html"] == CHANGED
    assert changes["changes_summary"] == "2 sections changed."
    assert state["metadata"]["pending_changes"] == []
    frames = told(await alice_client.get(stream_address(job)))
    assert names(frames)[-2:] == ["final", "usage"]
    assert set(names(frames)[:-2]) == {"intermediate"}
    assert frames[-2][2]["result"] == state["result"]
    assert frames[-1][2]["monthly_used"] == state["result"]["usage"]["monthly_used"] == 1
    assert [id for _, id, _ in frames] == sorted({id for _, id, _ in frames})
    assert all(id == data["sequence"] for _, id, data in frames)


async def test_what_is_approved_is_made_together_and_what_is_denied_is_not(here, alice):
    job = await begun(alice, mode="ask_every_time")
    state = await waiting(here, alice, job)
    first, second = state["metadata"]["pending_changes"]
    assert first["batch_id"] == second["batch_id"] == first["change_id"]
    assert first["batch_total"] == 2
    await decide(
        alice, job, False, changes=[Verdict(True, change_id=first["change_id"]), Verdict(False, change_id=second["change_id"])]
    )
    state = await done(here, alice, job)
    assert state["result"]["document_changes"]["updated_html"] == HTML.replace("Payment is due", "Invoice is due")
    assert "1 of 2" in state["result"]["response"]
    assert [each["decision"] for each in state["metadata"]["decided_changes"]] == ["approved", "denied"]


async def test_a_denial_without_feedback_completes_the_job_and_changes_nothing(here, alice):
    job = await begun(alice, mode="ask_every_time")
    await waiting(here, alice, job)
    await decide(alice, job, False)
    state = await done(here, alice, job)
    assert state["status"] == "completed"
    assert state["result"]["document_changes"]["updated_html"] == HTML
    assert await in_thread(DocumentVersion.objects.count) == 1


async def test_a_denial_with_feedback_is_proposed_anew_for_the_document_as_it_is_then(here, alice):
    job = await begun(alice, mode="ask_every_time")
    state = await waiting(here, alice, job)
    first, second = (each["change_id"] for each in state["metadata"]["pending_changes"])
    feedback = 'replace "payment" with "money"'
    verdicts = [Verdict(True, change_id=first), Verdict(False, feedback, second)]
    await decide(alice, job, True, changes=verdicts)
    await here.answer(job.pk)
    await until(lambda: run_of(job).status == Run.Status.AWAITING_APPROVAL)
    state = await described(alice, job)
    (again,) = state["metadata"]["pending_changes"]
    assert again["new_html"] == "<p>Delivery is fast, and money is late.</p>"
    assert again["change_id"] not in (first, second)
    await decide(alice, job, True)
    state = await done(here, alice, job)
    assert state["result"]["document_changes"]["updated_html"] == (
        "<h1>Terms</h1>\n<p>Invoice is due.</p>\n<!-- kept -->\n<p>Delivery is fast, and money is late.</p>\n"
    )
    assert await in_thread(DocumentVersion.objects.count) == 3


async def test_a_job_without_a_document_is_an_answer(here, alice, alice_client):
    job = await begun(alice, "Hello there", document_html=None)
    state = await done(here, alice, job)
    assert state["status"] == "completed"
    assert state["result"]["response"]
    assert state["result"]["document_changes"] == {"updated_html": None, "version_id": None, "changes_summary": ""}
    assert names(told(await alice_client.get(stream_address(job))))[-2:] == ["final", "usage"]


async def test_a_session_goes_on_with_its_document(here, alice):
    await done(here, alice, await begun(alice))
    state = await done(here, alice, await begun(alice, 'replace "invoice" with "bill"', document_html=None))
    assert state["result"]["document_changes"]["updated_html"] == CHANGED.replace("Invoice", "Bill").replace("invoice", "bill")
    assert (await found(alice, await begun(alice, document_html=None))).turn == 3


async def test_what_rules_cannot_do_is_said_and_changes_nothing(here, alice):
    state = await done(here, alice, await begun(alice, "Make it sound more friendly"))
    assert state["status"] == "completed"
    assert "language model" in state["result"]["response"]
    assert state["result"]["document_changes"]["updated_html"] == HTML


async def handed_on(caller, job, *, before):
    """A worker claims the job, does what `before(claim)` does, and dies; the job is given to another."""
    claim = await in_thread(claiming.claim, message_id=job.pk, worker="dead")
    await before(claim)
    taken = await in_thread(sweeping.take_over, suspect=sweeping.Suspect(job.pk, "dead"))
    return await in_thread(sweeping.resume, taken=taken)


@pytest.mark.parametrize("applied", [False, True])
async def test_what_was_to_be_made_without_asking_is_made_once_by_whoever_goes_on(here, alice, applied):
    job = await begun(alice)

    async def decides_and_dies(claim):
        request = await in_thread(
            proposing.edit_request, caller=alice, version_id=claim.job.version_id, message=claim.request.question
        )
        proposals = [part async for part in RulesProposer().propose(request)][-1]
        standing = Standing(str(claim.job.version_id), proposed=2, response=proposals.response)
        standing.changes = [change.data for change in proposals.changes]
        await in_thread(claiming.keep_continuation, claim=claim, continuation=standing.as_json())
        if applied:
            await in_thread(
                documents.apply, caller=alice, version_id=claim.job.version_id, changes=proposals.changes, run_id=job.pk
            )

    assert await handed_on(alice, job, before=decides_and_dies)
    state = await done(here, alice, job)
    assert state["result"]["document_changes"]["updated_html"] == CHANGED
    assert await in_thread(DocumentVersion.objects.count) == 2


async def test_a_worker_that_was_given_up_does_nothing_more(here, alice):
    job = await begun(alice)
    claim = await in_thread(claiming.claim, message_id=job.pk, worker="slow")
    await in_thread(sweeping.take_over, suspect=sweeping.Suspect(job.pk, "slow"))
    with pytest.raises(LeaseLost):
        await in_thread(claiming.keep_continuation, claim=claim, continuation={})


async def test_a_document_that_changed_meanwhile_is_not_changed_by_what_was_proposed_for_it_before(here, alice, alice_client):
    job = await begun(alice, mode="ask_every_time")
    state = await waiting(here, alice, job)
    document = state["metadata"]["document_id"]
    newer = HTML.replace("Terms", "Conditions")
    await in_thread(documents.receive, caller=alice, document_id=UUID(document), html=newer)
    await decide(alice, job, True)
    state = await done(here, alice, job)
    assert (state["status"], state["error_code"]) == ("failed", "edit_conflict")
    assert state["usage"]["was_billable"] is False
    assert (await in_thread(documents.current, caller=alice, document_id=UUID(document))).html == newer


async def test_an_account_that_is_gone_ends_its_job(here, alice):
    from accounts.models import User

    job = await begun(alice)
    await in_thread(lambda: User.objects.filter(pk=alice.pk).update(is_active=False))
    await here.answer(job.pk)
    run = await ended(job)
    assert (run.status, run.error_code) == ("failed", "context_forbidden")


async def test_many_changes_are_told_one_by_one_and_decided_together(here, alice, alice_client):
    count = 300
    html = "".join(f"<p>Payment {number}</p>\n" for number in range(count))
    job = await begun(alice, document_html=html, mode="ask_every_time")
    state = await waiting(here, alice, job)
    assert len(state["metadata"]["pending_changes"]) == count
    asked = [event for event in await in_thread(journaled, job.run.message) if event.type == "approval.requested"]
    assert len(to_json(asked[0].data)) < 65_536
    await decide(alice, job, True)
    state = await done(here, alice, job)
    assert state["result"]["document_changes"]["updated_html"] == html.replace("Payment", "Invoice")
    frames = told(await alice_client.get(stream_address(job)))
    assert names(frames).count("proposed_change") == count


@pytest.fixture
def model(settings, monkeypatch):
    """A language model that says what a test wants."""
    settings.CHAT_ENGINES = settings.CHAT_ENGINES | {"raw": raw_engine.ALIAS}
    settings.CHAT_ENGINE, settings.EDITING_PROPOSER = "raw", "model"
    monkeypatch.setattr(raw_engine.RawEngine, "requests", [])

    def says(*parts):
        monkeypatch.setattr(raw_engine.RawEngine, "parts", list(parts))

    return says


async def test_a_model_proposes_and_what_it_used_is_kept(here, alice, model):
    answer = {
        "changes": [{"operation": "edit", "id": "c2", "html": "<p>Pay soon.</p>", "why": "Shorter."}],
        "response": "Done.",
    }
    model(TextDelta(to_json(answer)), Usage(30, 12), Finish("stop"))
    job = await begun(alice, "Make it shorter")
    state = await done(here, alice, job)
    assert "Pay soon." in state["result"]["document_changes"]["updated_html"], state
    assert (await in_thread(run_of, job)).usage == {"input_tokens": 30, "output_tokens": 12}


async def test_a_job_is_cancelled_while_the_model_thinks(here, alice, model):
    model(asyncio.Event())
    job = await begun(alice, "Make it shorter")
    await here.answer(job.pk)
    await until(lambda: raw_engine.RawEngine.streaming == 1)
    cancelled = await in_thread(jobs.cancel, caller=alice, job_id=job.pk)
    run = await ended(job)
    assert run.status == "cancelled"
    assert cancelled.usage["monthly_limit"] == 500
    assert raw_engine.RawEngine.streaming == 0
    assert (await described(alice, job))["usage"]["monthly_used"] == 0


async def test_a_model_whose_answer_cannot_be_used_fails_the_job(here, alice, model):
    model(TextDelta("I would rather talk about the weather."), Finish("stop"))
    state = await done(here, alice, await begun(alice, "Make it shorter"))
    assert (state["status"], state["error_code"], state["retryable"]) == ("failed", "bad_proposal", True)
    assert state["usage"]["was_billable"] is False
