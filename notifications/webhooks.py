"""Who is told that a webhook was switched off."""

from accounts.models import Membership, User
from events.changes import EndpointOff
from notifications.models import LONGEST_TITLE, Notification
from notifications.services import notify


def switched_off(change: EndpointOff) -> None:
    """Tells its owner while he is a member (or of the staff), else the admins of the organisation."""
    members = User.objects.filter(is_active=True, memberships__organization=change.organization_pk)
    staff = User.objects.filter(is_active=True, is_staff=True)
    pks = [change.owner_pk] if change.owner_pk is not None else []
    owner = members.filter(pk__in=pks).first() or staff.filter(pk__in=pks).first()
    users = [owner] if owner else list(members.filter(memberships__role=Membership.Role.ADMIN).distinct())
    if users:
        notify(
            users=users,
            title=f"Webhook switched off: {change.name}"[:LONGEST_TITLE],
            body=f"{change.reason}\nEvents that were to be sent wait. When it works again, switch it on: "
            f"PATCH /api/v1/webhooks/{change.endpoint_id} with enabled true.",
            priority=Notification.Priority.HIGH,
        )
