import assert from "node:assert/strict";
import { test } from "node:test";

import { isJobEnd, JobReader } from "../../../static/chat/documents/job-reader.js";

function reader() {
  const said = [];
  const note = (name) => (value) => said.push([name, value]);
  const sink = {
    restart: () => said.push(["restart"]),
    addProgress: note("progress"),
    addChange: note("change"),
    setDecision: ({ change_id: id, decision }) => said.push(["decision", id, decision]),
    setResult: ({ response }) => said.push(["result", response]),
    setError: note("error"),
  };
  return { reader: new JobReader(sink), said };
}

test("each frame is told as what it is", () => {
  const { reader: job, said } = reader();
  job.take({ event: "intermediate", json: { content: "Reading...", sequence: 2 } });
  job.take({ event: "proposed_change", json: { content: '{"change_id":"ch_1"}', sequence: 3 } });
  job.take({ event: "intermediate", json: { content: "Change ch_1 was approved.", change_id: "ch_1", decision: "approved", sequence: 5 } });
  job.take({ event: "final", json: { content: "Done.", result: { response: "Done." }, sequence: 8 } });
  job.take({ event: "usage", json: { monthly_used: 1, sequence: 9 } });
  assert.deepEqual(said, [["progress", "Reading..."], ["change", { change_id: "ch_1" }], ["decision", "ch_1", "approved"], ["result", "Done."]]);
});

test("what is told again from the beginning is forgotten first", () => {
  const { reader: job, said } = reader();
  job.take({ event: "intermediate", json: { content: "a", sequence: 2 } });
  job.take({ event: "intermediate", json: { content: "b", sequence: 3 } });
  job.take({ event: "intermediate", json: { content: "a", sequence: 2 } });
  assert.deepEqual(said.map(([name]) => name), ["progress", "progress", "restart", "progress"]);
});

test("an error is the end and told; what is not understood is passed over", () => {
  const { reader: job, said } = reader();
  job.take({ event: "error", json: { error: "It broke.", sequence: 4 } });
  job.take({ event: "something_new", json: { sequence: 5 } });
  job.take({ event: "intermediate", json: undefined });
  assert.deepEqual(said, [["error", "It broke."]]);
  assert.equal(isJobEnd({ event: "error" }), true);
  assert.equal(isJobEnd({ event: "usage" }), true);
  assert.equal(isJobEnd({ event: "final" }), false);
});
