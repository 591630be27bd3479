"""Endpoints: who may register which, their secrets, and how they are switched on and off."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.caller import Caller
from accounts.models import Organization
from events.addresses import BadAddress, is_public, split_url
from events.changes import EndpointOff, endpoint_switched_off
from events.conf import conf
from events.event import storable
from events.exceptions import Forbidden, InvalidRequest, NotFound, TooMany
from events.models import WebhookEndpoint, WebhookPosition
from events.organizations import is_admin, own_organization
from events.paging import page
from events.sealing import seal
from events.topics.grammar import WILDCARD, parse_pattern
from events.webhooks import signatures as webhook_signatures
from events.webhooks.models import LONGEST_NAME, LONGEST_REASON

FIELDS = ("url", "description", "patterns", "form", "enabled")
"""What a request may say of an endpoint."""


def list_endpoints(*, caller: Caller, organization_id: str, cursor: str) -> tuple[list[WebhookEndpoint], str | None]:
    """One page of an organisation's endpoints, the newest first. Raises `NotFound`, `Forbidden`."""
    organization = _administered(caller, own_organization(caller, organization_id))
    query = WebhookEndpoint.objects.filter(organization=organization).select_related("organization", "owner")
    return page(query, by="created_at", cursor=cursor)


def get(*, caller: Caller, endpoint_id: uuid.UUID) -> WebhookEndpoint:
    """An endpoint of an organisation that the caller administers. Raises `NotFound`, `Forbidden`."""
    return _of(caller, endpoint_id)


@transaction.atomic
def create(*, caller: Caller, organization_id: str, fields: Mapping[str, Any], secret: str = "") -> tuple[WebhookEndpoint, str]:
    """Registers an endpoint, which the caller owns, and its secret (empty: a new one), which is told this once.

    Raises `InvalidRequest` that says what is wrong, `NotFound`, `Forbidden`, `TooMany`.
    """
    organization = _administered(caller, own_organization(caller, organization_id))
    # One at a time: two requests must not both be the last that fits.
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    count = WebhookEndpoint.objects.filter(organization=organization).count()
    if count >= conf.WEBHOOK_ENDPOINTS_MAX:
        raise TooMany(f"An organisation has at most {conf.WEBHOOK_ENDPOINTS_MAX} webhooks. Delete one first.", retry_after=60)
    secret = secret or webhook_signatures.new_secret()
    webhook_signatures.check_secret(secret)
    endpoint = WebhookEndpoint(organization=organization, owner_id=caller.pk, since=_now(), sealed_secret=seal(secret))
    _set(endpoint, fields)
    endpoint.save(force_insert=True)
    if not count:
        # Nobody has read on meanwhile. From the beginning: what is older than the endpoint is not told anyway.
        WebhookPosition.objects.update_or_create(organization=organization, defaults={"cursor": "0-0"})
    return endpoint, secret


@transaction.atomic
def change(*, caller: Caller, endpoint_id: uuid.UUID, fields: Mapping[str, Any]) -> WebhookEndpoint:
    """Changes an endpoint. Switched on again it goes on with what waits, then with what happens next. Raises as `create`."""
    endpoint = _of(caller, endpoint_id, for_change=True)
    was_enabled = endpoint.enabled
    _set(endpoint, fields)
    if endpoint.enabled and not was_enabled:
        _begin_anew(endpoint)
    endpoint.save()
    return endpoint


@transaction.atomic
def delete(*, caller: Caller, endpoint_id: uuid.UUID) -> None:
    """Deletes an endpoint and its deliveries. Raises `NotFound`, `Forbidden`."""
    # Not locked first: its deliveries go before it, in the order in which a worker that notes an outcome takes both.
    _of(caller, endpoint_id).delete()


@transaction.atomic
def rotate(*, caller: Caller, endpoint_id: uuid.UUID, secret: str = "", at_once: bool = False) -> tuple[WebhookEndpoint, str]:
    """Gives an endpoint a new secret (empty: made here), which is told this once.

    The old one signs beside it for WEBHOOK_ROTATION_HOURS; `at_once`, as for one that leaked: not any more.
    Raises `InvalidRequest`, `NotFound`, `Forbidden`.
    """
    endpoint = _of(caller, endpoint_id, for_change=True)
    secret = secret or webhook_signatures.new_secret()
    webhook_signatures.check_secret(secret)
    endpoint.sealed_old_secret = "" if at_once else endpoint.sealed_secret
    endpoint.old_secret_until = None if at_once else timezone.now() + timedelta(hours=conf.WEBHOOK_ROTATION_HOURS)
    endpoint.sealed_secret = seal(secret)
    endpoint.save()
    return endpoint, secret


