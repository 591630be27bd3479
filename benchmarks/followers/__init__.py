"""Clients that come back after a cut as those of their system do; each program is many of them.

They print a line of JSON for what happens to each: `["open", who]` (again after each cut), `["event", who, number, ns]`
(CLOCK_MONOTONIC), `["gap", who]` (told that events may be missing).
"""
