/** The page of notifications: puts its parts together. */

import { byId } from "../events/elements.js";
import { Notice } from "../events/notice.js";
import { RequestError } from "../events/requests.js";
import { feed, watch } from "../events/shell.js";
import { failureWords } from "../events/words.js";
import { counts } from "./counts.js";
import { NotificationList } from "./list.js";
import { badgeWords, countOf, pathOf, TABS, tabOf } from "./words.js";

/** @typedef {import("./words.js").Tab} Tab */

const notice = new Notice({ box: byId("notice"), words: byId("notice-words"), retry: byId("notice-retry"), login: byId("notice-login"), dismiss: byId("notice-dismiss") });
const links = /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll("#tabs a"));
const everything = byId("all");
let tab = tabOf(location.search);

const list = new NotificationList(
  { list: byId("notifications"), note: byId("list-note"), more: byId("more") },
  { onShown: showAll, onError: fail },
);

/** @param {unknown} error @param {(() => void)} [retry] */
function fail(error, retry) {
  if (!(error instanceof RequestError)) throw error;
  notice.show(failureWords(error.detail), retry ?? null);
}

/** @param {Tab} wanted */
function open(wanted) {
  tab = wanted;
  notice.hide();
  for (const link of links) {
    if (link.dataset.tab === tab) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  list.open(tab);
}

/** What can be done with all of them, where there is anything it would change. */
function showAll() {
  const { action, words } = TABS[tab].all;
  const now = counts.now;
  everything.textContent = words;
  everything.hidden = list.size === 0 || (action === "read" && now !== null && now.unread === 0);
}

/** @returns {Promise<boolean>} */
function askToDelete() {
  const dialog = byId("delete-dialog");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "delete"), { once: true }));
}

for (const link of links) {
  link.addEventListener("click", (event) => {
    // Into another tab or window of the browser: as any link.
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    const wanted = /** @type {Tab} */ (link.dataset.tab);
    history.pushState(null, "", pathOf(wanted));
    open(wanted);
  });
}
addEventListener("popstate", () => open(tabOf(location.search)));
everything.addEventListener("click", async () => {
  const { action, words } = TABS[tab].all;
  if (action === "delete" && !(await askToDelete())) return;
  await list.actOnAll();
  byId("announcements").textContent = `${words}: done.`;
});
counts.onChange((now) => {
  for (const link of links) {
    const count = countOf(/** @type {Tab} */ (link.dataset.tab), now);
    const place = /** @type {HTMLElement} */ (link.querySelector(".tab-count"));
    place.textContent = badgeWords(count);
    place.hidden = count === 0;
  }
  showAll();
});
feed.listen({
  onEvent: ({ type }) => void (type.startsWith("notification.") && list.refresh()),
  onStale: () => void list.refresh(),
});
watch(({ type }) => type === "notification.created" && tab !== "archived");
open(tab);
