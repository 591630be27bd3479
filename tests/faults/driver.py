"""One run: the product, its clients, faults one after the other, peace, and what the checker says of the ledger.

Faults come one at a time: what two at once may lose is written in docs/explanation/guarantees.md, and is not a finding. "At
once" includes mending: before the broker is wiped, answers of a worker that died have been ended, as their last words are in
the broker alone until then.
"""

import asyncio
import contextlib
import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.faults import people
from tests.faults.checker import Finding, check
from tests.faults.clients.answers import Asker
from tests.faults.clients.calls import Caller, Person
from tests.faults.clients.feeds import FeedReader, TopicStreamReader
from tests.faults.clients.jobs import JobClient
from tests.faults.clients.publishers import Publisher
from tests.faults.clients.topics import TopicSocketReader
from tests.faults.clients.workspaces import Member
from tests.faults.faults import KINDS
from tests.faults.ledger import Ledger
from tests.faults.schedule import Fault
from tests.faults.topology import Topology
from tests.live.processes import BROKER, PROJECT
from tests.patience import patiently

SETTLE_SECONDS = 60.0
"""Longest wait for answers of dead workers to be ended, before a fault that wipes the broker."""
PEACE_SECONDS = 120.0
"""Longest wait for everything to arrive and to end, after the last fault."""
PROGRESS_SECONDS = 30.0


