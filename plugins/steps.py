"""The steps of a connection in the database: each happens at most once, and is told with its transaction."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.digests import digest
from events.event import storable
from events.sealing import Unreadable, seal, unseal
from plugins.announcing import announce, told_tools
from plugins.conf import conf
from plugins.discovery import AuthorizationServer
from plugins.mcp import Tool
from plugins.models import Connection
from plugins.oauth import Client, Tokens

Status, Step = Connection.Status, Connection.Step

STALE = timedelta(minutes=5)
"""A worker that has not come to an end after so long has died."""

LONGEST_ERROR = 1024
MESSAGES = {Step.PREPARE: "Connecting to {}.", Step.FINISH: "Approved. Finishing the connection to {}."}
DIED = "The server stopped while it made this connection. Begin it anew."
NOT_APPROVED = "Nobody approved the connection in time. Begin it anew."
SEALED_OTHERWISE = "What was kept of this connection cannot be read: SECRET_KEY was changed meanwhile. Begin it anew."


@dataclass(frozen=True, slots=True)
class Plan:
    """A connection that this worker goes on with."""

    connection_id: uuid.UUID
    step: str
    server_url: str
    redirect_uri: str
    server: AuthorizationServer | None
    client: Client | None
    scopes: str
    verifier: str
    code: str

    def __repr__(self) -> str:
        return f"Plan({self.connection_id}, {self.step})"


@transaction.atomic
def begin(*, connection_id: uuid.UUID) -> Plan | None:
    """Makes a queued connection this worker's and tells so; None when it is not queued any more."""
    connection = _locked().filter(pk=connection_id, status=Status.QUEUED).first()
    if connection is None:
        return None
    try:
        plan = _plan(connection)
    except Unreadable:
        end_failed(connection, SEALED_OTHERWISE)
        return None
    connection.status = Status.IN_PROGRESS
    # A code is good once: whatever becomes of it now, it is not needed again.
    connection.sealed_code = ""
    connection.save()
    announce(connection=connection, step="in_progress", message=MESSAGES[Step(connection.step)].format(connection.name))
    return plan


def _plan(connection: Connection) -> Plan:
    server = None
    if connection.authorization_endpoint:
        server = AuthorizationServer(
            issuer=connection.issuer,
            authorization_endpoint=connection.authorization_endpoint,
            token_endpoint=connection.token_endpoint,
        )
    secret = unseal(connection.sealed_client_secret)
    return Plan(
        connection_id=connection.pk,
        step=connection.step,
        server_url=connection.server_url,
        redirect_uri=connection.redirect_uri,
        server=server,
        client=Client(connection.client_id, secret, connection.client_auth) if connection.client_id else None,
        scopes=connection.scopes,
        verifier=unseal(connection.sealed_verifier),
        code=unseal(connection.sealed_code),
    )


def _locked() -> QuerySet[Connection]:
    return Connection.objects.select_for_update(of=("self",)).select_related("owner")


def _held(plan: Plan) -> Connection | None:
    """The connection, locked, unless it was deleted or given up meanwhile."""
    return _locked().filter(pk=plan.connection_id, status=Status.IN_PROGRESS, step=plan.step).first()


@transaction.atomic
def await_redirect(
    *, plan: Plan, server: AuthorizationServer, client: Client, scopes: str, state: str, verifier: str, url: str
) -> None:
    """Keeps what is needed once the user has approved, and tells him where to."""
    connection = _held(plan)
    if connection is None:
        return
    connection.status = Status.AWAITING_REDIRECT
    connection.issuer, connection.names_issuer = server.issuer, server.names_issuer
    connection.authorization_endpoint, connection.token_endpoint = server.authorization_endpoint, server.token_endpoint
    connection.client_id, connection.client_auth = client.id, client.auth
    connection.sealed_client_secret, connection.sealed_verifier = seal(client.secret), seal(verifier)
    connection.scopes = scopes
    connection.state_digest = digest(state)
    connection.state_expires_at = timezone.now() + timedelta(seconds=conf.PLUGINS_APPROVAL_SECONDS)
    connection.save()
    message = f"Approve the connection to {connection.name}."
    announce(connection=connection, step="awaiting_redirect", message=message, authorization_url=url)


@transaction.atomic
def complete(*, plan: Plan, tokens: Tokens | None, tools: Sequence[Tool]) -> None:
    """Keeps tokens (None: the server wants none) and tools, and tells so."""
    connection = _held(plan)
    if connection is None:
        return
    connection.status, connection.error = Status.COMPLETED, ""
    connection.tools = storable(list(tools))
    connection.sealed_verifier = ""
    if tokens is not None:
        connection.sealed_access_token, connection.sealed_refresh_token = seal(tokens.access), seal(tokens.refresh)
        connection.scopes = storable(tokens.scopes[:2000]) or connection.scopes
        if tokens.expires_in is not None:
            connection.expires_at = timezone.now() + timedelta(seconds=tokens.expires_in)
    connection.save()
    announce(connection=connection, step="completed", tools=told_tools(tools), tools_count=len(tools))


@transaction.atomic
def fail(*, plan: Plan, error: str) -> None:
    """Ends it, unless it has ended or was deleted."""
    connection = _held(plan)
    if connection is not None:
        end_failed(connection, error)


def end_failed(connection: Connection, error: str) -> None:
    """Ends a locked connection in the caller's transaction, forgets its secrets, and tells so."""
    connection.status, connection.error = Status.FAILED, storable(error)[:LONGEST_ERROR]
    connection.state_digest = None
    connection.sealed_verifier = connection.sealed_code = ""
    connection.save()
    announce(connection=connection, step="failed", error=connection.error)


def sweep() -> int:
    """Ends what a worker left when it died, and what nobody approved in time; how many."""
    now = timezone.now()
    left = Q(status__in=Connection.WORKING, updated_at__lt=now - STALE)
    not_approved = Q(status=Status.AWAITING_REDIRECT, state_expires_at__lt=now)
    count = 0
    for pk in list(Connection.objects.filter(left | not_approved).values_list("pk", flat=True)):
        with transaction.atomic():
            connection = _locked().filter(left | not_approved, pk=pk).first()
            if connection is not None:
                end_failed(connection, NOT_APPROVED if connection.status == Status.AWAITING_REDIRECT else DIED)
                count += 1
    return count
