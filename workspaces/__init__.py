"""Where users of one organisation work together."""
