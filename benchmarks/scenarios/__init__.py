"""The scenarios: each module has `scenario`, which the command line finds by its name."""

from benchmarks.scenarios import answers, catch_up, day, drop, fan_out, latency, memory, retrieval, topic_load, topics
from benchmarks.scenarios.base import Scenario

SCENARIOS: list[Scenario] = [
    fan_out.scenario,
    fan_out.smaller,
    fan_out.sockets,
    latency.scenario,
    memory.scenario,
    catch_up.scenario,
    drop.scenario,
    answers.scenario,
    retrieval.scenario,
    topics.scenario,
    topic_load.scenario,
    day.scenario,
]
