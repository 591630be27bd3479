/** What the page of rooms says to people. No state, no DOM. */

/** A room without a title is called after who is in it. @param {import("./api.js").Room} room @param {string} me */
export function roomName(room, me) {
  if (room.title) return room.title;
  const others = room.participants.filter((each) => each.account_id !== me).map((each) => each.name);
  if (others.length === 0) return "Only you";
  return others.length > 3 ? `${others.slice(0, 3).join(", ")} and ${others.length - 3} more` : others.join(", ");
}

/** @param {import("./api.js").Room} room @param {string} me */
export function peopleWords(room, me) {
  const names = room.participants.map((each) => (each.account_id === me ? "you" : each.kind === "agent" ? `${each.name} (agent)` : each.name));
  return names.length > 6 ? `${names.slice(0, 6).join(", ")} and ${names.length - 6} more` : names.join(", ");
}

/** @param {import("./api.js").Room} room */
export function emptyWords(room) {
  const agents = room.participants.filter((each) => each.kind === "agent" && each.auto_respond);
  if (agents.length === 0) return "Say something: everybody in the room sees it at once.";
  return `Say something: everybody in the room sees it at once, and ${agents.map((each) => each.name).join(" and ")} ${agents.length > 1 ? "answer" : "answers"}.`;
}

/** @param {import("./api.js").Room} room */
export function excerptWords(room) {
  const last = room.last_message;
  if (!last) return "Nothing said yet";
  return `${last.author.name}: ${last.text || "is answering…"}`;
}

/** @param {number} count */
export function unreadWords(count) {
  return count > 99 ? "99+" : String(count);
}
