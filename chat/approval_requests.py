"""What requests that decide must look like: strict, because a guess here would do something that nobody allowed."""

import uuid
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr

from chat.approvals.deciding import NOT_EDITED, Decision
from chat.rag_request import Storable

FEEDBACK_CHARS = 4000
MOST_DECISIONS = 500
Feedback = Annotated[StrictStr, Field(max_length=FEEDBACK_CHARS), Storable]


class DecisionBody(BaseModel):
    """The body of `POST /api/v1/approvals/<id>/decision`. Unknown fields are refused: one of them may have been meant."""

    model_config = ConfigDict(extra="forbid")

    approved: StrictBool
    edited: Any = None
    feedback: Feedback | None = None
    payload_sha256: Annotated[StrictStr, Field(pattern="^[0-9a-fA-F]{64}$")] | None = None

    def decision(self) -> Decision:
        """What it decides. An `edited` of null is none."""
        edited = NOT_EDITED if self.edited is None else self.edited
        return Decision(self.approved, edited, self.feedback or "", self.payload_sha256 or "")


class BatchItem(DecisionBody):
    """One decision of a batch."""

    approval_id: uuid.UUID


class BatchBody(BaseModel):
    """The body of `POST /api/v1/approvals/batches/<batch_id>/decision`."""

    model_config = ConfigDict(extra="forbid")

    decisions: Annotated[list[BatchItem], Field(min_length=1, max_length=MOST_DECISIONS)]


class ToolAction(BaseModel):
    """What S0's clients say about one call."""

    model_config = ConfigDict(extra="ignore")

    call_id: StrictStr
    decision: Literal["approved", "denied"]
    comment: Feedback | None = None

    def to_decision(self) -> Decision:
        """The same in our words."""
        return Decision(self.decision == "approved", feedback=self.comment or "")


class ToolActionsBody(BaseModel):
    """The body of a `POST /stream` that goes on with an answer. S0's clients send more fields."""

    model_config = ConfigDict(extra="ignore")

    conversation_id: uuid.UUID
    tool_actions: Annotated[list[ToolAction], Field(max_length=MOST_DECISIONS)]
