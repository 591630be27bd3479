"""Who may decide. Kept as words, and looked up when it matters: who leaves a conversation decides nothing in it any more.

The words: `participants` of the conversation (but not who may only read in a room), the `requester` (who asked the question),
`admins` of the application's organisation, and `user:<public id>`.
"""

from collections.abc import Sequence

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce

from accounts.caller import Caller
from accounts.models import Membership, User
from chat.conf import conf
from chat.models import Approval, Participant, Run

PARTICIPANTS, REQUESTER, ADMINS, USER = "participants", "requester", "admins", "user:"


def configured(name: str) -> list[str]:
    """The words of APPROVAL_DECIDERS or APPROVAL_ESCALATE_TO; raises `ImproperlyConfigured`."""
    words = [word.strip() for word in getattr(conf, name)]
    for word in words:
        if word not in (PARTICIPANTS, REQUESTER, ADMINS) and not (word.startswith(USER) and len(word) > len(USER)):
            raise ImproperlyConfigured(
                f"{name} holds {word!r}. Known are {PARTICIPANTS}, {REQUESTER}, {ADMINS}, {USER}<public id>, with commas between."
            )
    return words


def deciders_of(run: Run, words: Sequence[str]) -> QuerySet[User]:
    """The active users that these words mean for a run (with its message's conversation)."""
    conversation = run.message.conversation
    wanted = Q(pk__in=[])
    if PARTICIPANTS in words:
        reader = Participant.Role.READER
        people = Participant.objects.filter(conversation=conversation, user__isnull=False).exclude(role=reader)
        wanted |= Q(pk__in=people.values("user"))
    if REQUESTER in words:
        wanted |= Q(pk=run.requested_by_id)
    if ADMINS in words:
        application = run.message.application or conversation.application
        organization = application.organization if application else conversation.organization
        if organization is not None:
            admins = Membership.objects.filter(organization=organization, role=Membership.Role.ADMIN)
            wanted |= Q(pk__in=admins.values("user"))
    wanted |= Q(public_id__in=[word.removeprefix(USER) for word in words if word.startswith(USER)])
    return User.objects.filter(wanted, is_active=True).order_by("pk")


def decidable_by(caller: Caller) -> Q:
    """The approvals that the caller may decide, while they are open."""
    admin = Membership.objects.filter(
        user_id=caller.pk,
        role=Membership.Role.ADMIN,
        organization=Coalesce(
            OuterRef("run__message__application__organization"),
            OuterRef("run__message__conversation__application__organization"),
            OuterRef("run__message__conversation__organization"),
        ),
    )
    return (
        (Q(deciders__contains=[PARTICIPANTS]) & Q(Exists(_participation(caller).exclude(role=Participant.Role.READER))))
        | Q(deciders__contains=[REQUESTER], run__requested_by_id=caller.pk)
        | (Q(deciders__contains=[ADMINS]) & Q(Exists(admin)))
        | Q(deciders__contains=[f"{USER}{caller.user_id}"])
    )


def visible_to(caller: Caller) -> QuerySet[Approval]:
    """The approvals that the caller may see: of conversations he takes part in, and those that are his to decide."""
    return Approval.objects.filter(Q(Exists(_participation(caller))) | decidable_by(caller))


def _participation(caller: Caller) -> QuerySet[Participant]:
    own = Membership.objects.filter(user_id=caller.pk).values("organization")
    return Participant.objects.filter(
        Q(conversation__organization__isnull=True) | Q(conversation__organization__in=own),
        user_id=caller.pk,
        conversation=OuterRef("run__message__conversation"),
    )
