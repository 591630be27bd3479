"""Who belongs to an organisation. It is here and not in accounts because a new member is told on his feed."""

from dataclasses import dataclass

from django.db import transaction

from accounts.caller import Caller
from accounts.models import Membership, Organization, User
from events.event import storable
from events.exceptions import Forbidden, NotFound
from events.outbox import publish_with_commit
from events.streams import Stream
from workspaces.models import WorkspaceMember
from workspaces.team_events import MEMBER_ADDED


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What came of adding a member: the membership, and whether it is a new one."""

    membership: Membership
    is_new: bool


def add_organization_member(*, caller: Caller, organization_id: str, user_id: str, role: str) -> Enrolment:
    """Adds a user, or gives a member another role; both ids are public ones. For the organisation's admins and for staff.

    Raises `NotFound` for an organisation that the caller does not belong to and for an unknown user, `Forbidden`.
    """
    organization = administered_organization(caller, organization_id)
    user = User.objects.filter(public_id=user_id, is_active=True).first()
    if user is None:
        raise NotFound("There is no user with this id.")
    return enrol(organization=organization, user=user, role=role, added_by=caller.user_id)


def administered_organization(caller: Caller, organization_id: str) -> Organization:
    """The organisation with this public id, for its admins and for staff. Raises `NotFound` for others' and `Forbidden`."""
    organization = Organization.objects.filter(public_id=storable(organization_id)).first()
    if organization is not None and caller.is_staff:
        return organization
    mine = Membership.objects.filter(organization=organization, user_id=caller.pk).first() if organization else None
    if organization is None or mine is None:
        raise NotFound("You belong to no organisation with this id.")
    if mine.role != Membership.Role.ADMIN:
        raise Forbidden("Only admins of the organisation can do this.")
    return organization


def administered_organizations(*, user_pk: int) -> list[Organization]:
    """The organisations of which the user with this primary key is an admin, by name."""
    mine = Membership.objects.filter(user_id=user_pk, role=Membership.Role.ADMIN)
    return list(Organization.objects.filter(memberships__in=mine).order_by("name"))


@transaction.atomic
def enrol(*, organization: Organization, user: User, role: str, added_by: str) -> Enrolment:
    """Makes a user a member with this role, and tells him if he was none. `added_by`: the public id of who did it."""
    membership, is_new = Membership.objects.get_or_create(organization=organization, user=user, defaults={"role": role})
    if is_new:
        payload = {"team_id": organization.public_id, "team_name": organization.name, "role": role, "added_by": added_by}
        data = {"scope": {"kind": "team", "id": organization.public_id}, "payload": payload}
        publish_with_commit(stream=Stream("user", user.public_id), type=MEMBER_ADDED.name, data=data)
    elif membership.role != role:
        membership.role = role
        membership.save(update_fields=["role"])
    return Enrolment(membership, is_new)


@transaction.atomic
def end(*, organization: Organization, user: User) -> None:
    """Ends a membership, and with it those in the organisation's workspaces: who was put out must not go on reading there."""
    WorkspaceMember.objects.filter(workspace__organization=organization, user=user).delete()
    Membership.objects.filter(organization=organization, user=user).delete()
