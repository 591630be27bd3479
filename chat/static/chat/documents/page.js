/** The page of documents: puts its parts together. Which one is shown is in the address, after the #. */

import { byId } from "../../events/elements.js";
import { Notice } from "../../events/notice.js";
import { newKey } from "../../events/requests.js";
import { feed, watch } from "../../events/shell.js";
import { failureWords } from "../../events/words.js";
import { beginPath, request, RequestError, sessionPath } from "./api.js";
import { JobView } from "./job-view.js";
import { DocumentList } from "./list.js";
import { ShownDocument } from "./shown.js";

const { username, max_bytes: maxBytes } = JSON.parse(byId("page-data").textContent);
const notice = new Notice({ box: byId("notice"), words: byId("notice-words"), retry: byId("notice-retry"), login: byId("notice-login"), dismiss: byId("notice-dismiss") });

/** @param {unknown} error @param {(() => void)} [retry] */
function onError(error, retry) {
  if (!(error instanceof RequestError)) throw error;
  if (error.detail.reason !== "aborted") notice.show(failureWords(error.detail), retry ?? null);
}

const list = new DocumentList({ onError });
const shown = new ShownDocument({ onError });
const jobView = new JobView({ me: username, onError, onEnd: () => void refresh(), announce: (words) => (byId("announcements").textContent = words) });

/** Jobs that were begun here: nobody need be told that they wait. @type {Set<string>} */
const begun = new Set();
const chosen = () => decodeURIComponent(location.hash.slice(1));

/** What the server says of the chosen document: its newest job, and how it is now. */
async function showChosen() {
  const session = chosen();
  list.choose(session);
  if (!session) {
    jobView.clear();
    shown.clear();
    byId("giving").hidden = false;
    return;
  }
  const history = await request(`${sessionPath(session)}/history`);
  const jobs = await request(`${sessionPath(session)}/jobs?limit=1`);
  if (chosen() !== session) return;
  byId("giving").hidden = await shown.show(session);
  const last = jobs.jobs[0];
  const asked = history.messages.filter((/** @type {any} */ each) => each.job_id === last?.job_id && each.sender === "user").pop();
  if (last) jobView.show(session, last.job_id, asked?.content ?? "");
}

/** @returns {Promise<void>} */
async function refresh() {
  try {
    await Promise.all([list.refresh(), showChosen()]);
  } catch (error) {
    onError(error, refresh);
  }
}

byId("file").addEventListener("change", async () => {
  const file = byId("file").files[0];
  if (!file) return;
  if (file.size > maxBytes) return showProblem(`This file is larger than the ${Math.floor(maxBytes / 1024)} KiB that can be edited.`);
  byId("html").value = await file.text();
  byId("message").focus();
});

/** Its first heading. Nothing in a document that is only parsed runs or is fetched. @param {string} html */
function titleOf(html) {
  const heading = new DOMParser().parseFromString(html, "text/html").querySelector("h1, h2, h3, title");
  return (heading?.textContent ?? "").replaceAll("\0", "").trim().slice(0, 200);
}

/** @param {string} words */
function showProblem(words) {
  byId("asking-error").textContent = words;
  byId("asking-error").hidden = words === "";
}

byId("asking").addEventListener("submit", async (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  const html = byId("giving").hidden ? "" : byId("html").value;
  if (!byId("giving").hidden && !html.trim()) return showProblem("Paste the HTML of a document, or choose a file.");
  showProblem("");
  byId("ask").disabled = true;
  const mode = byId("ask-first").checked ? "ask_every_time" : "approve_all";
  const session = chosen() || `document-${newKey().slice(0, 12)}`;
  const body = { message: byId("message").value, session_id: session, approval_mode: mode, ...(html ? { document_html: html, title: titleOf(html) } : {}) };
  try {
    begun.add((await request(beginPath, { method: "POST", body })).job_id);
    byId("message").value = byId("html").value = byId("file").value = "";
    if (chosen()) await refresh();
    else location.hash = (await request("/v1/sessions")).sessions.find((/** @type {any} */ each) => each.session_id === session)?.id ?? "";
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    showProblem(failureWords(error.detail).words);
  } finally {
    byId("ask").disabled = false;
  }
});

byId("new-document").addEventListener("click", () => {
  location.hash = "";
  byId("html").focus();
});

/** Somebody who shares it has asked, or it is over. @param {import("../../events/feed.js").FeedEvent} event */
const isAboutChosen = (event) => event.payload?.session_id === chosen() && chosen() !== "";
feed.listen({
  onEvent: (event) => void (["message.started", "message.finished"].includes(event.type) && isAboutChosen(event) && refresh()),
  onStale: () => void refresh(),
});
watch((event) => isAboutChosen(event) || event.payload?.message_id === jobView.job || begun.has(event.payload?.message_id));

/** A notice leads to a job; the address is then that of its session. */
async function go() {
  const [kind, id] = chosen().split(":");
  if (kind !== "job" || !id) return refresh();
  try {
    const { metadata } = await request(`/v1/jobs/${encodeURIComponent(id)}?compact=1`);
    location.replace(`#${metadata.session}`);
  } catch (error) {
    onError(error, go);
  }
}
addEventListener("hashchange", () => void go());
void go();
