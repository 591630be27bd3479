"""Changes in one app that others follow though it may not know them: apps beside each other never import each other.

A signal is sent within the transaction of the change. A receiver that announces it with
`events.outbox.publish_with_commit` thus announces it if and only if it is committed, and once.
"""

from dataclasses import dataclass

from django.dispatch import Signal


@dataclass(frozen=True, slots=True)
class SourceChange:
    """That something which an organisation shares can be searched (`added`, `updated`) or was `deleted`.

    `organization_pk` is its primary key, `changed_by` the public id of the source's owner.
    """

    organization_pk: int
    source_id: str
    name: str
    action: str
    changed_by: str


source_changed = Signal()
"""Carries `change`, a `SourceChange`."""


@dataclass(frozen=True, slots=True)
class ApplicationChange:
    """That an application of an organisation was `added`, `updated` or `deleted`; fields as in `SourceChange`."""

    organization_pk: int
    application_id: str
    name: str
    action: str
    changed_by: str


application_changed = Signal()
"""Carries `change`, an `ApplicationChange`."""


@dataclass(frozen=True, slots=True)
class EndpointOff:
    """That the server switched off an endpoint of an organisation, and why; `owner_pk` None: its owner is gone."""

    organization_pk: int
    owner_pk: int | None
    endpoint_id: str
    name: str
    reason: str


endpoint_switched_off = Signal()
"""Carries `change`, an `EndpointOff`."""
