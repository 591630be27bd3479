"""What pages of the admin share that are to be looked at only."""

from functools import cached_property
from typing import Any, ClassVar

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # not generic when it runs
    """Counts so far and no further: a whole count of a table with many millions of rows takes minutes."""

    most = 100_000

    @cached_property
    def count(self) -> int:
        """The number of rows, at most `most`."""
        rows: Any = self.object_list
        return int(rows.order_by()[: self.most].count())


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic when it runs
    """History: to be looked at, never added to, changed or deleted. Counts of large tables are capped."""

    show_full_result_count = False
    paginator = CappedPaginator
    list_per_page = 50
    matching: ClassVar[Any] = None
    """What the search box finds, if not by `search_fields`: a `staticmethod` of rows and a text that gives those that fit."""

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        """By `matching`, else as Django does."""
        if self.matching is None:
            return super().get_search_results(request, queryset, search_term)
        return self.matching(queryset, search_term.strip()), False

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Never."""
        return False
