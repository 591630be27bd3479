"""What `/metrics` tells about runs (Prometheus)."""

from prometheus_client import Counter, Gauge

RUNS = Gauge("throughline_runs", "Open runs by status.", ["status"], multiprocess_mode="mostrecent")
DRIVEN = Gauge("throughline_runs_driven", "Runs that this worker drives.", multiprocess_mode="livesum")
ENDED = Counter("throughline_runs_ended_total", "Runs ended, by status and error code.", ["status", "code"])
