"""The engine: streams, the log, the hub, feeds."""
