/**
 * What every page of someone who is logged in has: one feed, the connection's state, toasts and a bell.
 *
 * Loaded by base.html; a page's own module may import `feed` and listen to it, too.
 */

import { Bell } from "./bell.js";
import { ConnectionLine } from "./connection.js";
import { byId } from "./elements.js";
import { openFeed } from "./feed.js";
import { noticeOf } from "./notable.js";
import { Notices } from "./notices.js";
import { Toasts } from "./toasts.js";

/** @type {string} */
export const user = JSON.parse(byId("shell-user").textContent);
/** @type {Set<(event: import("./feed.js").FeedEvent) => boolean>} */
const watchers = new Set();

export const notices = new Notices(user);
export const feed = openFeed({ user, onEvent: (event) => notify(event) });

/**
 * For pages that show something live: what `isShown` says yes to needs no notice while someone looks at it.
 * @param {(event: import("./feed.js").FeedEvent) => boolean} isShown
 */
export function watch(isShown) {
  watchers.add(isShown);
}

/** The line that says whether the page hears from the server. */
export const connection = new ConnectionLine(
  { line: byId("connection"), words: byId("connection-words"), retry: byId("connection-retry"), login: byId("connection-login") },
  { announce: (words) => (byId("announcements").textContent = words), onRetry: () => feed.retryNow() },
);
feed.listen({ onState: (state, detail) => connection.set("feed", state, detail) });

export const bell = new Bell(
  {
    button: byId("bell"),
    count: byId("bell-count"),
    words: byId("bell-words"),
    panel: byId("bell-panel"),
    list: byId("bell-list"),
    empty: byId("bell-empty"),
    clear: byId("bell-clear"),
    inbox: byId("bell-inbox-count"),
  },
  notices,
);
new Toasts({ region: byId("toasts"), notices, onMany: () => bell.open() });
byId("connection-login").href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
for (const form of document.querySelectorAll('form[action="/logout"]')) form.addEventListener("submit", leave, { once: true });

/** @param {import("./feed.js").FeedEvent} event */
async function notify(event) {
  const notice = noticeOf(event);
  if (notice === null) return;
  const isSeen = document.visibilityState === "visible" && [...watchers].some((isShown) => isShown(event));
  await notices.keep(notice, isSeen);
}

/** Who logs out leaves nothing to read behind. @param {Event} event */
async function leave(event) {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.currentTarget);
  await Promise.race([notices.clear(), new Promise((resolve) => setTimeout(resolve, 500))]).catch(() => undefined);
  form.submit();
}
