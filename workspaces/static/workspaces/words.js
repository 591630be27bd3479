/** What the pages of workspaces say. No state, no DOM: tested by itself. */

/** @typedef {{type: string, id?: string, user_id?: string|null, origin?: string, timestamp?: string, [field: string]: any}} Frame */

/** Fields that every frame has; the others are what its sender says. */
const COMMON = new Set(["type", "id", "ref", "workspace_id", "user_id", "origin", "timestamp"]);

/** The broadcasts that members may send: what they are about, and the field that names it. */
export const BROADCASTS = new Map([
  ["document_updated", { label: "A document was changed", field: "document_id" }],
  ["application_changed", { label: "An application was changed", field: "application_id" }],
  ["member_added", { label: "Somebody was added", field: "member_id" }],
]);

/**
 * One sentence for an event of a workspace.
 * @param {Frame} frame
 * @param {(userId: string) => string} nameOf
 */
export function sentence(frame, nameOf) {
  const who = frame.user_id ? nameOf(frame.user_id) : "Somebody";
  const isSaid = frame.origin === "member";
  switch (frame.type) {
    case "document_updated":
      return isSaid ? `${who} said: the document ${thing(frame.document_id)} was ${action(frame.action, "changed")}.` : `The document ${thing(frame.name ?? frame.document_id)} was ${action(frame.action, "changed")} by ${who}.`;
    case "application_changed":
      return isSaid ? `${who} said: the application ${thing(frame.application_id)} was ${action(frame.action, "changed")}.` : `The application ${thing(frame.name ?? frame.application_id)} was ${action(frame.action, "changed")}.`;
    case "member_added":
      return isSaid ? `${who} said: ${thing(frame.member_name ?? frame.member_id)} was ${action(frame.action, "added")}.` : `${who} added ${frame.member_name ?? frame.member_id} to this workspace.`;
    case "member_removed":
      return `${frame.member_name ?? frame.member_id} is no longer a member.`;
    default:
      return `${frame.type}`;
  }
}

/** @param {Frame} frame @returns {string} what the sentence does not say, as JSON; empty when it says all */
export function details(frame) {
  if (frame.type === "member_added" && frame.origin !== "member") return "";
  if (frame.type === "member_removed") return "";
  const known = new Set([...COMMON, "action", "name", "member_name", BROADCASTS.get(frame.type)?.field ?? ""]);
  const rest = Object.entries(frame).filter(([field]) => !(BROADCASTS.has(frame.type) ? known : COMMON).has(field));
  return rest.length === 0 ? "" : JSON.stringify(Object.fromEntries(rest), null, 2);
}

/** @param {unknown} value */
function thing(value) {
  return typeof value === "string" && value.trim() !== "" ? `“${value.length > 80 ? `${value.slice(0, 79)}…` : value}”` : "of no name";
}

/** @param {unknown} value @param {string} otherwise */
function action(value, otherwise) {
  return typeof value === "string" && value.trim() !== "" ? value.slice(0, 80) : otherwise;
}

/** The letters in an avatar. @param {string} name */
export function initials(name) {
  const words = name.split(/[\s._-]+/u).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1) ?? ""].map((word) => [...word][0]) : [...(words[0] ?? "?")].slice(0, 2);
  return letters.join("").toUpperCase();
}

/** A colour of its own for each user, the same for everybody: a hue in degrees. @param {string} id */
export function hue(id) {
  let sum = 0;
  for (const character of id) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 360;
  return sum;
}

/** @param {number} count */
export function hereWords(count) {
  if (count <= 1) return "Only you are here.";
  return `${count} people are here.`;
}

/** @param {number} count */
export function memberWords(count) {
  return `${count} member${count === 1 ? "" : "s"}`;
}
