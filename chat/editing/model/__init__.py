"""Editing by a language model: what it is sent, how its answer is read, and what is done when that is no good."""
