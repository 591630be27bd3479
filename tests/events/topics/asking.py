"""What the tests of topics share: organisations, and events in their streams."""

from accounts import services
from accounts.caller import Caller
from accounts.models import Membership, Organization
from events.publishing import Publication, publish_many
from events.topics.event import TOPIC_EVENT, organization_stream, stored
from events.topics.grammar import parse_topic


def user(name, *organizations, staff=False, role=Membership.Role.MEMBER):
    """A user who belongs to these organisations, which are made if need be."""
    made = services.ensure_user(username=name, password="correct horse battery")
    if staff:
        made.is_staff = True
        made.save()
    for each in organizations:
        organization, _ = Organization.objects.get_or_create(public_id=each, defaults={"name": each})
        Membership.objects.get_or_create(organization=organization, user=made, defaults={"role": role})
    return made


def caller_for(made, *, credential="jwt"):
    organizations = tuple(made.organizations.values_list("public_id", flat=True))
    return Caller(made.pk, made.public_id, made.username, organizations, made.is_staff, credential)


def publication(topic, n=0):
    """Event number `n` on a topic, to be appended."""
    parsed = parse_topic(topic)
    data = stored(parsed, id=f"evt_{n}", at=1_700_000_000, payload={"n": n})
    return Publication(organization_stream(parsed.organization), TOPIC_EVENT.name, data)


async def publish(topic, *numbers):
    """Appends events with these numbers; their cursors."""
    return [str(each) for each in await publish_many([publication(topic, n) for n in numbers])]


def ns(frames):
    """The numbers of the events among frames."""
    return [frame["event"]["payload"]["n"] for frame in frames if frame.get("type") == "event"]
