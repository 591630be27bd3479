"""The scenarios: each module has `scenario`, which the command line finds by its name."""

from benchmarks.scenarios import catch_up, fan_out, latency, memory
from benchmarks.scenarios.base import Scenario

SCENARIOS: list[Scenario] = [fan_out.scenario, latency.scenario, memory.scenario, catch_up.scenario]
