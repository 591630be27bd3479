"""Who can take part in a room: users of its organisation, and applications of it as agents."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from accounts.caller import Caller
from accounts.models import Organization, User
from chat.conf import conf
from chat.models import Application, Conversation, Participant
from events.event import storable
from events.exceptions import Conflict, InvalidRequest
from events.paging import PAGE

USER, AGENT = Participant.Kind.USER, Participant.Kind.AGENT


@dataclass(frozen=True, slots=True)
class NewParticipant:
    """A checked wish: the public id of a user, or of an application as an agent."""

    account_id: str
    kind: str = USER
    role: str = Participant.Role.MEMBER
    auto_respond: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """Someone who was found: `id` is public, `pk` the primary key among users or applications."""

    id: str
    pk: int
    kind: str
    name: str
    role: str
    auto_respond: bool

    @classmethod
    def of(cls, participant: Participant) -> "Account":
        """The account of a participant, with its `user` and `application`."""
        account: Any = participant.application or participant.user
        name = participant.application.name if participant.application else account.username
        return cls(account.public_id, account.pk, participant.kind, name, participant.role, participant.auto_respond)

    def participant(self, room: Conversation, *, read_position: int = 0) -> Participant:
        """The account's row in a room, to be saved."""
        whose = {"application_id": self.pk} if self.kind == AGENT else {"user_id": self.pk}
        fields = {"role": self.role, "auto_respond": self.auto_respond, "read_position": read_position}
        return Participant(conversation_id=room.pk, **whose, **fields)


def found_accounts(*, caller: Caller, organization: Organization, wanted: Sequence[NewParticipant]) -> list[Account]:
    """The accounts that are wanted, in their order, and before them the caller, as owner whatever he is called.

    Raises `InvalidRequest` that names what is wrong with which.
    """
    others = [each for each in wanted if (each.kind, each.account_id) != (USER, caller.user_id)]
    twice = len({(each.kind, each.account_id) for each in others}) < len(others)
    if twice:
        raise InvalidRequest("participants: name each account once.")
    me = Account(caller.user_id, caller.pk, USER, caller.username, Participant.Role.OWNER, auto_respond=False)
    return [me, *(found_account(organization=organization, wanted=each) for each in others)]


def found_account(*, organization: Organization, wanted: NewParticipant) -> Account:
    """The account that is wanted; raises `InvalidRequest`."""
    check_rights(kind=wanted.kind, role=wanted.role, auto_respond=wanted.auto_respond)
    rows: QuerySet[Any] = agents_of(organization) if wanted.kind == AGENT else people_of(organization)
    account = rows.filter(public_id=storable(wanted.account_id)).first()
    if account is None:
        what = "an application" if wanted.kind == AGENT else "an active user"
        raise InvalidRequest(f"participants: {wanted.account_id} is not {what} of {organization.public_id}.")
    name = account.name if wanted.kind == AGENT else account.username
    return Account(account.public_id, account.pk, wanted.kind, name, wanted.role, wanted.auto_respond)


def check_rights(*, kind: str, role: str, auto_respond: bool) -> None:
    """Raises `InvalidRequest` for what an account of this kind cannot be."""
    if kind == AGENT and role == Participant.Role.OWNER:
        raise InvalidRequest("role: an agent is a member or a reader, never an owner.")
    if kind == USER and auto_respond:
        raise InvalidRequest("auto_respond: only agents respond by themselves.")
    if auto_respond and role == Participant.Role.READER:
        raise InvalidRequest("auto_respond: a reader cannot answer. Make the agent a member.")


def check_numbers(kinds: Sequence[str]) -> None:
    """Raises `Conflict` when these are too many for a room."""
    if len(kinds) > conf.CHAT_ROOM_PARTICIPANTS:
        raise Conflict(f"A room has at most {conf.CHAT_ROOM_PARTICIPANTS} participants.")
    if sum(kind == AGENT for kind in kinds) > conf.CHAT_ROOM_AGENTS:
        raise Conflict(f"A room has at most {conf.CHAT_ROOM_AGENTS} agents.")


def people_of(organization: Organization) -> QuerySet[User]:
    """The active users of an organisation, by name."""
    return User.objects.filter(memberships__organization=organization, is_active=True).order_by("username", "pk")


def agents_of(organization: Organization) -> QuerySet[Application]:
    """Its applications, by name."""
    return Application.objects.filter(organization=organization).order_by("name", "pk")


def accounts_of(*, caller: Caller, search: str = "") -> list[dict[str, Any]]:
    """For each of the caller's organisations who can be in a room with him, by name: the first people and agents.

    `search`: a part of a name, or a public id.
    """
    text = storable(search.strip())
    named = {"people": Q(username__icontains=text) | Q(public_id=text), "agents": Q(name__icontains=text) | Q(public_id=text)}
    return [
        {
            "organization": each.public_id,
            "name": each.name,
            "people": [
                {"id": user.public_id, "name": user.username}
                for user in people_of(each).filter(named["people"]).exclude(pk=caller.pk)[:PAGE]
            ],
            "agents": [{"id": agent.public_id, "name": agent.name} for agent in agents_of(each).filter(named["agents"])[:PAGE]],
        }
        for each in Organization.objects.filter(memberships__user_id=caller.pk).order_by("name", "pk")
    ]
