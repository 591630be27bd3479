"""Which organisation a request is about, and who decides there."""

from accounts.caller import Caller
from accounts.models import Membership, Organization
from events.event import storable
from events.exceptions import InvalidRequest, NotFound


def organization_named(named: object, *, caller: Caller) -> str:
    """The public id that a request names, or that of the caller's only organisation. Raises `InvalidRequest`."""
    if isinstance(named, str) and named:
        return named
    if len(caller.organizations) == 1:
        return caller.organizations[0]
    raise InvalidRequest("organization: the id of one of your organisations; see GET /api/v1/auth/me.")


def own_organization(caller: Caller, public_id: str) -> Organization:
    """The organisation with this public id, of which the caller is a member, or any for staff. Raises `NotFound`."""
    query = Organization.objects.filter(public_id=storable(public_id))
    found = query.first() if caller.is_staff else query.filter(memberships__user_id=caller.pk).first()
    if found is None:
        raise NotFound("You belong to no organisation with this id.")
    return found


def is_admin(caller: Caller, organization: Organization) -> bool:
    """Whether the caller decides for an organisation: its admins do, and staff."""
    return (
        caller.is_staff
        or Membership.objects.filter(organization=organization, user_id=caller.pk, role=Membership.Role.ADMIN).exists()
    )
