"""The tools that every installation has, registered. `search_sources` is added by `chat/source_search.py`, which can search."""

from plugins.tools.calculator import calculator
from plugins.tools.current_time import current_time
from plugins.tools.http_request import http_request
from plugins.tools.registry import register

register("calculator", calculator)
register("current_time", current_time)
register("http_request", http_request)
