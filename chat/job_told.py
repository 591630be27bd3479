"""How the addresses of jobs (seed 003) tell things, for the OpenAPI document."""

from typing import Any

from rest_framework import serializers

STATUSES = ("pending", "in_progress", "awaiting_approval", "completed", "failed", "cancelled")


class BegunTold(serializers.Serializer[Any]):
    """A job that was accepted."""

    job_id = serializers.UUIDField()
    session_id = serializers.CharField()
    status = serializers.ChoiceField(choices=STATUSES)
    message = serializers.CharField()


class ResultTold(serializers.Serializer[Any]):
    """What a job came to."""

    response = serializers.CharField()
    session_id = serializers.CharField()
    document_changes = serializers.DictField(allow_null=True)
    usage = serializers.DictField(allow_null=True)


class CompletedTold(ResultTold):
    """What a job came to, and which it is."""

    job_id = serializers.UUIDField()


class ListedJobTold(serializers.Serializer[Any]):
    """A job in a list."""

    job_id = serializers.UUIDField()
    session_id = serializers.CharField()
    job_type = serializers.ChoiceField(choices=("document_edit", "chat"))
    status = serializers.ChoiceField(choices=STATUSES)
    progress = serializers.IntegerField(min_value=0, max_value=100)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    error = serializers.CharField(allow_null=True)
    error_code = serializers.CharField(allow_null=True)
    retryable = serializers.BooleanField()
    usage = serializers.DictField(allow_null=True)


class JobMetadataTold(serializers.Serializer[Any]):
    """What was proposed and decided, and what was said meanwhile."""

    approval_mode = serializers.CharField()
    turn_index = serializers.IntegerField()
    session = serializers.UUIDField()
    document_id = serializers.UUIDField(allow_null=True)
    pending_changes = serializers.ListField(child=serializers.DictField())
    decided_changes = serializers.ListField(child=serializers.DictField())
    intermediate_responses = serializers.ListField(child=serializers.DictField())


class JobTold(ListedJobTold):
    """Everything that the stream of a job tells."""

    metadata = JobMetadataTold()
    result = serializers.DictField(allow_null=True)
    last_sequence = serializers.IntegerField()


class DecidedChangeTold(serializers.Serializer[Any]):
    """What was decided about a change."""

    change_id = serializers.CharField()
    decision = serializers.CharField()
    decided_by = serializers.CharField(allow_null=True)
    feedback = serializers.CharField()


class DecidedTold(serializers.Serializer[Any]):
    """The job after a decision."""

    job_id = serializers.UUIDField()
    session_id = serializers.CharField()
    status = serializers.ChoiceField(choices=STATUSES)
    changes = DecidedChangeTold(many=True)


class CancelledTold(serializers.Serializer[Any]):
    """A job that was told to end; `accepted`: its worker has still to hear of it."""

    job_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=STATUSES)
    stop_state = serializers.ChoiceField(choices=("stopped_here", "accepted"))


class JobSessionTold(serializers.Serializer[Any]):
    """A session that has jobs."""

    session_id = serializers.CharField()
    id = serializers.UUIDField()
    title = serializers.CharField()
    owner = serializers.CharField()
    turns = serializers.IntegerField()
    active_job_id = serializers.UUIDField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class SaidTold(serializers.Serializer[Any]):
    """What was said in a turn; `checkpoint_id` is the document's version then."""

    id = serializers.UUIDField()
    sender = serializers.ChoiceField(choices=("user", "ai"))
    content = serializers.CharField()
    timestamp = serializers.DateTimeField()
    turn_index = serializers.IntegerField()
    checkpoint_id = serializers.UUIDField(allow_null=True)
    job_id = serializers.UUIDField()


class DocumentChangesTold(serializers.Serializer[Any]):
    """A version of a document."""

    updated_html = serializers.CharField()
    version_id = serializers.UUIDField()
    changes_summary = serializers.CharField()


class DocumentTold(DocumentChangesTold):
    """The version in force."""

    document_id = serializers.UUIDField()
    title = serializers.CharField()
    number = serializers.IntegerField()


class VersionTold(serializers.Serializer[Any]):
    """A version without its HTML."""

    version_id = serializers.UUIDField()
    document_id = serializers.UUIDField()
    number = serializers.IntegerField()
    origin = serializers.CharField()
    changes_summary = serializers.CharField()
    changes = serializers.JSONField()
    restored = serializers.IntegerField(allow_null=True)
    turn_index = serializers.IntegerField(allow_null=True)
    author = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()


class RevertedTold(serializers.Serializer[Any]):
    """The new version that is as an old one was."""

    session_id = serializers.CharField()
    turn_index = serializers.IntegerField(allow_null=True)
    document_changes = DocumentChangesTold()
