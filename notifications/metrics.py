"""What `/metrics` tells about notifications (Prometheus)."""

from prometheus_client import Counter, Gauge

EVALUATED = Counter("throughline_notification_events_total", "Events compared with notification rules.")
DELIVERED = Counter(
    "throughline_notification_deliveries_total",
    "Deliveries and digests tried, by channel and outcome (sent, skipped, failed, dead).",
    ["channel", "outcome"],
)
LAG = Gauge(
    "throughline_notification_lag_seconds",
    "Age of the oldest event not yet compared with notification rules.",
    multiprocess_mode="livemax",
)
MISSED = Counter(
    "throughline_notification_gaps_total",
    "Times that events of an organisation were gone before they were compared with notification rules, by reason.",
    ["reason"],
)
