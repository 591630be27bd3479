"""The events of sources and attachments on a user's feed."""

from events.event import EventType, register

SOURCE_EVENTS = {
    step: EventType(f"source.ingest.{step}", f"User feed: {meaning}")
    for step, meaning in {
        "queued": "a source waits to be taken in: `source_id`, `filename`, `operation`.",
        "progress": "how far a source is: `current` of `total` percent, `embedded_chunks`, `stage`.",
        "completed": "a source can be searched: `source_id`, `filename`, `operation`, `tokens`, `chunks_added`.",
        "failed": "a source could not be taken in: `source_id`, `filename`, `operation`, `error`.",
    }.items()
}
ATTACHMENT_EVENTS = {
    step: EventType(f"attachment.{step}", f"User feed: {meaning}")
    for step, meaning in {
        "queued": "an attachment waits to be read: `attachment_id`, `filename`.",
        "progress": "how far an attachment is: `attachment_id`, `filename`, `current`, `stage`.",
        "completed": "an attachment was read: `attachment_id`, `filename`, `token_count`, `mime_type`.",
        "failed": "an attachment could not be read: `attachment_id`, `filename`, `error`.",
    }.items()
}
RESOURCE_SHARED = EventType(
    "resource.shared",
    "User feed: a colleague shared something: `resource_type`, `resource_id`, `resource_name`, `access_level`, `team_id`, "
    "`team_name`, `shared_by`.",
)
register(*SOURCE_EVENTS.values(), *ATTACHMENT_EVENTS.values(), RESOURCE_SHARED)
