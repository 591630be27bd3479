/** What the frames of a job mean. No DOM: a sink is told what to show. */

/**
 * @typedef {object} Change
 * @property {string} change_id
 * @property {"edit"|"create"|"delete"} operation
 * @property {string|null} old_html
 * @property {string|null} new_html
 * @property {string} ai_explanation
 * @property {string|null} batch_id
 * @property {number|null} batch_total
 */

/** @typedef {{change_id: string, decision: string, decided_by: string|null, feedback: string}} Decision */

/**
 * @typedef {object} JobSink
 * @property {() => void} restart  everything comes again: forget it
 * @property {(text: string) => void} addProgress
 * @property {(change: Change) => void} addChange
 * @property {(decision: Decision) => void} setDecision
 * @property {(result: {response: string}) => void} setResult
 * @property {(message: string) => void} setError
 */

/** @param {{event: string}} event */
export const isJobEnd = ({ event }) => event === "usage" || event === "error";

export class JobReader {
  /** @param {JobSink} sink */
  constructor(sink) {
    this._sink = sink;
    this._sequence = 0;
  }

  /** @param {{event: string, json: any}} event */
  take({ event, json }) {
    if (!json) return;
    if (Number.isInteger(json.sequence)) {
      // A server that does not know the cursor any more tells everything again.
      if (json.sequence <= this._sequence) this._sink.restart();
      this._sequence = json.sequence;
    }
    if (event === "intermediate" && json.decision) this._sink.setDecision(json);
    else if (event === "intermediate") this._sink.addProgress(json.content ?? "");
    else if (event === "proposed_change") this._sink.addChange(JSON.parse(json.content));
    else if (event === "final") this._sink.setResult(json.result);
    else if (event === "error") this._sink.setError(json.error ?? "The job failed.");
  }
}
