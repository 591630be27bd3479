/** What the inbox says. No state, no DOM: tested by itself. */

/**
 * @typedef {object} Notification
 * @property {string} id
 * @property {string} title
 * @property {string} body
 * @property {string} action_url
 * @property {"low"|"normal"|"high"|"critical"} priority
 * @property {"unseen"|"seen"|"read"|"archived"} state
 * @property {string} created_at
 * @property {string|null} read_at
 */

/** @typedef {{unseen: number, seen: number, read: number, archived: number, unread: number}} Counts */

/** @typedef {"inbox"|"unread"|"archived"} Tab */

/** What each tab asks the server for, what it says when there is nothing, and what can be done with all of it. */
export const TABS = {
  inbox: {
    state: "",
    empty: "Nothing here. What finishes, fails or needs you is told here, also while no page is open.",
    all: { action: "read", state: "unread", words: "Mark all as read" },
  },
  unread: { state: "unread", empty: "You have read everything.", all: { action: "read", state: "unread", words: "Mark all as read" } },
  archived: {
    state: "archived",
    empty: "Nothing is archived. What you archive is kept here, out of the way.",
    all: { action: "delete", state: "archived", words: "Delete all archived" },
  },
};

/** The tab that an address names. @param {string} search  of `location` @returns {Tab} */
export function tabOf(search) {
  const named = new URLSearchParams(search).get("tab") ?? "";
  return Object.hasOwn(TABS, named) ? /** @type {Tab} */ (named) : "inbox";
}

/** @param {Tab} tab */
export function pathOf(tab) {
  return tab === "inbox" ? "/notifications" : `/notifications?tab=${tab}`;
}

/** How many there are in a tab. @param {Tab} tab @param {Counts} counts */
export function countOf(tab, counts) {
  if (tab === "inbox") return counts.unread + counts.read;
  return tab === "unread" ? counts.unread : counts.archived;
}

/**
 * Where a notification leads: the server has checked it, but what it lets through must not be all that keeps a page safe.
 * @param {string} url
 * @returns {{href: string, host: string}|null}  `host` of another server, else ""
 */
export function leadOf(url) {
  if (/^\/(?![/\\])[^\s\\]*$/.test(url)) return { href: url, host: "" };
  if (!/^https?:\/\//i.test(url)) return null;
  try {
    return { href: url, host: new URL(url).host };
  } catch {
    return null;
  }
}

/** What can be done with one, and in which words. @param {Notification} notification @returns {{action: string, words: string}[]} */
export function actionsOf({ state, read_at: readAt }) {
  if (state === "archived") return [{ action: "unarchive", words: "Move to inbox" }, { action: "delete", words: "Delete" }];
  const reading = readAt === null ? { action: "read", words: "Mark as read" } : { action: "unread", words: "Mark as unread" };
  return [reading, { action: "archive", words: "Archive" }, { action: "delete", words: "Delete" }];
}

/** @param {number} count */
export function badgeWords(count) {
  return count > 99 ? "99+" : String(count);
}
