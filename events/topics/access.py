"""Who may see which topics: members those of their organisation, staff all; and finer rules, by source.

An app that owns a source registers its rule with `authorises`; see docs/explanation/topics.md.
"""

import asyncio
import math
import time
from collections.abc import Callable, Collection

from accounts.caller import Caller
from accounts.models import Membership, Organization, User
from accounts.threads import in_thread
from events.conf import conf
from events.exceptions import Unavailable, translated
from events.guard import PATIENCE_SECONDS
from events.topics.event import TopicEvent
from events.topics.grammar import Topic

Rule = Callable[[Caller, str, Collection[str]], Collection[str]]
"""Of these resource ids of an organisation (its public id), those whose events the caller may see. Runs in a thread."""

_rules: dict[str, Rule] = {}

AGAIN_SECONDS = 2.0
"""How soon the database is asked again after it could not say."""

REMEMBERED = 4096
"""Resources of which one connection remembers whether its caller may see them."""


def authorises(source: str, rule: Rule) -> None:
    """From now on events of `source` are only for those whom `rule` lets see their resource."""
    _rules[source] = rule


def is_member(*, user_pk: int, organization_id: str) -> bool:
    """Whether the user with this primary key belongs to the organisation with this public id."""
    return Membership.objects.filter(user_id=user_pk, organization__public_id=organization_id).exists()


def may_see(caller: Caller, topic: Topic) -> bool:
    """Whether the rule of the topic's source, if there is one, lets the caller see its resource."""
    rule = _rules.get(topic.source)
    return rule is None or topic.resource_id in rule(caller, topic.organization, {topic.resource_id})


def visible_organizations(*, user_pk: int, among: Collection[str] | None = None) -> set[str]:
    """Public ids of the organisations whose topics a user may follow: his own, for staff all. `among`: only of these."""
    if User.objects.filter(pk=user_pk, is_staff=True, is_active=True).exists():
        found = Organization.objects.all()
    else:
        found = Organization.objects.filter(memberships__user_id=user_pk)
    if among is not None:
        found = found.filter(public_id__in=among)
    return set(found.values_list("public_id", flat=True)[: conf.TOPIC_ORGANIZATIONS_MAX + 1])


class Sight:
    """What one caller may see, remembered for TOPIC_ACCESS_SECONDS, so that a busy stream is not a busy database."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._known: dict[tuple[str, str, str], tuple[float, bool]] = {}

    def forget(self) -> None:
        """Has everything looked at again: something about the caller has changed."""
        self._known.clear()

    async def filter(self, events: list[TopicEvent]) -> list[TopicEvent]:
        """Those of the events that the caller may see. Raises `JournalUnavailable`: what cannot be said is not told."""
        bound = [each for each in events if each.topic.source in _rules]
        if not bound:
            return events
        visible = await self._visible({_key(each.topic) for each in bound})
        return [each for each in events if each.topic.source not in _rules or _key(each.topic) in visible]

    async def _visible(self, keys: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
        """Those of the resources that the caller may see. What is forgotten while the database is asked changes no answer."""
        now = time.monotonic()
        visible: set[tuple[str, str, str]] = set()
        if len(self._known) > REMEMBERED:
            self._known.clear()
        asked: dict[tuple[str, str], set[str]] = {}
        for organization, source, resource_id in keys:
            known = self._known.get((organization, source, resource_id))
            if known is None or known[0] < now:
                asked.setdefault((organization, source), set()).add(resource_id)
            elif known[1]:
                visible.add((organization, source, resource_id))
        for (organization, source), resource_ids in asked.items():
            seen = await in_thread(_rules[source], self._caller, organization, resource_ids)
            until = now + conf.TOPIC_ACCESS_SECONDS
            for each in resource_ids:
                self._known[organization, source, each] = (until, each in seen)
            visible |= {(organization, source, each) for each in resource_ids if each in seen}
        return visible


class Belonging:
    """Which organisations one caller may follow, asked again every AUTH_RECHECK_SECONDS, beside everything else."""

    def __init__(self, caller: Caller, bell: Callable[[], None]) -> None:
        """`bell` is called when there is an answer."""
        self._caller = caller
        self._bell = bell
        self._due = time.monotonic() + conf.AUTH_RECHECK_SECONDS
        self._asking: asyncio.Task[set[str]] | None = None
        self._among: Collection[str] | None = None
        """About which organisations the question is that waits for its answer."""

    @property
    def due(self) -> float:
        """The monotonic time at which `news` is to be asked; never while an answer is awaited, which rings."""
        return self._due if self._asking is None else math.inf

    def ask_at(self, due: float) -> None:
        """Has `news` ask the database no later than at this monotonic time."""
        self._due = min(self._due, due)

    async def news(self, among: Collection[str] | None) -> set[str] | None:
        """The public ids (see `visible_organizations`), if there is an answer that is due; else None.

        Those of `among` that were not asked about when the question was put are in the answer: nothing is known against them.
        """
        if self._asking is None:
            if time.monotonic() < self._due:
                return None
            self._among = None if among is None else frozenset(among)
            asking = in_thread(visible_organizations, user_pk=self._caller.pk, among=self._among)
            self._asking = asyncio.create_task(asking, name="access to topics")
            self._asking.add_done_callback(lambda _: self._bell())
            self._due = time.monotonic() + conf.AUTH_RECHECK_SECONDS
            # A database that is away must not hold events up; the answer counts when it comes.
            await asyncio.wait([self._asking], timeout=PATIENCE_SECONDS)
        if not self._asking.done():
            return None
        asked, self._asking = self._asking, None
        try:
            return self._meant(asked.result(), among)
        except Exception as error:
            if not isinstance(translated(error), Unavailable):
                raise
            # Nobody is put out because a store is away; asked again soon.
            self.ask_at(time.monotonic() + AGAIN_SECONDS)
            return None

    def _meant(self, visible: set[str], among: Collection[str] | None) -> set[str] | None:
        """What an answer says of `among`, which may have changed since: it would put out who was not asked about."""
        if self._among is None:
            return visible
        unasked = set(among or ()) - set(self._among)
        if among is None or unasked:
            self.ask_at(0.0)
        return None if among is None else visible | unasked

    def close(self) -> None:
        """Asks no more."""
        if self._asking is not None:
            self._asking.cancel()


def _key(topic: Topic) -> tuple[str, str, str]:
    return topic.organization, topic.source, topic.resource_id
