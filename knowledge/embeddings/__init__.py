"""Texts as vectors: models by name, offline or behind an OpenAI-compatible endpoint."""
