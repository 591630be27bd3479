"""Applications: configured assistants, as callers use them and as the staff may set them up."""

import uuid
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from accounts.caller import Caller
from accounts.models import Membership, Organization
from chat.conf import conf
from chat.models import Application
from events.changes import ApplicationChange, application_changed
from events.event import storable
from events.exceptions import NotFound
from events.paging import page_by_name
from knowledge.models import Source
from plugins.tools.registry import tools


def applications_of(caller: Caller) -> QuerySet[Application]:
    """The applications that the caller may ask: those of his organisations, the oldest first."""
    of_his = Membership.objects.filter(user_id=caller.pk).values("organization")
    return Application.objects.filter(organization__in=of_his).select_related("organization").order_by("pk")


def list_applications(*, caller: Caller, cursor: str) -> tuple[list[Application], str | None]:
    """One page of them by their public ids, after `cursor` (empty: from the first), and the cursor of the next page."""
    return page_by_name(applications_of(caller), by="public_id", cursor=cursor)


def application_of(*, caller: Caller, application_id: str) -> Application:
    """An application of one of the caller's organisations; raises `NotFound`."""
    found = applications_of(caller).filter(public_id=storable(application_id)).first()
    if found is None:
        raise NotFound("There is no such application.")
    return found


@transaction.atomic
def save(*, application: Application, changed_by: str) -> None:
    """Saves an application, new or changed, and has the workspaces of its organisation told, by whom (a public id)."""
    before = Application.objects.filter(pk=application.pk).first()
    application.save()
    if before is not None and before.organization_id != application.organization_id:
        _announce(before, "deleted", changed_by)
        before = None
    _announce(application, "added" if before is None else "updated", changed_by)


@transaction.atomic
def delete(*, application: Application, changed_by: str) -> None:
    """Deletes an application; its conversations stay, and are answered as those without one."""
    _announce(application, "deleted", changed_by)
    application.delete()


def _announce(application: Application, action: str, changed_by: str) -> None:
    change = ApplicationChange(
        organization_pk=application.organization_id,
        application_id=application.public_id,
        name=application.name,
        action=action,
        changed_by=changed_by,
    )
    application_changed.send(Application, change=change)


def grounding_of(application: Application | None) -> dict[str, Any] | None:
    """What its answers rest on, as a request of S2 would say it; None: only on what the engine knows."""
    if application is None or not application.sources:
        return None
    # What a request of S2 says when it says nothing else.
    defaults = {"limit": 5, "similarity_threshold": 0.7, "weight": 1.0, "metadata_filters": None}
    sources = [{"name": source_id, **defaults} for source_id in application.sources]
    config = {"sources": sources, "retrieval_strategy": "merge", "max_total_results": 10}
    return {"context_mode": "rag", "rag_config": config, "keep_attachments": True}


def known_tools(application: Application) -> list[str]:
    """The tools to choose from: those there are, and what it has that is there no more, to be taken away."""
    return sorted(set(tools()) | {name for name in application.tools or [] if isinstance(name, str)})


def problems(*, organization: Organization | None, fields: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with an application's fields, by their names: each sentence says what to do.

    `fields`: engine, model, system_prompt, tools and sources.
    """
    found = {
        "engine": _engine_problem(str(fields.get("engine") or "")),
        "system_prompt": _prompt_problem(str(fields.get("system_prompt") or "")),
        "tools": _tools_problem(fields.get("tools")),
        "sources": _sources_problem(fields.get("sources"), organization),
    }
    return {name: problem for name, problem in found.items() if problem}


def _engine_problem(engine: str) -> str:
    if not engine or engine in settings.CHAT_ENGINES:
        return ""
    return f"There is no engine {engine!r}. Choose one of CHAT_ENGINES: {', '.join(sorted(settings.CHAT_ENGINES))}."


def _prompt_problem(prompt: str) -> str:
    most = conf.CHAT_SYSTEM_PROMPT_CHARS
    return f"The prompt has {len(prompt)} characters; at most {most} are accepted." if len(prompt) > most else ""


def _tools_problem(names: Any) -> str:
    problem = _list_problem(names, "tools", conf.CHAT_APPLICATION_TOOLS)
    unknown = [] if problem else sorted(set(names or []) - set(tools()))
    if unknown:
        return f"There is no tool called {', '.join(unknown)}. Known tools: {', '.join(sorted(tools())) or 'none'}."
    return problem


def _sources_problem(ids: Any, organization: Organization | None) -> str:
    problem = _list_problem(ids, "sources", conf.CHAT_APPLICATION_SOURCES)
    if problem or not ids:
        return problem
    shared = (
        Source.objects.filter(organization=organization, purpose=Source.Purpose.SOURCE) if organization else Source.objects.none()
    )
    there = {str(pk) for pk in shared.filter(pk__in=filter(_is_id, ids)).values_list("pk", flat=True)}
    missing = [each for each in ids if each not in there]
    if not missing:
        return ""
    return f"These are not ids of sources that the organisation shares: {', '.join(missing)}. Share them with it first."


def _list_problem(value: Any, what: str, most: int) -> str:
    value = value or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        return f'Give the {what} as a JSON list of texts, such as ["one", "two"].'
    if len(set(value)) != len(value):
        return f"Name each of the {what} once."
    return f"At most {most} {what} are accepted, not {len(value)}." if len(value) > most else ""


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
