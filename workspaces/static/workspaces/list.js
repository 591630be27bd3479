/** The page of workspaces: those that one may enter, and a form for those who may make one. */

import { byId, make } from "../events/elements.js";
import { Notice } from "../events/notice.js";
import { request, RequestError } from "../events/requests.js";
import { feed, user } from "../events/shell.js";
import { failureWords } from "../events/words.js";
import { memberWords } from "./words.js";

/** @typedef {{id: string, name: string, organization: string, role: string|null, members: number}} Workspace */

const PATH = "/api/v1/workspaces";
const notice = new Notice({ box: byId("notice"), words: byId("notice-words"), retry: byId("notice-retry"), login: byId("notice-login"), dismiss: byId("notice-dismiss") });
/** @type {string|null} */
let next = null;
let loads = 0;

/** @param {unknown} error @param {() => void} retry */
function onError(error, retry) {
  if (!(error instanceof RequestError)) throw error;
  notice.show(failureWords(error.detail), retry);
}

/** @param {Workspace} workspace */
function rowOf(workspace) {
  const row = make("li", "workspace");
  row.dataset.id = workspace.id;
  const text = make("div", "workspace-text");
  const facts = `${memberWords(workspace.members)} · ${workspace.organization}${workspace.role === "admin" ? " · you administer it" : ""}`;
  if (workspace.role === null) {
    text.append(make("span", "workspace-name", workspace.name), make("span", "workspace-facts", facts));
    const join = make("button", "plain-button", "Join");
    join.type = "button";
    join.setAttribute("aria-label", `Join ${workspace.name}`);
    join.addEventListener("click", () => enter(workspace));
    row.append(text, join);
    return row;
  }
  const link = make("a", "workspace-name", workspace.name);
  link.href = `/workspaces/${encodeURIComponent(workspace.id)}`;
  text.append(link, make("span", "workspace-facts", facts));
  row.append(text);
  return row;
}

/** An admin of the organisation, who is no member yet. @param {Workspace} workspace */
async function enter(workspace) {
  try {
    await request(`${PATH}/${encodeURIComponent(workspace.id)}/members`, { method: "POST", body: { user, role: "admin" } });
    location.href = `/workspaces/${encodeURIComponent(workspace.id)}`;
  } catch (error) {
    onError(error, () => enter(workspace));
  }
}

/** @param {{anew: boolean}} how  from the first on, or what follows */
async function load({ anew }) {
  loads += 1;
  const mine = loads;
  try {
    const page = await request(`${PATH}?cursor=${encodeURIComponent(anew ? "" : (next ?? ""))}`);
    if (mine !== loads) return; // asked again meanwhile, by an event or by the user
    const rows = page.results.map(rowOf);
    if (anew) byId("workspaces").replaceChildren(...rows);
    else byId("workspaces").append(...rows);
    next = page.next;
    byId("more").hidden = next === null;
    const isEmpty = byId("workspaces").childElementCount === 0;
    byId("list-note").textContent = isEmpty ? "You are in no workspace yet. An admin of your organisation can add you to one." : "";
  } catch (error) {
    byId("list-note").textContent = "";
    onError(error, () => load({ anew }));
  }
}

const refresh = () => load({ anew: true });

async function create() {
  byId("create-send").disabled = true;
  try {
    const made = await request(PATH, { method: "POST", body: { name: byId("create-name").value.trim(), organization: byId("create-organization").value } });
    location.href = made.role === null ? "/workspaces" : `/workspaces/${encodeURIComponent(made.id)}`;
  } catch (error) {
    onError(error, create);
  } finally {
    byId("create-send").disabled = false;
  }
}

byId("more").addEventListener("click", () => load({ anew: false }));
document.getElementById("create")?.addEventListener("submit", (event) => {
  event.preventDefault();
  create();
});
feed.listen({ onEvent: (event) => event.type === "workspace.member_added" && refresh(), onStale: refresh });
refresh();
