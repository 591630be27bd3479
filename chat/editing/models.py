"""Documents that are edited, and every version of them that is kept."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models


class EditedDocument(models.Model):
    """An HTML document under change. `head` is the number of the version in force. The people of its conversation may edit it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="edited_documents")
    conversation = models.ForeignKey(
        "chat.Conversation", null=True, blank=True, on_delete=models.CASCADE, related_name="edited_documents"
    )
    title = models.CharField(max_length=200, blank=True)
    head = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["owner", "-updated_at"], name="edited_document_of_owner")]

    def __str__(self) -> str:
        return self.title or str(self.pk)


class DocumentVersion(models.Model):
    """The whole HTML at one time, its chunks as `[id, start, end, tag]` rows, and how it came about. Never changed.

    `turn`: the turn of the conversation that it belongs to. `restored`: for a revert, the number of the version that it repeats.
    """

    class Origin(models.TextChoices):
        """How it came about."""

        IMPORTED = "imported"
        CHANGED = "changed"
        REVERTED = "reverted"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    document = models.ForeignKey(EditedDocument, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    origin = models.CharField(max_length=16, choices=Origin.choices)
    html = models.TextField(blank=True)
    chunks = models.JSONField(default=list)
    batch_id = models.CharField(max_length=64, null=True, blank=True)  # null, not empty: of no batch
    changes = models.JSONField(default=list, blank=True)
    summary = models.TextField(blank=True)
    restored = models.PositiveIntegerField(null=True, blank=True)
    turn = models.PositiveIntegerField(null=True, blank=True)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    run = models.ForeignKey("chat.Run", null=True, blank=True, on_delete=models.SET_NULL, related_name="document_versions")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["document", "number"], name="document_version_once"),
            models.UniqueConstraint(fields=["document", "batch_id"], name="document_batch_once"),
        ]

    def __str__(self) -> str:
        return f"{self.document_id} v{self.number}"
