"""A document, or one proposed change of it, as HTML to be looked at in a frame that runs nothing."""

import re
import uuid

from accounts.caller import Caller
from chat.editing.diffing import marked
from chat.models import Approval
from chat.services import documents, jobs
from events.exceptions import NotFound

_FIRST_TAG = re.compile(r"\s*<([a-z]+)", re.IGNORECASE)
_AROUND = {
    "li": ("<ul>", "</ul>"),
    "dt": ("<dl>", "</dl>"),
    "dd": ("<dl>", "</dl>"),
    "tr": ("<table><tbody>", "</tbody></table>"),
    "td": ("<table><tbody><tr>", "</tr></tbody></table>"),
    "th": ("<table><tbody><tr>", "</tr></tbody></table>"),
}
"""What a browser needs around such a piece, which it would drop by itself."""


def change(*, caller: Caller, job_id: uuid.UUID, change_id: str, side: str) -> str:
    """One side (`old` or `new`) of a proposed change, what is different marked. Raises `NotFound`."""
    job = jobs.find(caller=caller, job_id=job_id)
    row = Approval.objects.filter(run_id=job.pk, kind=Approval.Kind.PROPOSED_CHANGE, subject=change_id).first()
    if row is None or side not in ("old", "new"):
        raise NotFound("There is no such change.")
    old, new = row.payload["old_html"] or "", row.payload["new_html"] or ""
    return _whole(marked(old, new)[side == "new"])


def version(*, caller: Caller, version_id: uuid.UUID) -> str:
    """A version of a document. Raises `NotFound`."""
    return documents.version(caller=caller, version_id=version_id).html


def _whole(html: str) -> str:
    first = _FIRST_TAG.match(html)
    before, after = _AROUND.get(first[1].lower(), ("", "")) if first else ("", "")
    return f"{before}{html}{after}"
