"""Topics: names in a hierarchy that are subscribed to by patterns, over one organisation's stream (seed 001)."""
