"""What requests of seed 003 must look like. Decisions are strict: a guess would do something that nobody allowed."""

import uuid
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from chat.approval_requests import Feedback
from chat.conf import conf
from chat.rag_request import Storable
from chat.services.jobs import NewJob, Verdict

MOST_CHANGES = 2000
SESSION_CHARS = 255


class JobBody(BaseModel):
    """The body of `POST /v1/chat/async` and `POST /v1/chat`. Unknown fields are ignored: the seed's clients send more."""

    model_config = ConfigDict(extra="ignore")

    message: Annotated[StrictStr, Storable]
    session_id: Annotated[StrictStr, Field(max_length=SESSION_CHARS), Storable] | None = None
    document_html: StrictStr | None = None
    document_id: uuid.UUID | None = None
    title: Annotated[StrictStr, Field(max_length=200), Storable] = ""
    approval_mode: Literal["approve_all", "ask_every_time"] = "approve_all"

    @field_validator("message")
    @classmethod
    def _filled(cls, message: str) -> str:
        if not message.strip():
            raise PydanticCustomError("message_empty", "The message is empty: say what is to be done.")
        if len(message) > conf.CHAT_QUESTION_MAX_CHARS:
            raise PydanticCustomError(
                "message_too_long", "The message must have at most {most} characters.", {"most": conf.CHAT_QUESTION_MAX_CHARS}
            )
        return message

    def to_job(self) -> NewJob:
        """The checked request. An empty document is none: clients without one send it so."""
        return NewJob(
            message=self.message,
            session=self.session_id or "",
            mode=self.approval_mode,
            document_html=self.document_html or None,
            document_id=self.document_id,
            title=self.title,
        )


class ChangeVerdict(BaseModel):
    """What is decided about one change."""

    model_config = ConfigDict(extra="ignore")

    change_id: Annotated[StrictStr, Field(min_length=1, max_length=200), Storable]
    approved: StrictBool
    feedback: Feedback | None = None

    def verdict(self) -> Verdict:
        """In our words."""
        return Verdict(self.approved, self.feedback or "", self.change_id)


class ApproveBody(BaseModel):
    """The body of `POST /v1/chat/<session>/approve`: about all that is open, about `change_id`, or about each of `changes`."""

    model_config = ConfigDict(extra="ignore")

    job_id: uuid.UUID
    approved: StrictBool
    change_id: Annotated[StrictStr, Field(min_length=1, max_length=200), Storable] | None = None
    feedback: Feedback | None = None
    changes: Annotated[list[ChangeVerdict], Field(min_length=1, max_length=MOST_CHANGES)] | None = None

    @model_validator(mode="after")
    def _unambiguous(self) -> "ApproveBody":
        if self.changes and self.change_id:
            raise PydanticCustomError("ambiguous", "Give either change_id or changes.")
        named = [each.change_id for each in self.changes or []]
        if len(set(named)) != len(named):
            raise PydanticCustomError("ambiguous", "changes names a change twice.")
        return self

    def verdict(self) -> Verdict:
        """In our words."""
        each = tuple(change.verdict() for change in self.changes or [])
        return Verdict(self.approved, self.feedback or "", self.change_id or "", each)


class RevertBody(BaseModel):
    """The body of `POST /v1/sessions/<session>/revert`."""

    model_config = ConfigDict(extra="ignore")

    turn_index: Annotated[StrictInt, Field(ge=0, lt=2**31)] | None = None
    version_id: uuid.UUID | None = None

    @model_validator(mode="after")
    def _one(self) -> "RevertBody":
        if (self.turn_index is None) == (self.version_id is None):
            raise PydanticCustomError("ambiguous", "Give turn_index, or version_id.")
        return self
