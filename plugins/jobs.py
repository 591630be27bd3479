"""Having a worker go on with a connection."""

import uuid

from events.jobs import defer

CONNECT_TASK = "plugins.connect"
CONNECTIONS_QUEUE = "connections"


def defer_connecting(connection_id: uuid.UUID) -> None:
    """Gives a connection to a worker once the caller's transaction is committed."""
    defer(CONNECT_TASK, queue=CONNECTIONS_QUEUE, connection_id=str(connection_id))
