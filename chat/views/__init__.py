"""Addresses of chat: they read requests, call services, and answer."""
