/** What the page of sources says. No state, no DOM: tested by itself. */

const STAGES = new Map([
  ["reading", "Being read"],
  ["extracting", "Being read"],
  ["chunking", "Being cut into passages"],
  ["embedding", "Being indexed"],
]);

/**
 * @typedef {object} Source
 * @property {string} id
 * @property {string} name
 * @property {"queued"|"processing"|"ready"|"failed"|"cancelled"} status
 * @property {string} error
 * @property {boolean} searchable
 * @property {number} percent
 * @property {number} chunks
 * @property {string} owner
 * @property {string} created_at
 * @property {string} updated_at
 * @property {string} [stage]  of the ingestion that is going on
 */

/** @param {Source} source */
export function stateWords(source) {
  if (source.status === "queued") return "Waiting for its turn…";
  if (source.status === "processing") {
    const stage = STAGES.get(source.stage ?? "") ?? "Being taken in";
    return source.percent > 0 ? `${stage}: ${Math.round(source.percent)} %` : `${stage}…`;
  }
  const passages = `${source.chunks.toLocaleString()} passage${source.chunks === 1 ? "" : "s"}`;
  if (source.status === "ready") return source.chunks === 0 ? "Ready, but there is no text in it" : `Ready, ${passages}`;
  const before = source.searchable ? ` What was taken in before, ${passages}, can still be searched.` : "";
  if (source.status === "cancelled") return `Cancelled.${before}`;
  return `Not taken in.${before}`;
}

/** @param {{status: string}} source */
export function isOpen({ status }) {
  return status === "queued" || status === "processing";
}

/**
 * What an event of the user feed changes in a source; null when it tells of something else.
 * @param {import("../events/feed.js").FeedEvent} event
 * @returns {{id: string, change: Partial<Source>, isEnd: boolean}|null}
 */
export function changeOf({ type, scope, payload }) {
  const id = scope?.kind === "source" ? scope.id : undefined;
  if (id === undefined) return null;
  if (type === "source.ingest.queued") return { id, change: { status: "queued", percent: 0, error: "", stage: "" }, isEnd: false };
  if (type === "source.ingest.progress") {
    const total = Number(payload?.total) || 100;
    const percent = Math.min(100, (100 * (Number(payload?.current) || 0)) / total);
    return { id, change: { status: "processing", percent, stage: payload?.stage ?? "" }, isEnd: false };
  }
  if (type === "source.ingest.completed") return { id, change: { status: "ready", percent: 100, error: "" }, isEnd: true };
  if (type === "source.ingest.failed") {
    return { id, change: { status: payload?.cancelled ? "cancelled" : "failed", error: payload?.error ?? "" }, isEnd: true };
  }
  return null;
}

/** @param {number} bytes */
export function sizeWords(bytes) {
  if (bytes < 1 << 10) return `${bytes} bytes`;
  return bytes < 1 << 20 ? `${Math.round(bytes / (1 << 10))} KB` : `${Math.round((10 * bytes) / (1 << 20)) / 10} MB`;
}
