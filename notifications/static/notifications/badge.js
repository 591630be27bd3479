/** On every page: the bell counts what is unseen in the inbox, and what was seen as a toast is seen there, too. */

import { request, RequestError } from "../events/requests.js";
import { bell, feed, notices } from "../events/shell.js";
import "./activity.js";
import { counts, notificationsPath } from "./counts.js";

/** As many as one request may name: NOTIFICATIONS_ACTION_MAX. */
const MOST = 100;
/** @type {Set<string>} Notifications that the server knows to be seen, or is being told of. */
const told = new Set();

counts.onChange(({ unseen }) => bell.setInbox(unseen));
notices.onChange(tellSeen);
feed.listen({ onEvent: ({ type, payload }) => void (type === "notification.updated" && hear(payload ?? {})) });

async function tellSeen() {
  const fresh = (await notices.list()).filter(({ inbox, seen }) => inbox && seen && !told.has(inbox));
  const ids = fresh.map(({ inbox }) => /** @type {string} */ (inbox)).slice(0, MOST);
  if (ids.length === 0 || counts.now?.unseen === 0) return;
  for (const id of ids) told.add(id);
  try {
    await request(`${notificationsPath}/actions`, { method: "POST", body: { action: "seen", ids } });
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    // Away: the next change tells it again. One of them is not there any more: it needs no telling.
    if (error.detail.reason !== "not_found") for (const id of ids) told.delete(id);
  }
}

/** What was seen elsewhere needs no toast here. @param {{action?: string, ids?: string[]|null}} change */
async function hear({ action, ids }) {
  if (action === "unread" || action === "unarchive") return;
  const kept = (await notices.list()).filter(({ inbox, seen }) => inbox && !seen && (ids ? ids.includes(inbox) : counts.now?.unseen === 0));
  for (const { inbox } of kept) told.add(/** @type {string} */ (inbox));
  await notices.seen(kept.map(({ id }) => id));
}
