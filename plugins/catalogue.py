"""The plugins of organisations: added, listed, found. Source: WIRE of seed 004, "Plugin debug"."""

import uuid
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from accounts.caller import Caller
from accounts.models import Organization
from events.exceptions import Conflict, Forbidden, InvalidRequest, NotFound
from events.paging import page
from plugins.models import Plugin

MOST_TOOLS = 200


def visible(caller: Caller) -> QuerySet[Plugin]:
    """Those of the caller's organisations."""
    return Plugin.objects.filter(organization__public_id__in=caller.organizations).select_related("organization")


def get(*, caller: Caller, plugin_id: uuid.UUID) -> Plugin:
    """One of them; raises `NotFound`."""
    found = visible(caller).filter(pk=plugin_id).first()
    if found is None:
        raise NotFound("There is no such plugin.")
    return found


def list_plugins(*, caller: Caller, cursor: str) -> tuple[list[Plugin], str | None]:
    """One page, newest first, after `cursor` (empty: the newest), and the cursor of the next page."""
    return page(visible(caller), by="created_at", cursor=cursor)


def add(*, caller: Caller, name: str, organization_id: str, tools: list[dict[str, Any]]) -> Plugin:
    """Adds a plugin to one of the caller's organisations; without an id to his only one.

    `tools`: objects with `name` and `description`; with none of them executions may name any tool.
    Raises `Forbidden`, `InvalidRequest`, and `Conflict` when the organisation has one of that name.
    """
    if organization_id and organization_id not in caller.organizations:
        raise Forbidden("You are not a member of that organisation.")
    if not organization_id and len(caller.organizations) != 1:
        raise InvalidRequest(
            f"Say with `organization` whose plugin it is: {', '.join(caller.organizations) or 'you are in none'}."
        )
    names = [each["name"] for each in tools]
    if len(names) > MOST_TOOLS:
        raise InvalidRequest(f"A plugin has at most {MOST_TOOLS} tools.")
    if len(set(names)) < len(names):
        raise InvalidRequest("Two tools have the same name.")
    organization = Organization.objects.filter(public_id=organization_id or caller.organizations[0]).first()
    if organization is None:
        raise NotFound("There is no such organisation any more.")
    try:
        with transaction.atomic():
            return Plugin.objects.create(organization=organization, name=name, tools=tools)
    except IntegrityError:
        raise Conflict("The organisation has a plugin of that name.") from None
