"""What the tests of jobs share: a document, jobs that are begun and driven here, and their streams."""

import json

import pytest

from accounts.threads import in_thread
from chat.models import Run
from chat.services import job_states, jobs
from chat.services.jobs import NewJob
from tests.chat.conftest import ended, run_of, until

HTML = "<h1>Terms</h1>\n<p>Payment is due.</p>\n<!-- kept -->\n<p>Delivery is fast, and payment is late.</p>\n"
REPLACE = 'replace "payment" with "invoice"'


@pytest.fixture(autouse=True)
def _rules(settings):
    settings.EDITING_PROPOSER = "rules"


@pytest.fixture
async def here(runner, hub_closed):
    """A worker's runner in this loop, and a hub that ends with it."""
    return runner


async def begun(caller, message=REPLACE, **fields):
    """An accepted job with the document, if no other is given."""
    fields = {"session": "s1", "document_html": HTML} | fields
    return await in_thread(jobs.begin, caller=caller, asked=NewJob(message, **fields))


async def found(caller, job):
    """The job as the database has it now."""
    return await in_thread(jobs.find, caller=caller, job_id=job.pk)


async def described(caller, job):
    """The job as `GET /v1/jobs/<id>` gives it."""
    return await in_thread(job_states.described, await found(caller, job))


async def done(runner, caller, job):
    """Has the runner do a job to its end; how it is then."""
    await runner.answer(job.pk)
    await ended(job)
    return await described(caller, job)


async def waiting(runner, caller, job):
    """Has the runner do a job until it waits for decisions; how it is then."""
    await runner.answer(job.pk)
    await until(lambda: run_of(job).status == Run.Status.AWAITING_APPROVAL)
    return await described(caller, job)


def stream_address(job, session="s1", **query):
    """Where a job is streamed."""
    more = "".join(f"&{name}={value}" for name, value in query.items())
    return f"/v1/chat/{session}/stream?job_id={job.pk}{more}"


def told(answer):
    """(name, id, data) of each frame of a stream."""
    found = []
    for block in answer.body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "data" in fields:
            found.append((fields.get("event"), int(fields["id"]) if "id" in fields else None, json.loads(fields["data"])))
    return found


def names(frames):
    return [name for name, _, _ in frames]
