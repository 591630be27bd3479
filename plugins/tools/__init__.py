"""Tools that runs call."""
