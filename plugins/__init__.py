"""Connections to MCP servers: a user hands his authorization over by OAuth, and is told on his feed how it goes."""