@transaction.atomic
def switch_on(endpoint: WebhookEndpoint) -> bool:
    """Switches an endpoint on; False when it was on."""
    found = WebhookEndpoint.objects.select_for_update().filter(pk=endpoint.pk, enabled=False).first()
    if found is None:
        return False
    found.enabled = True
    _begin_anew(found)
    found.save()
    return True


def _begin_anew(endpoint: WebhookEndpoint) -> None:
    """What happened while it was off is not told, and what failed is forgotten."""
    endpoint.since, endpoint.failing_since, endpoint.off_reason = _now(), None, ""


@transaction.atomic
def switch_off(endpoint: WebhookEndpoint, *, reason: str) -> None:
    """Switches an endpoint off, not at its owner's wish; he is told, once."""
    rows = WebhookEndpoint.objects.filter(pk=endpoint.pk, enabled=True)
    if rows.update(enabled=False, off_reason=reason[:LONGEST_REASON]):
        change = EndpointOff(endpoint.organization_id, endpoint.owner_id, str(endpoint.pk), str(endpoint), reason)
        endpoint_switched_off.send(sender=WebhookEndpoint, change=change)


def _administered(caller: Caller, organization: Organization) -> Organization:
    if not is_admin(caller, organization):
        raise Forbidden("Only admins of the organisation see and change its webhooks.")
    return organization


def _of(caller: Caller, endpoint_id: uuid.UUID, *, for_change: bool = False) -> WebhookEndpoint:
    query = WebhookEndpoint.objects.select_related("organization", "owner").filter(pk=endpoint_id)
    if not caller.is_staff:
        query = query.filter(organization__memberships__user_id=caller.pk)
    found = (query.select_for_update(of=("self",)) if for_change else query).first()
    if found is None:
        raise NotFound("There is no webhook with this id that you may see.")
    _administered(caller, found.organization)
    return found


def _now() -> datetime:
    """Events know the time in milliseconds only: one that follows at once must not seem to be older."""
    now = timezone.now()
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _set(endpoint: WebhookEndpoint, fields: Mapping[str, Any]) -> None:
    for name in FIELDS:
        if name in fields:
            setattr(endpoint, name, storable(fields[name]))
    _check_url(endpoint.url)
    if len(endpoint.description) > LONGEST_NAME:
        raise InvalidRequest(f"description: at most {LONGEST_NAME} characters.")
    if endpoint.form not in WebhookEndpoint.Form.values:
        raise InvalidRequest(f"form must be one of {', '.join(WebhookEndpoint.Form.values)}, not {endpoint.form!r}.")
    endpoint.patterns = list(dict.fromkeys(endpoint.patterns or []))
    _check_patterns(endpoint)


def _check_url(url: str) -> None:
    """What is wrong already on the face of it. Where a name leads is looked at when it is called."""
    try:
        parts = split_url(url)
    except BadAddress as error:
        raise InvalidRequest(f"url: {error}") from None
    if conf.WEBHOOK_ALLOW_PRIVATE_ADDRESSES:
        return
    if parts.scheme != "https":
        raise InvalidRequest("url must begin with https://. Operators can allow http: WEBHOOK_ALLOW_PRIVATE_ADDRESSES.")
    try:
        is_private = not is_public(parts.hostname or "")
    except ValueError:
        return  # a name
    if is_private:
        raise InvalidRequest("url is in a private network. Operators can allow it: WEBHOOK_ALLOW_PRIVATE_ADDRESSES.")


def _check_patterns(endpoint: WebhookEndpoint) -> None:
    own = endpoint.organization.public_id
    if not 1 <= len(endpoint.patterns) <= conf.WEBHOOK_PATTERNS_MAX:
        raise InvalidRequest(
            f"patterns: 1 to {conf.WEBHOOK_PATTERNS_MAX}; events.{own}.*.*.*.* is everything that happens in the organisation."
        )
    for each in endpoint.patterns:
        organization = parse_pattern(each).organization
        if organization not in (WILDCARD, own):
            raise InvalidRequest(f"patterns: a webhook of {own} is about its events, not those of {organization!r}.")
