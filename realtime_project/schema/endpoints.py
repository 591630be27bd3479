"""Which addresses the OpenAPI document has: views of Django REST framework, and those marked with `stream_endpoint`."""

from typing import Any

from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator
from rest_framework.views import APIView


def as_api_view(view: Any) -> Any:
    """A stand-in for an async view, with the same description: drf-spectacular knows classes only. It is never called."""
    methods = {name.lower(): view for name in view.stream_methods}
    named: dict[str, Any] = {"__module__": view.__module__, "error_shape": view.error_shape, "is_stream": True}
    stand_in: type[APIView] = type(view.__name__, (APIView,), methods | named)
    return stand_in.as_view()


class Endpoints(EndpointEnumerator):
    """All of them, from the URL table."""

    def _get_api_endpoints(self, patterns: Any, prefix: str) -> list[tuple[str, str, str, Any]]:
        found: list[tuple[str, str, str, Any]] = super()._get_api_endpoints(patterns, prefix)
        for pattern in patterns or self.patterns or ():
            view: Any = getattr(pattern, "callback", None)
            if hasattr(view, "stream_methods"):
                route = prefix + str(pattern.pattern)
                path, stand_in = self.get_path_from_regex(route), as_api_view(view)
                found += [(path, route, method, stand_in) for method in view.stream_methods if method != "HEAD"]
        return found


class Generator(SchemaGenerator):
    """Writes the document from them."""

    endpoint_inspector_cls = Endpoints
