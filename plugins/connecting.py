"""What a worker does for connections: all that speaks to other people's servers. Nothing of it runs in a web process."""

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial

from django.db import InterfaceError, OperationalError

from accounts.threads import in_thread
from events.addresses import BadAddress
from plugins import discovery, mcp, oauth, steps
from plugins.conf import conf
from plugins.discovery import AuthorizationServer
from plugins.fetching import BadAnswer, FetchFailed
from plugins.mcp import NoMcpServer, Tool
from plugins.models import Connection
from plugins.oauth import Client
from plugins.steps import Plan

logger = logging.getLogger(__name__)

UNREACHABLE = (OperationalError, InterfaceError, OSError)
"""What is raised while the database is away."""

LONGEST_STEP = 6
"""How long a step may take altogether, in PLUGINS_TIMEOUT_SECONDS."""

MISTAKE = "The server failed to make this connection; the reason is in its log. Trying again may help."
NOT_REGISTERED = "The authorization server registers no clients by itself. Register one there, and give its client_id."

Ending = Callable[[], None]
"""The step in the database that follows from what was learned."""


class Connector:
    """The connections that one worker process works on, PLUGINS_CONNECTING at once. Belongs to its event loop."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(conf.PLUGINS_CONNECTING)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, connection_id: uuid.UUID) -> None:
        """Goes on with a connection, beside the jobs: a server that hangs must not hold up answers."""
        task = asyncio.create_task(self._work(connection_id), name=f"connection {connection_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, connection_id: uuid.UUID) -> None:
        async with self._room:
            try:
                await go_on(connection_id)
            except UNREACHABLE as error:
                logger.warning("Connection %s is left to the sweep: %s", connection_id, error)
            except Exception:
                logger.exception("Connection %s is left to the sweep, by a mistake of ours.", connection_id)


async def go_on(connection_id: uuid.UUID) -> None:
    """Does the next step of a queued connection; for others nothing."""
    plan = await in_thread(steps.begin, connection_id=connection_id)
    if plan is None:
        return
    step = _prepare if plan.step == Connection.Step.PREPARE else _finish
    try:
        async with asyncio.timeout(conf.PLUGINS_TIMEOUT_SECONDS * LONGEST_STEP):
            ending = await step(plan)
    except TimeoutError:
        ending = partial(steps.fail, plan=plan, error="The servers of this connection take too long to answer.")
    except (FetchFailed, BadAddress) as error:
        ending = partial(steps.fail, plan=plan, error=str(error))
    except Exception:
        logger.exception("Connection %s failed by a mistake of ours.", connection_id)
        ending = partial(steps.fail, plan=plan, error=MISTAKE)
    try:
        await in_thread(ending)
    except UNREACHABLE:
        raise
    except Exception:
        logger.exception("Connection %s could not be written.", connection_id)
        await in_thread(steps.fail, plan=plan, error=MISTAKE)


async def _prepare(plan: Plan) -> Ending:
    """Finds out where the user can approve; a server that wants no authorization is asked for its tools at once."""
    server = plan.server
    if server is None:
        answer = await mcp.knock(plan.server_url)
        if answer.status >= 500:
            raise BadAnswer(f"The server answered {answer.status}. Try again later.")
        if mcp.is_welcome(answer):
            return partial(steps.complete, plan=plan, tokens=None, tools=await _tools(plan.server_url, ""))
        server = await discovery.discover(plan.server_url, answer)
    scopes = plan.scopes or server.scopes
    client = replace(plan.client, auth=server.client_auth) if plan.client else await _register(plan, server, scopes)
    state, verifier = oauth.new_secret(), oauth.new_secret()
    url = oauth.authorization_url(
        endpoint=server.authorization_endpoint,
        client_id=client.id,
        redirect_uri=plan.redirect_uri,
        state=state,
        verifier=verifier,
        scopes=scopes,
        resource=plan.server_url,
    )
    return partial(
        steps.await_redirect, plan=plan, server=server, client=client, scopes=scopes, state=state, verifier=verifier, url=url
    )


async def _register(plan: Plan, server: AuthorizationServer, scopes: str) -> Client:
    if not server.registration_endpoint:
        raise BadAnswer(NOT_REGISTERED)
    return await oauth.register(
        registration_endpoint=server.registration_endpoint,
        redirect_uri=plan.redirect_uri,
        scopes=scopes,
        auth=server.client_auth,
    )


async def _finish(plan: Plan) -> Ending:
    """The code for tokens, then the tools."""
    if plan.server is None or plan.client is None:
        raise BadAnswer(MISTAKE)
    tokens = await oauth.exchange(
        token_endpoint=plan.server.token_endpoint,
        client=plan.client,
        code=plan.code,
        verifier=plan.verifier,
        redirect_uri=plan.redirect_uri,
        resource=plan.server_url,
    )
    return partial(steps.complete, plan=plan, tokens=tokens, tools=await _tools(plan.server_url, tokens.access))


async def _tools(url: str, token: str) -> list[Tool]:
    try:
        return await mcp.list_tools(url=url, token=token)
    except NoMcpServer:
        # The authorization is good for other things too.
        return []


def current_connector() -> Connector:
    """The connector of this worker process."""
    return _connector_of(asyncio.get_running_loop())


@lru_cache(maxsize=1)
def _connector_of(_loop: asyncio.AbstractEventLoop) -> Connector:
    return Connector()
