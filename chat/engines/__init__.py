"""Engines: what answers a question. `registry` finds the one that is configured."""
