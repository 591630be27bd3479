"""Editing without a language model: a few instructions that rules can follow, and a plain no to all others."""
