"""Sources and attachments, as those who may see them do."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.caller import Caller
from accounts.models import Organization
from events.exceptions import Conflict, Forbidden, InvalidRequest, NotFound
from events.paging import page
from knowledge.announcing import announce_change, announce_shared
from knowledge.conf import conf
from knowledge.embeddings import registry
from knowledge.extraction.kinds import WrongKind, kind_of_content, kind_of_name
from knowledge.models import Ingestion, Source
from knowledge.services import files, ingestions

NOTHING = {Source.Purpose.SOURCE: "There is no such source.", Source.Purpose.ATTACHMENT: "There is no such attachment."}


@dataclass(frozen=True, slots=True)
class NewSource:
    """A file to be taken in. `file_name` tells its kind; `organization`, a public id, shares it with the members."""

    name: str
    file_name: str
    purpose: str = Source.Purpose.SOURCE
    organization: str = ""
    embedding_model: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


def new_text(*, name: str, text: str, **fields: Any) -> tuple[NewSource, list[bytes]]:
    """What `create` takes, for a text. Marks of Markdown count as such, unless the name ends in a kind of its own."""
    try:
        named = kind_of_name(name)
    except WrongKind:
        named = None
    file_name = f"text.{named if named in {'html', 'csv', 'txt'} else 'md'}"
    return NewSource(name=name, file_name=file_name, **fields), [text.encode()]


def create(*, caller: Caller, new: NewSource, data: Iterable[bytes]) -> Source:
    """Keeps the file and queues its ingestion. `data`: its bytes, in pieces.

    Raises `InvalidRequest` for a file whose kind is not taken, `TooLarge`, `Forbidden` and `Conflict`.
    """
    registry.resolve(new.embedding_model)
    pieces = iter(data)
    first = next(pieces, b"")
    try:
        kind = kind_of_content(first[:4096], name=new.file_name)
    except WrongKind as error:
        raise InvalidRequest(str(error)) from None
    _refuse_too_many(caller)

    def rest() -> Iterable[bytes]:
        yield first
        yield from pieces

    with transaction.atomic():
        organization = _organization(caller, new.organization)
        source = Source.objects.create(
            purpose=new.purpose,
            owner_id=caller.pk,
            organization=organization,
            name=new.name,
            file=files.store(name=new.file_name[-255:], data=rest()),
            kind=kind,
            metadata=new.metadata,
            wanted_model=new.embedding_model,
        )
        ingestions.queue(source=source, operation=Ingestion.Operation.UPLOAD)
        if organization is not None and new.purpose == Source.Purpose.SOURCE:
            announce_shared(source=source, organization=organization)
        return source


def _organization(caller: Caller, public_id: str) -> Organization | None:
    if not public_id:
        return None
    if public_id not in caller.organizations:
        raise Forbidden("You are not a member of that organisation.")
    return Organization.objects.get(public_id=public_id)


def _refuse_too_many(caller: Caller) -> None:
    most = conf.KNOWLEDGE_SOURCES_PER_USER
    if most and Source.objects.filter(owner_id=caller.pk).count() >= most:
        raise Conflict(f"You have {most} sources and attachments, the most that one user may have. Delete some first.")


def visible(caller: Caller) -> QuerySet[Source]:
    """Everything that the caller may search: his own, and what is shared with his organisations."""
    return (
        Source.objects.filter(Q(owner_id=caller.pk) | Q(organization__public_id__in=caller.organizations))
        .select_related("owner", "organization")
        .prefetch_related("ingestions")
    )


def get(*, caller: Caller, source_id: uuid.UUID, purpose: str = Source.Purpose.SOURCE) -> Source:
    """One of them; raises `NotFound` also when it is someone else's."""
    found = visible(caller).filter(pk=source_id, purpose=purpose).first()
    if found is None:
        raise NotFound(NOTHING[Source.Purpose(purpose)])
    return found


def list_sources(*, caller: Caller, cursor: str, purpose: str = Source.Purpose.SOURCE) -> tuple[list[Source], str | None]:
    """One page, newest first, after `cursor` (empty: the newest), and the cursor of the next page."""
    return page(visible(caller).filter(purpose=purpose), by="created_at", cursor=cursor)


def _own(*, caller: Caller, source_id: uuid.UUID, purpose: str) -> Source:
    """One of the caller's own, locked; raises `NotFound`, and `Forbidden` for what is only shared with him."""
    found = get(caller=caller, source_id=source_id, purpose=purpose)
    if found.owner_id != caller.pk:
        raise Forbidden("This is shared with you. Only its owner can change it.")
    locked = Source.objects.select_for_update(of=("self",)).select_related("owner", "organization").filter(pk=found.pk).first()
    if locked is None:
        raise NotFound(NOTHING[Source.Purpose(purpose)])
    return locked


@transaction.atomic
def reingest(*, caller: Caller, source_id: uuid.UUID, purpose: str = Source.Purpose.SOURCE) -> Source:
    """Takes the file in again, with today's model; until that is complete, searches find the old generation."""
    source = _own(caller=caller, source_id=source_id, purpose=purpose)
    ingestions.queue(source=source, operation=Ingestion.Operation.REINGEST)
    return source


@transaction.atomic
def cancel(*, caller: Caller, source_id: uuid.UUID, purpose: str = Source.Purpose.SOURCE) -> Source:
    """Ends the open ingestion; its worker stops within seconds. Raises `Conflict` when none is open."""
    get(caller=caller, source_id=source_id, purpose=purpose)
    # The ingestion first, then the source: the order in which workers lock them.
    ingestion = Ingestion.objects.select_for_update(of=("self",)).filter(source_id=source_id, status__in=Source.OPEN).first()
    source = _own(caller=caller, source_id=source_id, purpose=purpose)
    if ingestion is None:
        raise Conflict("This is not being taken in, so there is nothing to cancel.")
    ingestions.end(ingestion=ingestion, status=Source.Status.CANCELLED, error=ingestions.CANCELLED)
    source.refresh_from_db()
    return source


@transaction.atomic
def delete(*, caller: Caller, source_id: uuid.UUID, purpose: str = Source.Purpose.SOURCE) -> None:
    """Deletes it with its file and everything made of it; an ingestion of it stops within seconds."""
    get(caller=caller, source_id=source_id, purpose=purpose)
    list(Ingestion.objects.select_for_update(of=("self",)).filter(source_id=source_id))
    source = _own(caller=caller, source_id=source_id, purpose=purpose)
    file = source.file
    announce_change(source=source, action="deleted")
    source.delete()
    if file is not None:
        file.delete()