@dataclass
class Outcome:
    """What came of one run."""

    seed: int
    broker: str
    seconds: float
    faults: list[Fault]
    findings: list[Finding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    """How answers and jobs ended."""
    exits: Counter[str] = field(default_factory=Counter)
    without: str = ""
    """What was left out, and why."""
    logs: str = ""

    @property
    def faults_by_kind(self) -> dict[str, int]:
        return dict(sorted(Counter(each.kind for each in self.faults).items()))


class Run:
    """The clients of one run. `say` prints progress; into the folder `keep` go ledger and logs of a run with findings."""

    def __init__(self, *, seed: int, faults: Sequence[Fault], say: Callable[[str], None], keep: Path | None = None) -> None:
        self._seed = seed
        self._faults = faults
        self._say = say
        self._keep = keep
        self._chance = random.Random(seed)
        self.ledger = Ledger()
        self.topology = Topology(self.ledger)
        self.tasks: list[asyncio.Task[None]] = []
        self.statuses: Counter[int] = Counter()
        self.done: list[Fault] = []
        self.feeds: list[FeedReader | TopicStreamReader] = []
        self.sockets: list[TopicSocketReader | Member] = []
        self.publishers: list[Publisher] = []
        self.askers: list[Asker] = []
        self.jobs: list[JobClient] = []

    async def outcome(self) -> Outcome:
        """Runs it, from the first process to the last check."""
        began = time.monotonic()
        try:
            self.topology.start()
            self._say(f"seed {self._seed}: started after {time.monotonic() - began:.0f} s")
            await self._begin()
            self._say(f"seed {self._seed}: clients are there after {time.monotonic() - began:.0f} s")
            await self._break()
            self._say(f"seed {self._seed}: {len(self.done)} faults after {time.monotonic() - began:.0f} s")
            late = await self._make_peace()
            self._look_into_the_database()
            outcome = self._result(time.monotonic() - began)
            outcome.findings = check(self.ledger) + late
            if outcome.findings:
                outcome.logs = self.topology.logs()
                self._keep_evidence()
            return outcome
        finally:
            tasks = [*self.tasks, *(each for asker in self.askers for each in asker.tasks)]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=20)
            await self.topology.end()

    def _random(self) -> random.Random:
        return random.Random(self._chance.random())

    def _go(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.create_task(coroutine))

    async def _begin(self) -> None:
        """All clients are connected, and have received the first event of each publisher."""
        made = self._make_people()
        persons = {name: Person(name, id_, key, tuple(belongs)) for name, (id_, key, belongs) in made["people"].items()}
        staff = persons.pop("staff")
        for person in persons.values():
            self._begin_person(person, staff, made["workspaces"])
        for organization in people.ORGANIZATIONS:
            for number in (1, 2):
                self._add_publisher(staff, f"org:{organization}", f"service-{organization}-{number}", pause=0.5)
        first = list(persons.values())
        for person, stranger in zip(first, [*first[1:], first[0]], strict=True):
            asker = Asker(self._caller(person), self.ledger, self._random(), stranger=self._caller(stranger))
            self.askers.append(asker)
            self.jobs.append(JobClient(self._caller(person), self.ledger, self._random()))
        self.ledger.histories = [each.history for each in (*self.feeds, *self.sockets)]
        for each in (*(feed.source for feed in self.feeds), *self.sockets):
            self._go(each.run())
        for publisher in self.publishers:
            await publisher.publish_one()
        await self._until(self._all_have_the_last, "the first events")
        for each in (*self.publishers, *self.askers, *self.jobs):
            self._go(each.run())

    def _begin_person(self, person: Person, staff: Person, workspaces: dict[str, str]) -> None:
        fronts = self.topology.fronts
        for number in (1, 2):
            self.feeds.append(FeedReader(fronts, person, self._random(), name=f"feed {number} of {person.name}"))
        self.feeds.append(TopicStreamReader(fronts, person, self._random(), name=f"topics (SSE) of {person.name}"))
        foreign = [each for each in people.ORGANIZATIONS if each not in person.organizations]
        name = f"topics (WebSocket) of {person.name}"
        self.sockets.append(TopicSocketReader(fronts, person, self._random(), name=name, foreign=foreign))
        for each in person.organizations:
            member = Member(
                fronts, person, self._random(), workspace=workspaces[each], name=f"{person.name} in {each}", ledger=self.ledger
            )
            self.sockets.append(member)
        self._add_publisher(staff, f"user:{person.id}", f"service-{person.name}", pause=0.3)

    def _add_publisher(self, staff: Person, stream: str, name: str, *, pause: float) -> None:
        publisher = Publisher(self._caller(staff), self.ledger, self._random(), stream=stream, name=name, pause=pause)
        self.publishers.append(publisher)

    def _caller(self, person: Person) -> Caller:
        return Caller(self.topology.fronts, person, self._random(), self.statuses)

    def _make_people(self) -> dict[str, Any]:
        made = subprocess.run(
            [sys.executable, "-m", "tests.faults.people"],
            env=self.topology.environment,
            cwd=PROJECT,
            capture_output=True,
            check=True,
        )
        return dict(json.loads(made.stdout))

    # Faults.

    async def _break(self) -> None:
        told = time.monotonic()
        for number, fault in enumerate(self._faults, 1):
            await asyncio.sleep(fault.pause)
            kind = KINDS[fault.kind]
            with self._wiping(fault) if kind.wipes else contextlib.nullcontext():
                if kind.wipes:
                    await self._settle()
                await kind.act(self.topology, fault.target, fault.seconds)
            self.done.append(fault)
            self._raise_what_failed()
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                self._say(f"seed {self._seed}: {number} of {len(self._faults)} faults, {self._so_far()}")

    @contextlib.contextmanager
    def _wiping(self, fault: Fault) -> Iterator[None]:
        with self.ledger.wiping(fault.kind):
            yield

    async def _settle(self) -> None:
        """Returns once no answer waits for the end that a dead worker could not write."""
        deadline = time.monotonic() + patiently(SETTLE_SECONDS)
        while await asyncio.to_thread(self.topology.has_orphans) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.5)

    def _raise_what_failed(self) -> None:
        """A client that gave up is a mistake of this driver, or an answer that no fault excuses."""
        for task in (*self.tasks, *(each for asker in self.askers for each in asker.tasks)):
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    # Peace.

    async def _make_peace(self) -> list[Finding]:
        """Everybody falls silent, everything arrives; what does not is a finding."""
        await asyncio.to_thread(self.topology.wait_whole)
        for each in (*self.publishers, *self.askers, *self.jobs, *(s for s in self.sockets if isinstance(s, Member))):
            each.quiet = True
        try:
            await self._until(self._silent, "everybody to fall silent")
            for publisher in self.publishers:
                await publisher.publish_one()
            await self._until(self._all_have_the_last, "the last events")
            await self._until(self._all_have_the_tokens, "the ends of answers on topics")
        except TimeoutError as error:
            self._raise_what_failed()
            return [Finding("endless", "the driver", f"waited {PEACE_SECONDS:g} s in vain for {error}")]
        return []

    def _silent(self) -> bool:
        self._raise_what_failed()
        speakers = [*self.publishers, *self.askers, *self.jobs]
        speaking = [task for task in self.tasks[-len(speakers) :] if not task.done()]
        reading = [task for asker in self.askers for task in asker.tasks if not task.done()]
        return not speaking and not reading and not any(isinstance(s, Member) and s.in_doubt for s in self.sockets)

    def _all_have_the_last(self) -> bool:
        """Whether every reader has the last event that was accepted of each publisher that it may hear."""
        self._raise_what_failed()
        return not self._waiting_for_the_last()

    def _waiting_for_the_last(self) -> list[str]:
        """Readers, and what they do not have yet."""
        last: dict[tuple[str, str], int] = {}
        for each in self.ledger.publications:
            if each.id and not each.stream.startswith("workspace:"):
                last[each.stream, each.publisher] = each.n
        return [
            f"{history.name}: {stream} {publisher} {n}"
            for (stream, publisher), n in last.items()
            for history in self.ledger.histories
            if stream in history.streams
            and not any(got.n == n and got.publisher == publisher and got.stream == stream for got in reversed(history.got))
        ]

    def _all_have_the_tokens(self) -> bool:
        return all(reading.ends for history in self.ledger.histories for reading in history.expected_tokens(self.ledger.answers))

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + patiently(PEACE_SECONDS)
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}; missing {self._waiting_for_the_last()[:5]}")
            await asyncio.sleep(0.1)

    # What the server says in the end.

    def _look_into_the_database(self) -> None:
        query, answers = self.topology.query, self.ledger.answers
        for id_, status, text in query(
            "SELECT m.id::text, r.status, m.text FROM chat_run r JOIN chat_message m ON m.id = r.message_id"
        ):
            if id_ in answers:
                answers[id_].status, answers[id_].stored = status, text
            else:
                self.ledger.strays.append(f"the answer {id_} is there, and was never accepted")
        for id_, count in query("SELECT run_id::text, count(*) FROM chat_approval WHERE status = 'pending' GROUP BY 1"):
            answers[id_].pending_approvals = count
        for id_, count in query("SELECT run_id::text, count(*) FROM chat_documentversion WHERE run_id IS NOT NULL GROUP BY 1"):
            answers[id_].changes_made = count
        for id_, answer in answers.items():
            answer.steps = tuple((seq, kind) for seq, kind, _ in self.topology.journal(id_))

    def _keep_evidence(self) -> None:
        if self._keep is None:
            return
        folder = self._keep / f"seed-{self._seed}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ledger.json").write_text(json.dumps(asdict(self.ledger), default=list))
        for log in self.topology.folder.glob("*.log"):
            shutil.copy(log, folder)

    def _so_far(self) -> str:
        counts = self._counts()
        return ", ".join(f"{counts[name]} {name}" for name in ("published", "received", "answers", "jobs", "reconnects"))

    def _counts(self) -> dict[str, int]:
        got = [each for history in self.ledger.histories for each in history.got]
        sources = [feed.source for feed in self.feeds]
        return {
            "published": sum(1 for each in self.ledger.publications if each.id),
            "in doubt": sum(1 for each in self.ledger.publications if not each.id),
            "received": sum(1 for each in got if each.kind == "event") + sum(len(each.parts) for each in self.ledger.readings),
            "told": sum(1 for each in got if each.kind == "notice"),
            "lost with a primary": len(self.ledger.unreplicated),
            "answers": sum(each.asked for each in self.askers),
            "jobs": sum(each.begun for each in self.jobs),
            "decisions": sum(each.decided for each in self.jobs),
            "reconnects": sum(each.connections - 1 for each in (*sources, *self.sockets))
            + sum(each.reconnects for each in (*self.askers, *self.jobs)),
            "requests refused": sum(count for status, count in self.statuses.items() if status >= 429),
        }

    def _result(self, seconds: float) -> Outcome:
        return Outcome(
            seed=self._seed,
            broker=BROKER,
            seconds=seconds,
            faults=self.done,
            counts=self._counts(),
            statuses=self.statuses,
            ended=Counter(each.status for each in self.ledger.answers.values()),
            exits=self.topology.exits,
            without=self.topology.without_nginx,
        )
