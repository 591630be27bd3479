/** Which events of the user feed are worth a notice, and in which words. No state, no DOM: tested by itself. */

/** @typedef {import("./notices.js").Notice} Notice */
/** @typedef {Pick<Notice, "title"|"text"|"href"|"tone"|"inbox">} Words */

/** @type {Record<string, (payload: any) => Partial<Words>|null>} Null: nobody need be told. */
const KNOWN = {
  "message.started": () => null,
  "message.posted": () => null,
  "room.changed": () => null,
  "room.read": () => null,
  "message.finished": (payload) => finished(payload),
  "source.ingest.queued": () => null,
  "source.ingest.progress": () => null,
  "source.ingest.completed": (payload) => ({ title: "Source ready", text: `“${nameOf(payload)}” can be searched.`, href: "/sources", tone: "good" }),
  "source.ingest.failed": (payload) => notTaken("Source not taken in", payload),
  "attachment.queued": () => null,
  "attachment.progress": () => null,
  "attachment.completed": () => null,
  "attachment.failed": (payload) => notTaken("Attachment not read", payload),
  "tool.approval.required": (payload) => asked(payload),
  "tool.approval.cleared": () => null,
  "mcp.oauth.in_progress": () => null,
  "mcp.oauth.awaiting_redirect": (payload) => ({ title: "A connection waits for your approval", text: textOf(payload.message) }),
  "mcp.oauth.completed": (payload) => ({ title: "Connection ready", text: toolWords(payload.tools_count), tone: "good" }),
  "mcp.oauth.failed": (payload) => ({ title: "Connection not made", text: textOf(payload.error), tone: "bad" }),
  "resource.shared": (payload) => shared(payload),
  "team.member_added": (payload) => ({ title: `You are now in ${nameOf({ name: payload.team_name ?? "a team" })}`, text: payload.role === "admin" ? "As one of its admins." : "" }),
  "workspace.member_added": (payload) => ({ title: `You are now in the workspace ${nameOf({ name: payload.workspace_name ?? "of a team" })}`, href: `/workspaces/${encodeURIComponent(String(payload.workspace_id ?? ""))}` }),
  "notification.created": (payload) => notification(payload),
  "notification.updated": () => null,
};

/**
 * The notice of an event; null when there is none to give. Types that are not known here - other services may publish any -
 * give one when their payload holds `title`, `message` or `text`.
 * @param {import("./feed.js").FeedEvent} event
 * @returns {Notice|null}
 */
export function noticeOf({ id, type, ts, payload }) {
  if (id === null) return null; // told again, not new
  const given = Object.hasOwn(KNOWN, type) ? KNOWN[type](payload ?? {}) : free(type, payload ?? {});
  if (given === null) return null;
  const { title = type, text = "", href, tone = "info", inbox } = given;
  const notice = { id, at: Date.parse(ts) || Date.now(), title, text: short(text), href: ownPath(href), tone };
  return inbox === undefined ? notice : { ...notice, inbox };
}

/** @param {any} payload @returns {Partial<Words>|null} */
function finished({ status, conversation_id: conversation, room_id: room }) {
  // In a room, answers are what is talked about there: the page of rooms counts them.
  if (typeof room === "string") return status === "failed" ? { title: "An answer has failed", text: "What had arrived is kept.", href: `/rooms/${encodeURIComponent(room)}`, tone: "bad" } : null;
  const href = typeof conversation === "string" ? `/?c=${encodeURIComponent(conversation)}` : "/";
  if (status === "failed") return { title: "An answer has failed", text: "What had arrived is kept.", href, tone: "bad" };
  return status === "cancelled" ? null : { title: "An answer is complete", href, tone: "good" };
}

/** @param {any} payload @returns {Partial<Words>|null} */
function notification(payload) {
  const { notification_id: inbox, priority, action_url: url } = payload;
  if (typeof inbox !== "string") return free("notification.created", payload); // of another service
  if (priority === "low") return null; // waits in the inbox
  return { title: short(textOf(payload.title)), text: textOf(payload.body), href: ownPath(url) || "/notifications", tone: priority === "critical" ? "bad" : "info", inbox };
}

/** @param {any} payload @returns {Partial<Words>} */
function shared({ resource_type: type, resource_name: name, team_name: team }) {
  const text = isText(team) ? `With ${nameOf({ name: team })}.` : "";
  return { title: `“${nameOf({ name })}” is shared with you`, text, href: type === "source" ? "/sources" : "" };
}

/** @param {unknown} count */
function toolWords(count) {
  return typeof count === "number" ? `It brings ${count} tool${count === 1 ? "" : "s"}.` : "";
}

/** `href` leads those who decide without taking part in the conversation. @param {any} payload @returns {Partial<Words>|null} */
function asked({ pending_tool_calls: calls, conversation_id: conversation, message_id: message, reminder, kind, href: elsewhere }) {
  if (kind === "proposed_change" && typeof message === "string") {
    const title = reminder ? "Changes of a document still wait for you" : "Changes of a document wait for you";
    return { title, href: elsewhere ?? `/documents#job:${encodeURIComponent(message)}` };
  }
  const names = [...new Set((Array.isArray(calls) ? calls : []).map((call) => call?.name).filter(isText))];
  const what = names.length > 0 && (kind ?? "tool_call") === "tool_call" ? `It wants to use ${names.slice(0, 3).join(", ")}${names.length > 3 ? ", ..." : ""}.` : "";
  const href = elsewhere ?? (typeof conversation === "string" ? `/?c=${encodeURIComponent(conversation)}` : "/approvals");
  return { title: reminder ? "An answer still waits for your approval" : "An answer waits for your approval", text: what, href };
}

/** @param {string} title @param {any} payload @returns {Partial<Words>|null} */
function notTaken(title, payload) {
  if (payload.cancelled) return null; // by the user's own hand
  return { title, text: `“${nameOf(payload)}”: ${payload.error ?? "it could not be read."}`, href: "/sources", tone: "bad" };
}

/** @param {string} type @param {any} payload @returns {Partial<Words>|null} */
function free(type, { title, message, text, body, href }) {
  const [heading] = [title, type].filter(isText);
  const said = [message, text, body].find(isText);
  if (!isText(title) && said === undefined) return null;
  return { title: short(heading), text: said ?? "", href };
}

/** @param {unknown} value @returns {value is string} */
function isText(value) {
  return typeof value === "string" && value.trim() !== "";
}

/** @param {unknown} value */
function textOf(value) {
  return isText(value) ? value : "";
}

/** @param {any} payload */
function nameOf(payload) {
  return short(String(payload.filename ?? payload.name ?? "It"), 80);
}

/** @param {string} text @param {number} [longest] */
function short(text, longest = 240) {
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
}

/** Only a path of this server: an event must not lead elsewhere, nor run anything. @param {unknown} href */
function ownPath(href) {
  return typeof href === "string" && /^\/(?![/\\])[^\s\\]*$/.test(href) ? href : "";
}
