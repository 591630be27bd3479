"""Documents under change: stored, changed as a whole batch or not at all, reverted. Every version is kept for a while."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.caller import Caller
from chat.conf import conf
from chat.editing.alignment import realigned
from chat.editing.applying import applied
from chat.editing.changes import CREATE, DELETE, EDIT, BadChange, Change, Outdated
from chat.editing.document import Document
from chat.models import Conversation, DocumentVersion, EditedDocument
from events.exceptions import Conflict, InvalidRequest, NotFound, TooLarge
from events.paging import PAGE, page

Origin = DocumentVersion.Origin
MOVED_ON = "The document has changed since these changes were proposed (for version {then}, it is at {now}). Ask for them again."
_WORDS = {EDIT: "changed", CREATE: "added", DELETE: "deleted"}


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch came to (`document_changes` of seed 003)."""

    updated_html: str
    version_id: uuid.UUID
    changes_summary: str

    @property
    def data(self) -> dict[str, str]:
        """As JSON."""
        return {"updated_html": self.updated_html, "version_id": str(self.version_id), "changes_summary": self.changes_summary}


def documents_of(caller: Caller) -> QuerySet[EditedDocument]:
    """The caller's own documents and those of conversations in which the caller takes part."""
    shared = Conversation.objects.filter(participants__user_id=caller.pk)
    return EditedDocument.objects.filter(Q(owner_id=caller.pk) | Q(conversation__in=shared))


def document(*, caller: Caller, document_id: uuid.UUID) -> EditedDocument:
    """One document; raises `NotFound` also when it is someone else's."""
    found = documents_of(caller).filter(pk=document_id).first()
    if found is None:
        raise NotFound("There is no such document.")
    return found


def of_conversation(*, caller: Caller, conversation_id: uuid.UUID) -> EditedDocument | None:
    """The newest document of a conversation, None when it has none."""
    return documents_of(caller).filter(conversation_id=conversation_id).order_by("-created_at").first()


def list_documents(*, caller: Caller, cursor: str) -> tuple[list[EditedDocument], str | None]:
    """One page after `cursor` (empty: the newest), and the cursor of the next page."""
    return page(documents_of(caller), by="updated_at", cursor=cursor)


def store(
    *, caller: Caller, html: str, title: str = "", conversation_id: uuid.UUID | None = None, turn: int | None = None
) -> DocumentVersion:
    """The first version of a new document, in a conversation if one is given. Raises `InvalidRequest`, `TooLarge`, `NotFound`."""
    cut = Document.cut(accepted_html(html))
    if (
        conversation_id is not None
        and not Conversation.objects.filter(pk=conversation_id, participants__user_id=caller.pk).exists()
    ):
        raise NotFound("There is no such conversation.")
    with transaction.atomic():
        made = EditedDocument.objects.create(owner_id=caller.pk, conversation_id=conversation_id, title=title[:200])
        return _add(made, cut, origin=Origin.IMPORTED, summary="Imported.", author_id=caller.pk, turn=turn)


def receive(*, caller: Caller, document_id: uuid.UUID, html: str, turn: int | None = None) -> DocumentVersion:
    """The document as its editor sends it back: the version in force if it is the same, else a new one. Chunks keep their ids."""
    accepted_html(html)
    while True:
        before = current(caller=caller, document_id=document_id)
        if before.html == html:
            return before
        # Outside the transaction: a large document takes a second, and the row is locked meanwhile.
        changed = realigned(load(before), html)
        with transaction.atomic():
            locked = _locked(document_id)
            if locked.head == before.number:
                summary = "Changed in the editor."
                return _add(locked, changed, origin=Origin.IMPORTED, summary=summary, author_id=caller.pk, turn=turn)


def current(*, caller: Caller, document_id: uuid.UUID) -> DocumentVersion:
    """The version in force."""
    found = document(caller=caller, document_id=document_id)
    return found.versions.get(number=found.head)


def version(*, caller: Caller, version_id: uuid.UUID) -> DocumentVersion:
    """One version; raises `NotFound` also when it is someone else's, or too old."""
    found = DocumentVersion.objects.select_related("document").filter(pk=version_id, document__in=documents_of(caller)).first()
    if found is None:
        raise NotFound("There is no such version, or it is so old that it is no longer kept.")
    return found


def versions(*, caller: Caller, document_id: uuid.UUID, before: int | None = None) -> tuple[list[dict[str, Any]], int | None]:
    """A page of versions with numbers below `before` (None: the newest), newest first, without HTML; and the next `before`."""
    rows = document(caller=caller, document_id=document_id).versions.select_related("author").defer("html", "chunks")
    if before is not None:
        rows = rows.filter(number__lt=before)
    found = list(rows.order_by("-number")[: PAGE + 1])
    return [describe(row) for row in found[:PAGE]], found[PAGE - 1].number if len(found) > PAGE else None


def describe(row: DocumentVersion) -> dict[str, Any]:
    """A version as the REST API gives it, without its HTML."""
    return {
        "version_id": str(row.pk),
        "document_id": str(row.document_id),
        "number": row.number,
        "origin": row.origin,
        "changes_summary": row.summary,
        "changes": row.changes,
        "restored": row.restored,
        "turn_index": row.turn,
        "author": row.author.public_id if row.author else None,
        "created_at": row.created_at.isoformat(),
    }


def load(row: DocumentVersion) -> Document:
    """The version as the editing engine knows it."""
    return Document.load(row.html, row.chunks)


