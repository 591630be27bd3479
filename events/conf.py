"""Settings of the engine."""

from accounts.conf import AppSettings


class EventsSettings(AppSettings):
    """What the engine can be told."""

    ENABLE_SSE_PUSH: bool = True
    """False: the user feed says so and ends, and publishers do nothing."""

    SSE_KEEPALIVE_SECONDS: float = 15.0
    """Pause between keep-alive comments on an open stream, in seconds."""

    EVENTS_STREAM_MAXLEN: int = 1000
    """About how many events a backlog stream keeps in the broker; those of organisations have a limit of their own."""

    EVENTS_TOPIC_MAXLEN: int = 10_000
    """About how many events the stream of an organisation's topics keeps in Redis; on NATS NATS_TOPICS_MAX limits all of them."""

    EVENTS_REPLAY_MAX_AGE_HOURS: int = 48
    """How long the events of a backlog stream are kept, in hours."""

    EVENTS_REPLAY_MAX_PER_REQUEST: int = 200
    """How many events of a backlog one user-feed request replays before it ends."""

    SSE_MAX_CONCURRENT_PER_USER: int = 8
    """Open event streams per user; 0: no limit."""

    EVENTS_SLOT_SECONDS: float = 30.0
    """How long a connection slot outlives a process that died, in seconds."""

    EVENTS_REPLAY_BUDGET_REQUESTS_PER_WINDOW: int = 30
    """Replays per user and window; refused requests do not count; 0: no limit."""

    EVENTS_REPLAY_BUDGET_WINDOW_SECONDS: float = 60.0
    """Length of the sliding window of the replay budget, in seconds."""

    AUTH_RECHECK_SECONDS: float = 30.0
    """How often the credential behind an open stream is checked again, in seconds."""

    EVENTS_PUBLISH_MAX: int = 100
    """Most events in one request to `POST /api/v1/events`."""

    EVENTS_PUBLISH_ONCE_SECONDS: int = 300
    """How long the idempotency_key of a published event is remembered, in seconds."""

    HTTP_BODY_MAX_BYTES: int = 80 * 1024 * 1024
    """Largest request body accepted by any address, uploads included, in bytes; most accept far less."""

    EVENT_MAX_BYTES: int = 65536
    """Largest event accepted, in bytes of its JSON."""

    EVENTS_KEY_PREFIX: str = "tl"
    """What every key in the broker begins with."""

    EVENT_BROKER: str = "redis"
    """Where events are kept while they are hot: redis (Redis 7 or Valkey, at REDIS_URL) or nats (JetStream, at NATS_URL)."""

    REDIS_CLUSTER: bool = False
    """Whether REDIS_URL names a server of a Redis Cluster, or all of them: then each stream is at the server of its slot."""

    NATS_REPLICAS: int = 1
    """On how many servers of a NATS cluster each event is stored: 1, 3 or 5."""

    NATS_TOPICS_MAX: int = 1_000_000
    """Most events on the topics of all organisations together that NATS keeps; the oldest are removed."""

    EVENTS_HOT_SECONDS: int = 3600
    """How long an ended durable stream stays in the broker, in seconds."""

    EVENTS_SWEEP_SECONDS: float = 3.0
    """Pause between comparisons of every watched stream with the log, in seconds."""

    EVENTS_RING_EVENTS: int = 256
    """How many recent events of a watched stream a process keeps in memory."""

    EVENTS_READ_BATCH: int = 512
    """How many events one read takes from one stream."""

    EVENTS_THREADS: int = 4
    """Threads per process that run the synchronous parts of requests."""

    JOURNAL_FLUSH_MS: int = 250
    """Longest time an event of a durable stream waits before it is journaled, in milliseconds."""

    JOURNAL_FLUSH_EVENTS: int = 128
    """How many waiting events of one stream are journaled at once, without waiting longer."""

    SOCKET_AUTH_SECONDS: float = 10.0
    """How long a WebSocket that came without credentials has to send its `auth` frame, in seconds."""

    SOCKET_EXPIRY_WARNING_SECONDS: float = 30.0
    """How long before the end of its credential a WebSocket is told `token_expiring`, in seconds."""

    SOCKET_FRAME_MAX_BYTES: int = 65536
    """Largest frame that a WebSocket accepts, in bytes; a larger one closes it with 1009."""

    SOCKET_FRAMES_PER_SECOND: float = 50.0
    """Frames a second that one WebSocket may send on average; it is told of more, and closed with 4429; 0: no limit."""

    SOCKET_FRAMES_BURST: int = 200
    """Frames that one WebSocket may send at once, and frames above the rate after which it is closed."""

    SOCKET_WORK_MAX: int = 32
    """How much that one WebSocket asked for may be under way at the same time."""

    SOCKET_WRITE_TIMEOUT: float = 10.0
    """How long one frame may wait for a reader that takes nothing before its WebSocket is given up, in seconds."""

    SOCKET_EPHEMERAL_WAITING: int = 64
    """Frames that may be lost (typing, presence) and wait for one slow WebSocket; the oldest beyond are dropped."""

    SOCKETS_PER_USER: int = 100
    """Open WebSockets per user; 0: no limit."""

    SOCKET_PING_SECONDS: float = 20.0
    """Pause between the protocol's pings to a WebSocket, in seconds."""

    SOCKET_PONG_SECONDS: float = 20.0
    """How long the protocol's pong may take before a WebSocket is closed, in seconds."""

    PRESENCE_SECONDS: float = 20.0
    """How long presence and connections outlive a process that died, in seconds; they are refreshed five times as often."""

    PRESENCE_HERE_MAX: int = 500
    """Most users that a place names as being there; all are counted."""

    SOCKET_COMPRESSION: bool = False
    """Whether WebSockets may be compressed (permessage-deflate): less traffic, for far more time and memory per connection."""

    TOPIC_SEGMENTS_MAX: int = 16
    """Most segments of a topic or pattern: six, and two for each filter."""

    TOPICS_PER_CONNECTION: int = 128
    """Most patterns that one connection may subscribe to."""

    TOPIC_ORGANIZATIONS_MAX: int = 20
    """Most organisations that the patterns of one connection may cover."""

    TOPIC_ANSWERS_MAX: int = 32
    """Most running answers whose `message_stream` one connection is told at the same time."""

    TOPIC_WAITING_MAX: int = 64
    """Matched events that wait in memory for one connection and organisation; with more it reads on from the log."""

    TOPIC_CURSOR_EVENTS: int = 100
    """After so many events of an organisation that a connection did not ask for it is told its new cursor."""

    TOPIC_ACCESS_SECONDS: float = 5.0
    """How long it is remembered that somebody may see the events of a resource, or may not, in seconds."""

    TOPIC_RESERVED_SOURCES: list[str] = ["conversations", "tasks"]  # noqa: RUF012 - a declaration, never mutated
    """Sources that this server publishes itself: only staff accounts and API keys may publish events of them."""

    TOPIC_PUBLISH_MAX: int = 100
    """Most events in one request to `POST /api/v1/topics/publish`."""

    TOPIC_PUBLISH_MAX_BYTES: int = 1024 * 1024
    """Largest body of `POST /api/v1/topics/publish`, in bytes."""

    WEBHOOK_MAX_BYTES: int = 262_144
    """Largest body accepted at `/hooks/`, in bytes; the event in it may have EVENT_MAX_BYTES."""

    WEBHOOK_TOLERANCE_SECONDS: float = 300.0
    """How far the time of sending of a signed webhook may be from ours, in seconds."""

    WEBHOOK_ONCE_SECONDS: int = 86_400
    """How long the id of a webhook is remembered, so that it is published once only, in seconds."""

    WEBHOOK_ENDPOINTS_MAX: int = 50
    """Most endpoints of one organisation."""

    WEBHOOK_PATTERNS_MAX: int = 50
    """Most patterns of one endpoint."""

    WEBHOOK_ALLOW_PRIVATE_ADDRESSES: bool = False
    """Whether endpoints may be on this machine or in a private network, and over http: for development and closed networks."""

    WEBHOOK_LOOK_SECONDS: float = 1.0
    """Pause between looks of the worker for new events that endpoints are told, and for deliveries that are due, in seconds."""

    WEBHOOK_SEND_SECONDS: float = 15.0
    """How long an endpoint may take to answer, in seconds."""

    WEBHOOK_ANSWER_MAX_BYTES: int = 1024
    """How much of an endpoint's answer is read and kept, in bytes."""

    WEBHOOK_SENDING_MAX: int = 50
    """Most deliveries that one worker sends at the same time."""

    WEBHOOK_SENDING_PER_ENDPOINT: int = 10
    """Most deliveries that all workers together send to one endpoint at the same time; 1 keeps them in order until one fails."""

    WEBHOOK_LEASE_SECONDS: float = 60.0
    """After how long another worker takes over a delivery whose worker died, in seconds; at least WEBHOOK_SEND_SECONDS and 5."""

    WEBHOOK_ATTEMPTS_MAX: int = 10
    """How often a delivery is tried before it is dead, and waits for somebody to have it sent again."""

    WEBHOOK_RETRY_SECONDS: float = 5.0
    """Pause before the second attempt, in seconds; each further pause is four times as long, and all are up to a fifth longer."""

    WEBHOOK_RETRY_MAX_SECONDS: float = 86_400.0
    """Longest pause before an attempt, in seconds, also of those that an endpoint asks for with Retry-After."""

    WEBHOOK_OFF_HOURS: float = 120.0
    """After how long without any success an endpoint is switched off, in hours; its owner is told."""

    WEBHOOK_ROTATION_HOURS: float = 24.0
    """How long the secret before the present one still signs, in hours."""

    WEBHOOK_RETENTION_DAYS: int = 30
    """How long deliveries to endpoints are kept, in days."""

    MESSAGE_EVENTS_RETENTION_DAYS: int = 14
    """How long the journal of an ended stream is kept, in days."""


conf = EventsSettings()
