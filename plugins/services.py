"""What users do with connections, and what comes back from authorization servers with their browsers."""

import uuid
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts.caller import Caller
from accounts.digests import digest
from events.addresses import BadAddress, split_url
from events.event import storable
from events.exceptions import Conflict, InvalidRequest, NotFound
from events.paging import page
from events.sealing import seal
from plugins import steps
from plugins.conf import conf
from plugins.jobs import defer_connecting
from plugins.models import Connection

LONGEST_CODE = 8192
Status = Connection.Status

UNKNOWN_STATE = "This link is not known, or was used already. Begin the connection anew."
EXPIRED = "The approval came too late. Begin the connection anew."
WRONG_ISSUER = (
    "The answer came from another authorization server than the one that was asked (RFC 9207). Begin the connection anew."
)
WRONG_USER = "The approval came from the browser of another user than the one who began the connection."


@dataclass(frozen=True, slots=True)
class NewConnection:
    """A connection that a user wants. The endpoints are given both, or neither to have them found out."""

    name: str
    server_url: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    client_id: str = ""
    client_secret: str = ""
    scopes: str = ""


@dataclass(frozen=True, slots=True)
class Approval:
    """What an authorization server sent back through a browser (RFC 6749 section 4.1.2, RFC 9207).

    `user_pk`: who is logged in there; None: nobody.
    """

    state: str
    code: str = ""
    error: str = ""
    description: str = ""
    issuer: str = ""
    user_pk: int | None = None


def create(*, caller: Caller, new: NewConnection, redirect_uri: str) -> Connection:
    """Keeps a new connection and has a worker begin with it. Raises `InvalidRequest` and `Conflict`."""
    for name in ("server_url", "authorization_endpoint", "token_endpoint"):
        _check_address(name, getattr(new, name))
    if bool(new.authorization_endpoint) != bool(new.token_endpoint):
        raise InvalidRequest("Give authorization_endpoint and token_endpoint both, or neither to have them found out.")
    if new.authorization_endpoint and not new.client_id:
        raise InvalidRequest("With endpoints of your own, give the client_id that their server knows us as.")
    most = conf.PLUGINS_CONNECTIONS_PER_USER
    if most and Connection.objects.filter(owner_id=caller.pk).count() >= most:
        raise Conflict(f"You have {most} connections, the most that one user may have. Delete some first.")
    with transaction.atomic():
        connection = Connection.objects.create(
            owner_id=caller.pk,
            name=new.name,
            server_url=new.server_url,
            redirect_uri=redirect_uri,
            authorization_endpoint=new.authorization_endpoint,
            token_endpoint=new.token_endpoint,
            client_id=new.client_id,
            client_auth="client_secret_basic" if new.client_secret else "",
            sealed_client_secret=seal(new.client_secret),
            scopes=new.scopes,
        )
        defer_connecting(connection.pk)
    return connection


def _check_address(name: str, url: str) -> None:
    if not url and name != "server_url":
        return
    try:
        split_url(url)
    except BadAddress as error:
        raise InvalidRequest(f"{name}: {error}") from None


def get(*, caller: Caller, connection_id: uuid.UUID) -> Connection:
    """One of the caller's; raises `NotFound` also when it is someone else's."""
    found = Connection.objects.filter(pk=connection_id, owner_id=caller.pk).first()
    if found is None:
        raise NotFound("There is no such connection.")
    return found


def list_connections(*, caller: Caller, cursor: str) -> tuple[list[Connection], str | None]:
    """One page, newest first, after `cursor` (empty: the newest), and the cursor of the next page."""
    return page(Connection.objects.filter(owner_id=caller.pk), by="created_at", cursor=cursor)


def delete(*, caller: Caller, connection_id: uuid.UUID) -> None:
    """Deletes it with its tokens; what a worker does for it comes to nothing."""
    get(caller=caller, connection_id=connection_id).delete()


@transaction.atomic
def receive(*, approval: Approval) -> Connection:
    """Takes what came back for a `state`, once: a worker goes on with the connection, or it has failed.

    Raises `NotFound` for a state that is unknown or was used.
    """
    connection = (
        Connection.objects.select_for_update(of=("self",))
        .select_related("owner")
        .filter(state_digest=digest(approval.state), status=Status.AWAITING_REDIRECT)
        .first()
    )
    if connection is None:
        raise NotFound(UNKNOWN_STATE)
    connection.state_digest = None
    problem = _problem(connection, approval)
    if problem:
        steps.end_failed(connection, problem)
        return connection
    connection.status, connection.step = Status.QUEUED, Connection.Step.FINISH
    connection.sealed_code = seal(storable(approval.code))
    connection.save()
    defer_connecting(connection.pk)
    return connection


def _problem(connection: Connection, approval: Approval) -> str:
    if connection.state_expires_at is None or connection.state_expires_at <= timezone.now():
        return EXPIRED
    # Whoever sends his link to another would get that one's tokens. Without a log-in there is nobody to compare.
    if approval.user_pk is not None and approval.user_pk != connection.owner_id:
        return WRONG_USER
    is_named = bool(approval.issuer) or connection.names_issuer
    if connection.issuer and is_named and not constant_time_compare(approval.issuer, connection.issuer):
        return WRONG_ISSUER
    if approval.error:
        return f"The authorization server refused: {' '.join(f'{approval.error} {approval.description}'.split())}"
    if not 0 < len(approval.code) <= LONGEST_CODE:
        return "The authorization server sent no usable code."
    return ""
