"""What `/metrics` tells about the engine (Prometheus)."""

from prometheus_client import Counter, Gauge, Histogram

OPEN_FEEDS = Gauge("throughline_open_feeds", "Open feeds.", ["kind"], multiprocess_mode="livesum")
WATCHED_STREAMS = Gauge("throughline_watched_streams", "Streams that some feed watches.", multiprocess_mode="livesum")
APPENDED = Counter("throughline_events_appended_total", "Events appended to the broker.", ["kind"])
DELIVERED = Counter("throughline_events_delivered_total", "Events handed to readers (joined ones count once).", ["kind"])
DELIVERY_LAG = Histogram(
    "throughline_delivery_lag_seconds",
    "From the making of an event to its arrival in a process's ring.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
HUB_READS = Counter("throughline_hub_reads_total", "Pipelined reads of the hub.")
LOG_READS = Counter("throughline_log_reads_total", "Reads that the ring could not serve.", ["tier"])
JOURNAL_LAG = Gauge("throughline_journal_lag_seconds", "Age of the oldest event not yet journaled.", multiprocess_mode="livemax")
JOURNAL_WAITING = Gauge("throughline_journal_waiting_events", "Events not yet journaled.", multiprocess_mode="livesum")
REFUSALS = Counter("throughline_refusals_total", "Requests refused.", ["reason"])
OPEN_SOCKETS = Gauge("throughline_open_sockets", "Open WebSockets.", multiprocess_mode="livesum")
SOCKET_FRAMES_IN = Counter("throughline_socket_frames_received_total", "Frames that WebSockets received.")
SOCKET_FRAMES_OUT = Counter("throughline_socket_frames_sent_total", "Frames that WebSockets were sent.")
SOCKET_CLOSES = Counter(
    "throughline_socket_closes_total", "WebSockets that ended, by close code; blocked: its reader took nothing.", ["code"]
)
PRESENCE_ENTRIES = Gauge(
    "throughline_presence_entries",
    "Connections that are in a place; one may be in several.",
    ["kind"],
    multiprocess_mode="livesum",
)
OPEN_CONNECTIONS = Gauge(
    "throughline_open_connections", "Open connections, by transport and kind.", ["transport", "kind"], multiprocess_mode="livesum"
)
COMMANDS_OBEYED = Counter("throughline_commands_total", "Commands to this server's processes that were obeyed.", ["type"])
TASKS = Gauge(
    "throughline_tasks",
    "Tasks of the event loop: they follow the connections, and do not outlive them.",
    multiprocess_mode="livesum",
)
THREADS = Gauge(
    "throughline_threads", "Threads: a fixed number, however many connections there are.", multiprocess_mode="livesum"
)
WEBHOOK_EVENTS = Counter("throughline_webhook_events_total", "Events compared with the patterns of webhooks.")
WEBHOOK_ATTEMPTS = Counter(
    "throughline_webhook_attempts_total",
    "Attempts to post an event to a webhook, by what came of the delivery (delivered, failed, dead, taken_over).",
    ["outcome"],
)
WEBHOOK_SECONDS = Histogram(
    "throughline_webhook_seconds",
    "How long one attempt took, until the webhook answered or was given up.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30),
)
