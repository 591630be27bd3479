/** The page of sources: puts its parts together. */

import { byId } from "../events/elements.js";
import { Notice } from "../events/notice.js";
import { RequestError } from "../events/requests.js";
import { feed, user, watch } from "../events/shell.js";
import { failureWords } from "../events/words.js";
import { Adding } from "./adding.js";
import { SourceList } from "./list.js";
import { Searching } from "./searching.js";

const { max_bytes: maxBytes } = JSON.parse(byId("page-data").textContent);
const notice = new Notice({ box: byId("notice"), words: byId("notice-words"), retry: byId("notice-retry"), login: byId("notice-login"), dismiss: byId("notice-dismiss") });

/** @param {unknown} error @param {(() => void)} [retry] */
function onError(error, retry) {
  if (!(error instanceof RequestError)) throw error;
  if (error.detail.reason !== "aborted") notice.show(failureWords(error.detail), retry ?? null);
}

/** @param {import("./words.js").Source} source @returns {Promise<boolean>} */
function askToDelete(source) {
  const dialog = byId("delete-dialog");
  byId("delete-question").textContent = `Delete “${source.name}”? Answers can no longer rest on it. This cannot be undone.`;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "delete"), { once: true }));
}

const searching = new Searching({ onError });
const list = new SourceList(
  { list: byId("sources"), note: byId("list-note"), more: byId("more") },
  { user, askToDelete, announce: (words) => (byId("announcements").textContent = words), onChange: () => searching.offer(list.sources), onError },
);
new Adding({
  maxBytes,
  onAdded: (source) => {
    notice.hide();
    list.putNew(source);
  },
  onError,
});

const refresh = () => list.refresh().catch((error) => onError(error, refresh));
feed.listen({ onEvent: (event) => list.hear(event), onStale: refresh });
watch((event) => event.type.startsWith("source.ingest."));
refresh();
