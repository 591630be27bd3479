"""What `/metrics` tells about notifications (Prometheus)."""

from prometheus_client import Counter

EVALUATED = Counter("throughline_notification_events_total", "Events compared with notification rules.")
DELIVERED = Counter(
    "throughline_notification_deliveries_total",
    "Deliveries and digests tried, by channel and outcome (sent, skipped, failed, dead).",
    ["channel", "outcome"],
)
