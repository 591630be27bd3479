"""What requests about sources must look like."""

import pytest
from rest_framework.serializers import ValidationError

from knowledge.serializers import MOST_METADATA, MetadataField


@pytest.mark.parametrize("value", [{}, {"mood": "\U0001f600", "year": 2026}, '{"a": [1, null]}'])
def test_metadata_is_an_object_of_any_characters(value):
    assert isinstance(MetadataField().to_internal_value(value), dict)


@pytest.mark.parametrize(
    "value",
    [
        [],
        "[1]",
        "{",
        {"a": "\x00"},
        {"a": "\ud83d"},
        {"\ude00": 1},
        {"a": float("nan")},
        {"a": [float("inf")]},
        {"a": "x" * MOST_METADATA},
    ],
)
def test_metadata_that_no_store_or_client_can_hold_is_refused(value):
    with pytest.raises(ValidationError):
        MetadataField().to_internal_value(value)
