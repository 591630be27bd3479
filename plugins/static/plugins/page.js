/** The page of plugins: puts its parts together. Which execution is shown is in the address, after the #. */

import { byId } from "../events/elements.js";
import { Notice } from "../events/notice.js";
import { RequestError } from "../events/requests.js";
import { feed, watch } from "../events/shell.js";
import { failureWords } from "../events/words.js";
import { Console } from "./console.js";
import { ExecutionList } from "./list.js";

const notice = new Notice({ box: byId("notice"), words: byId("notice-words"), retry: byId("notice-retry"), login: byId("notice-login"), dismiss: byId("notice-dismiss") });

/** @param {unknown} error @param {(() => void)} [retry] */
function onError(error, retry) {
  if (!(error instanceof RequestError)) throw error;
  if (error.detail.reason !== "aborted") notice.show(failureWords(error.detail), retry ?? null);
}

const consoleView = new Console({ onError, announce: (words) => (byId("announcements").textContent = words) });
const list = new ExecutionList(
  { list: byId("runs"), note: byId("runs-note"), more: byId("more") },
  {
    onChoose: (execution) => {
      location.hash = execution.id;
      // On a narrow screen the console is below the list.
      byId("console").focus();
    },
    onError,
  },
);

async function showChosen() {
  const id = decodeURIComponent(location.hash.slice(1));
  list.choose(id);
  if (!id) return consoleView.clear();
  try {
    const execution = await list.find(id);
    if (decodeURIComponent(location.hash.slice(1)) === id) consoleView.show(execution);
  } catch (error) {
    consoleView.clear();
    onError(error, showChosen);
  }
}

const refresh = () => list.refresh().catch((error) => onError(error, refresh));
feed.listen({ onEvent: (event) => void list.hear(event), onStale: refresh });
watch((event) => event.type.startsWith("plugin.execution."));
addEventListener("hashchange", showChosen);
refresh().then(showChosen);
