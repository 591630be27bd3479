"""Webhooks: requests from outside that become events on topics, and events on topics that are posted to others."""
