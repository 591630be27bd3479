"""Canonical events in, one kind of client's frames out: pure, without I/O or state of a connection."""
