"""Sources and attachments, how they were taken in, and what was made of them."""

import secrets
import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models

from accounts.models import Organization


def new_storage_key() -> str:
    """An unguessable key under which an attachment is named."""
    return f"att_{secrets.token_hex(16)}"


class StoredFile(models.Model):
    """An uploaded file, as it came. Kept in the database: part of its transactions and backups, reachable for every worker."""

    name = models.CharField(max_length=255)
    size = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class StoredPart(models.Model):
    """A piece of a stored file; none is large, so no process ever holds a whole file."""

    file = models.ForeignKey(StoredFile, on_delete=models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["file", "number"], name="stored_part_once")]

    def __str__(self) -> str:
        return f"{self.file_id}/{self.number}"


class Source(models.Model):
    """What people search in. With an organisation it is shared with all members, else private to its owner.

    `generation` is the complete one that searches see (0: none yet); the next is built beside it.
    `status` tells of the last ingestion: a source whose re-ingestion failed still has its old generation.
    """

    class Purpose(models.TextChoices):
        """What it is for: to be searched for ever, or to go with questions."""

        SOURCE = "source"
        ATTACHMENT = "attachment"

    class Status(models.TextChoices):
        """Where its last ingestion is."""

        QUEUED = "queued"
        PROCESSING = "processing"
        READY = "ready"
        FAILED = "failed"
        CANCELLED = "cancelled"

    OPEN: ClassVar = (Status.QUEUED, Status.PROCESSING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    purpose = models.CharField(max_length=16, choices=Purpose.choices, default=Purpose.SOURCE)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sources")
    organization = models.ForeignKey(Organization, null=True, blank=True, on_delete=models.SET_NULL, related_name="sources")
    name = models.CharField(max_length=255)
    storage_key = models.CharField(max_length=64, unique=True, default=new_storage_key, editable=False)
    file = models.ForeignKey(StoredFile, null=True, on_delete=models.SET_NULL, related_name="+")
    kind = models.CharField(max_length=16, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.QUEUED)
    error = models.TextField(blank=True)
    generation = models.PositiveIntegerField(default=0)
    embedding_model = models.CharField(max_length=64, blank=True)
    wanted_model = models.CharField(max_length=64, blank=True)
    chunks = models.PositiveIntegerField(default=0)
    tokens = models.PositiveBigIntegerField(default=0)
    chars = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["owner", "purpose", "-created_at"], name="source_of_owner"),
            models.Index(fields=["organization", "purpose", "-created_at"], name="source_of_organization"),
        ]

    def __str__(self) -> str:
        return self.name


class Ingestion(models.Model):
    """One taking in of a source: queued, claimed by a worker under a lease number, ended."""

    class Operation(models.TextChoices):
        """Why."""

        UPLOAD = "upload"
        REINGEST = "reingest"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="ingestions")
    operation = models.CharField(max_length=16, choices=Operation.choices)
    generation = models.PositiveIntegerField()
    status = models.CharField(max_length=16, choices=Source.Status.choices, default=Source.Status.QUEUED, db_index=True)
    embedding_model = models.CharField(max_length=64, blank=True)
    lease = models.PositiveIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    worker = models.CharField(max_length=100, blank=True)
    beat_at = models.DateTimeField(null=True)
    percent = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["source", "generation"], name="ingestion_generation_once"),
            models.UniqueConstraint(
                fields=["source"], condition=models.Q(status__in=("queued", "processing")), name="one_open_ingestion_per_source"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.operation} of {self.source_id} ({self.status})"


class Document(models.Model):
    """The text of a source as one generation of it reads. Visible while its source is at that generation."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="documents")
    generation = models.PositiveIntegerField()
    path = models.CharField(max_length=255)
    title = models.CharField(max_length=255)
    media_type = models.CharField(max_length=100, blank=True)
    chars = models.PositiveBigIntegerField(default=0)
    tokens = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["source", "generation", "path"], name="document_path_once")]

    def __str__(self) -> str:
        return self.path


class Chunk(models.Model):
    """A piece of a document: `[start, end)` of its text, in characters.

    The table has one more column, never loaded and so not declared here: `search`, the words for full text,
    generated by Postgres. The embeddings are in a table of their own: see `knowledge/vectors.py`.
    """

    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="chunks", db_index=False)
    position = models.PositiveIntegerField()
    text = models.TextField()
    heading = models.TextField(blank=True)
    start = models.PositiveBigIntegerField()
    end = models.PositiveBigIntegerField()
    tokens = models.PositiveIntegerField()
    metadata = models.JSONField(default=dict)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["document", "position"], name="chunk_position_once")]

    def __str__(self) -> str:
        return f"{self.document_id}#{self.position}"


class ChunkVector(models.Model):
    """One embedding of a chunk. The column `embedding` is not declared here: see `knowledge/vectors.py`.

    Postgres itself deletes them with their chunk: Django would first fetch what it deletes.
    """

    chunk = models.ForeignKey(Chunk, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    document = models.ForeignKey(Document, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")

    class Meta:
        db_table = "knowledge_vector"

    def __str__(self) -> str:
        return f"vector of {self.chunk_id}"
