"""Which of the topics that a connection asks for it is granted, and which organisations these cover."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from accounts.caller import Caller
from accounts.threads import in_thread
from events.conf import conf
from events.exceptions import Forbidden, InvalidRequest, ThroughlineError, TooMany
from events.topics.access import visible_organizations
from events.topics.frames import Refusal
from events.topics.grammar import WILDCARD, Pattern, parse_pattern


@dataclass(slots=True)
class Granted:
    """`patterns`: by the topics as they were given. `organizations`: public ids of those that they cover."""

    patterns: dict[str, Pattern] = field(default_factory=dict)
    organizations: set[str] = field(default_factory=set)
    refusals: list[Refusal] = field(default_factory=list)


async def grant(*, caller: Caller, topics: Sequence[str], in_force: Collection[str], followed: Collection[str]) -> Granted:
    """What the caller is granted beside the topics in force, where so many organisations are followed already."""
    granted = Granted()
    for topic in dict.fromkeys(topics):
        try:
            pattern = parse_pattern(topic)
            if len({*in_force, *granted.patterns, topic}) > conf.TOPICS_PER_CONNECTION:
                raise TooMany(f"At most {conf.TOPICS_PER_CONNECTION} topics are accepted on one connection. Unsubscribe first.")
            granted.patterns[topic] = pattern
        except ThroughlineError as error:
            granted.refusals.append(Refusal((topic[:512],), error))
    await _cover(granted, caller, set(followed))
    return granted


async def _cover(granted: Granted, caller: Caller, followed: set[str]) -> None:
    """Finds the organisations that the patterns cover; those that the caller may not follow are refused and taken out."""
    named = {pattern.organization for pattern in granted.patterns.values()} - {WILDCARD}
    visible = await in_thread(visible_organizations, user_pk=caller.pk, among=named) if named else set()
    every: set[str] | None = None
    for topic, pattern in list(granted.patterns.items()):
        try:
            if pattern.organization == WILDCARD:
                every = await _every(caller) if every is None else every
                added = every
            elif pattern.organization in visible:
                added = {pattern.organization}
            else:
                raise Forbidden(f"You are no member of the organisation {pattern.organization!r}.")
            _bound(followed | granted.organizations | added)
            granted.organizations |= added
        except ThroughlineError as error:
            del granted.patterns[topic]
            granted.refusals.append(Refusal((topic,), error))


async def _every(caller: Caller) -> set[str]:
    if not caller.is_staff:
        raise Forbidden("Only staff accounts may subscribe to all organisations: name yours instead of `*`.")
    return await in_thread(visible_organizations, user_pk=caller.pk)


def _bound(organizations: set[str]) -> None:
    most = conf.TOPIC_ORGANIZATIONS_MAX
    if len(organizations) > most:
        raise InvalidRequest(
            f"The topics of one connection may cover {most} organisations. Name them, or open another connection."
        )
