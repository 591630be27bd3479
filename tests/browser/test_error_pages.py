"""The pages for what went wrong."""

import pytest
from django.template.loader import render_to_string


@pytest.mark.parametrize("name", ["403.html", "403_csrf.html", "404.html", "500.html"])
def test_error_page_needs_nothing_and_leads_back(name: str) -> None:
    """Django renders 500.html without a context, and perhaps without a database."""
    html = render_to_string(name)
    assert "<h1>" in html
    assert 'href="/"' in html
    assert "{%" not in html
