/** The page of notification settings: puts its parts together. */

import { byId, make } from "../events/elements.js";
import { Notice } from "../events/notice.js";
import { request, RequestError } from "../events/requests.js";
import { failureWords } from "../events/words.js";
import { leavePushes, pushState, takePushes } from "./push.js";
import { RuleEditor } from "./rule_editor.js";

const PREFERENCES = "/api/v1/notifications/preferences";
const CHANNELS = ["websocket", "push", "email"];
const { organizations, user_id: userId } = JSON.parse(byId("organizations").textContent);
const notice = new Notice({ box: byId("notice"), words: byId("notice-words"), retry: byId("notice-retry"), login: byId("notice-login"), dismiss: byId("notice-dismiss") });
const editor = new RuleEditor({ onSaved: () => void attempt(showRules) });
/** @type {{choices: {rule: string|null, channel: string, enabled: boolean}[], quiet: any}} */
let preferences = { choices: [], quiet: null };

/** @param {() => Promise<unknown>} what */
async function attempt(what) {
  try {
    await what();
    notice.hide();
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    notice.show(failureWords(error.detail), () => void attempt(what));
  }
}

const organization = () => document.querySelector("#organization") instanceof HTMLSelectElement ? byId("organization").value : (organizations[0] ?? "");

/** What was chosen, the most special first, as the server decides it. @param {string|null} rule @param {string} channel */
function wants(rule, channel) {
  for (const [r, c] of [[rule, channel], [rule, ""], [null, channel], [null, ""]]) {
    const found = preferences.choices.find((each) => each.rule === r && each.channel === c);
    if (found) return found.enabled;
  }
  return true;
}

/** @param {any} change */
async function save(change) {
  preferences = await request(PREFERENCES, { method: "PATCH", body: change });
}

/** @param {string|null} rule @param {string} channel @param {string} name @param {boolean} used */
function box(rule, channel, name, used) {
  const cell = make("td");
  if (!used) {
    cell.append(make("span", "rule-about", "–"));
    return cell;
  }
  const input = make("input");
  input.type = "checkbox";
  input.checked = wants(rule, channel);
  input.setAttribute("aria-label", `${name}: ${channel}`);
  input.addEventListener("change", () =>
    void attempt(async () => {
      await save({ choices: [{ rule, channel, enabled: input.checked }] });
      await showRules();
    }),
  );
  cell.append(input);
  return cell;
}

async function showRules() {
  const body = byId("rules");
  const note = byId("rules-note");
  if (!organization()) {
    note.textContent = "You belong to no organisation yet.";
    byId("new-rule").hidden = true;
    return;
  }
  const everything = make("tr");
  everything.append(make("td", "rule-name", "Everything"), ...CHANNELS.map((channel) => box(null, channel, "Everything", true)), make("td"));
  const rows = [everything];
  for (let cursor = ""; ; ) {
    const found = await request(`/api/v1/notifications/rules?organization=${encodeURIComponent(organization())}&cursor=${encodeURIComponent(cursor)}`);
    rows.push(...found.results.map(ruleRow));
    if (!(cursor = found.next)) break;
  }
  body.replaceChildren(...rows);
  note.textContent = "";
}

/** @param {any} rule */
function ruleRow(rule) {
  const row = make("tr");
  const name = make("td");
  name.append(make("span", "rule-name", rule.name + (rule.enabled ? "" : " (off)")), make("span", "rule-about", `${rule.priority} · ${rule.recipients.join(", ")} · ${rule.pattern}`));
  if (rule.failure) name.append(make("span", "rule-failure", `Failed: ${rule.failure}`));
  const change = make("td");
  const button = make("button", "link-button", "Change");
  button.type = "button";
  button.setAttribute("aria-label", `Change ${rule.name}`);
  button.addEventListener("click", () => editor.open(rule, organization(), userId));
  change.append(button);
  row.append(name, ...CHANNELS.map((channel) => box(rule.id, channel, rule.name, rule.channels.includes(channel))), change);
  return row;
}

function showQuiet() {
  const quiet = preferences.quiet;
  byId("quiet-zone").value = quiet?.time_zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (quiet) [byId("quiet-begins").value, byId("quiet-ends").value] = [quiet.begins, quiet.ends];
  byId("quiet-off").hidden = quiet === null;
  byId("quiet-words").textContent = quiet ? `Quiet from ${quiet.begins} to ${quiet.ends}, ${quiet.time_zone}.` : "You have no quiet hours.";
}

const PUSH_WORDS = {
  unsupported: ["This browser takes no pushes.", ""],
  denied: ["This browser does not let this page show notifications. Its settings for the page change that.", ""],
  off: ["This browser shows nothing while no page of this server is looked at.", "Show notifications here"],
  on: ["This browser shows notifications, also while no page of this server is open.", "No more notifications here"],
};

async function showPush(state = pushState()) {
  const now = await state;
  const [words, button] = PUSH_WORDS[now];
  byId("push-words").textContent = words;
  byId("push").textContent = button;
  byId("push").hidden = button === "";
  byId("push").dataset.state = now;
}

byId("push").addEventListener("click", () =>
  void attempt(async () => {
    try {
      await showPush(byId("push").dataset.state === "on" ? leavePushes() : takePushes());
    } catch (error) {
      if (error instanceof RequestError) throw error;
      // The browser's own push service may be away, or switched off.
      byId("push-words").textContent = `The browser could not subscribe: ${error instanceof Error ? error.message : error}`;
    }
  }),
);
byId("quiet").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  void attempt(async () => {
    await save({ quiet: { begins: byId("quiet-begins").value, ends: byId("quiet-ends").value, time_zone: byId("quiet-zone").value } });
    showQuiet();
  });
});
byId("quiet-off").addEventListener("click", () => void attempt(async () => {
  await save({ quiet: null });
  showQuiet();
}));
byId("new-rule").addEventListener("click", () => editor.open(null, organization(), userId));
document.querySelector("#organization")?.addEventListener("change", () => void attempt(showRules));
for (const zone of Intl.supportedValuesOf("timeZone")) {
  const option = make("option");
  option.value = zone;
  byId("zones").append(option);
}
void showPush();
void attempt(async () => {
  preferences = await request(PREFERENCES);
  showQuiet();
  await showRules();
});
