"""The interface, described for programs: OpenAPI for HTTP, AsyncAPI for sockets and event streams. Written from the code."""