def apply(
    *,
    caller: Caller,
    version_id: uuid.UUID,
    changes: Sequence[Change],
    turn: int | None = None,
    run_id: uuid.UUID | None = None,
) -> Applied:
    """Makes approved changes of one batch, all or none, of the version that they were proposed for.

    The same batch again is the same result: whoever dies between this and telling of it may do it again. Raises `Conflict`
    when the document has moved on meanwhile, `InvalidRequest` for a change that cannot be made, `NotFound`, `TooLarge`.
    """
    batch_id = _batch_of(changes)
    before = version(caller=caller, version_id=version_id)
    after = _changed(before, changes)
    try:
        with transaction.atomic():
            locked = _locked(before.document_id)
            if locked.head != before.number:
                raise Conflict(MOVED_ON.format(then=before.number, now=locked.head))
            made = _add(
                locked,
                after,
                origin=Origin.CHANGED,
                batch_id=batch_id,
                changes=[_kept(change) for change in changes],
                summary=summary_of(changes),
                author_id=caller.pk,
                turn=turn,
                run_id=run_id,
            )
    except (IntegrityError, Conflict):
        # Perhaps by the same batch: applied before by someone who died before telling of it, or at this moment.
        earlier = _earlier(before.document_id, batch_id)
        if earlier is None:
            raise
        return earlier
    return _result(made)


def revert(
    *,
    caller: Caller,
    document_id: uuid.UUID,
    version_id: uuid.UUID | None = None,
    turn_index: int | None = None,
    turn: int | None = None,
) -> DocumentVersion:
    """The document as it was, byte for byte and chunk for chunk, as a new version: that of `version_id`, or the last of a turn.

    Nothing is lost: a revert can be reverted. `turn`: the turn that the revert itself belongs to. Raises `NotFound`.
    """
    if (version_id is None) == (turn_index is None):
        raise InvalidRequest("Say either which version or which turn to go back to.")
    document(caller=caller, document_id=document_id)
    with transaction.atomic():
        locked = _locked(document_id)
        kept = locked.versions.filter(pk=version_id) if version_id else locked.versions.filter(turn__lte=turn_index)
        target = kept.order_by("-number").first()
        if target is None:
            raise NotFound("There is no version of that time, or it is so old that it is no longer kept.")
        if target.number == locked.head:
            return target
        return _add(
            locked,
            load(target),
            origin=Origin.REVERTED,
            restored=target.number,
            summary=f"Reverted to version {target.number}.",
            author_id=caller.pk,
            turn=turn,
        )


def delete(*, caller: Caller, document_id: uuid.UUID) -> None:
    """Deletes a document with all its versions; only its owner may. Raises `NotFound`."""
    deleted, _ = EditedDocument.objects.filter(pk=document_id, owner_id=caller.pk).delete()
    if not deleted:
        raise NotFound("There is no such document of yours.")


def accepted_html(html: str) -> str:
    """The HTML if it can be kept byte for byte; raises `InvalidRequest`, `TooLarge`."""
    if "\0" in html:
        raise InvalidRequest(f"The document holds a NUL character (at {html.index(chr(0))}), which HTML forbids. Remove it.")
    try:
        size = len(html.encode())
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"The document holds half of a character (at {error.start}). Send it as valid Unicode.") from error
    if size > conf.EDITING_DOCUMENT_MAX_BYTES:
        raise TooLarge(
            f"The document has {size} bytes, more than the {conf.EDITING_DOCUMENT_MAX_BYTES} that can be edited. Split it."
        )
    return html


def summary_of(changes: Sequence[Change]) -> str:
    """What changes do, counted."""
    counts = [(sum(change.operation == operation for change in changes), word) for operation, word in _WORDS.items()]
    told = [f"{number} section{'s' if number > 1 else ''} {word}" for number, word in counts if number]
    return f"{', '.join(told)}." if told else "Nothing changed."


def _batch_of(changes: Sequence[Change]) -> str:
    batches = {change.batch_id for change in changes}
    batch_id = next(iter(batches), None)
    if len(batches) != 1 or not batch_id:
        raise InvalidRequest("Apply one or more changes, all of the same batch.")
    return batch_id


def _earlier(document_id: uuid.UUID, batch_id: str) -> Applied | None:
    row = DocumentVersion.objects.filter(document_id=document_id, batch_id=batch_id).first()
    return _result(row) if row else None


def _changed(before: DocumentVersion, changes: Sequence[Change]) -> Document:
    try:
        after = applied(load(before), changes)
    except Outdated as error:
        raise Conflict(error.message) from error
    except BadChange as error:
        raise InvalidRequest(f"Change {error.change_id}: {error.message}" if error.change_id else error.message) from error
    accepted_html(after.html)
    return after


def _locked(document_id: uuid.UUID) -> EditedDocument:
    """Locked, so that versions come one after the other."""
    found = EditedDocument.objects.select_for_update().filter(pk=document_id).first()
    if found is None:
        raise NotFound("There is no such document.")
    return found


def _add(row: EditedDocument, content: Document, **fields: Any) -> DocumentVersion:
    """The next version of a document whose row is locked (or new), and the oldest one gone."""
    row.head += 1
    row.updated_at = timezone.now()
    row.save(update_fields=["head", "updated_at"])
    made = row.versions.create(number=row.head, html=content.html, chunks=content.rows, **fields)
    row.versions.filter(number__lte=row.head - max(1, conf.EDITING_VERSIONS_KEPT)).delete()
    return made


def _kept(change: Change) -> dict[str, Any]:
    """What a version keeps of a change: the HTML is in the versions themselves."""
    return {name: value for name, value in change.data.items() if name not in ("old_html", "new_html", "batch_id", "batch_total")}


def _result(row: DocumentVersion) -> Applied:
    return Applied(row.html, row.pk, row.summary)
