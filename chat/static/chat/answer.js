/** What the frames of one answer mean. No DOM: a sink is told what to show. */

/**
 * @typedef {object} AnswerSink
 * @property {() => void} restart  everything shown so far comes again: forget it
 * @property {(text: string) => void} appendText
 * @property {(text: string) => void} appendThought
 * @property {(sources: object[]) => void} addSources
 * @property {(name: string, status: string) => void} addTool
 * @property {(calls: import("./approvals.js").PendingCall[]) => void} addApprovals
 * @property {(approvalId: string, made: import("./approvals.js").Made) => void} setDecision
 * @property {(status: string) => void} setStatus
 * @property {(error: {code?: string, message?: string}|null) => void} setError
 */

/** @param {{json: any}} event */
export function isAnswerEnd(event) {
  return event.json?.type === "end" || event.json?.type === "error";
}

export class AnswerReader {
  /** @param {AnswerSink} sink */
  constructor(sink) {
    this._sink = sink;
    this._hasContent = false;
    /** @type {{message_id: string, conversation_id: string}|null} */
    this.begun = null;
  }

  /** @param {{json: any, id: string|null}} event */
  take({ json, id }) {
    if (json === undefined || json === null) return;
    if (json.type === "message_id") this._begin(json, id);
    else if (json.type === "answer") this._content(() => this._sink.appendText(json.answer ?? ""));
    else if (json.type === "thought") this._content(() => this._sink.appendThought(json.thought ?? ""));
    else if (json.type === "source") this._content(() => this._sink.addSources(json.source ?? []));
    else if (json.type === "tool_call" && json.data?.decision) this._sink.setDecision(json.data.approval_id, json.data.decision);
    else if (json.type === "tool_call") this._content(() => this._sink.addTool(json.data?.tool_name ?? "", json.data?.status ?? ""));
    else if (json.type === "tool_calls_pending") {
      this._sink.addApprovals(json.data?.pending_tool_calls ?? []);
      this._sink.setStatus("awaiting_approval");
    }
    else if (json.type === "end") this._sink.setStatus(json.cancelled ? "cancelled" : "completed");
    else if (json.type === "error") {
      this._sink.setError({ code: json.code, message: json.error });
      this._sink.setStatus("failed");
    }
  }

  /**
   * A server that no longer knows the cursor sends the answer from its beginning; the beginning is this numbered frame.
   * @param {{message_id: string, conversation_id: string}} json
   * @param {string|null} id
   */
  _begin(json, id) {
    if (this._hasContent && id !== null) {
      this._hasContent = false;
      this._sink.restart();
    }
    this.begun ??= json;
  }

  /** @param {() => void} show */
  _content(show) {
    this._hasContent = true;
    this._sink.setStatus("running");
    show();
  }
}
