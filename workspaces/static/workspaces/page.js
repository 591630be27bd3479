/** The page of one workspace: puts its parts together. */

import { byId } from "../events/elements.js";
import { request, RequestError } from "../events/requests.js";
import { connection, user } from "../events/shell.js";
import { ResumingSocket } from "../events/socket.js";
import { Broadcasting } from "./broadcasting.js";
import { EventsList } from "./events-list.js";
import { MembersList } from "./members.js";
import { PresenceList } from "./presence.js";

const { id, may_administer: mayAdminister } = JSON.parse(byId("page-data").textContent);
/** A lost change of presence is made good after so long at the latest. */
const STATE_MS = 30_000;

const presence = new PresenceList({ list: byId("here"), note: byId("here-note") }, user);
const events = new EventsList({ list: byId("happenings"), note: byId("happenings-note") }, (userId) => presence.nameOf(userId));
let connections = 0;

/** @type {Map<string, (frame: any) => void>} */
const answers = new Map([
  ["connected", () => (connections += 1)],
  ["pong", () => {}],
  ["token_expiring", () => {}],
  ["workspace_state", (frame) => presence.set(frame)],
  ["user_joined", (frame) => presence.add(frame)],
  ["user_left", (frame) => presence.remove(frame.user_id)],
  ["accepted", (frame) => broadcasting.accept(frame, user)],
  ["error", (frame) => broadcasting.refuse(frame) || console.warn("The server refused a frame:", frame.message)],
  ["backlog.truncated", (frame) => gap(frame)],
]);

const members = new MembersList({ workspace: id, user, mayAdminister, onNames: (people) => presence.learn(people) });
// First the names, which events are told in; without them their ids stand for people.
await members.refresh();
const broadcasting = new Broadcasting({ send: (frame) => socket.send(frame), onSent: (frame) => events.add(frame) });
// From the beginning of what is kept: what happened before is shown, too.
const socket = new ResumingSocket({
  path: `/ws/workspaces/${encodeURIComponent(id)}`,
  cursor: "0-0",
  onFrame: (frame) => (answers.get(frame.type) ?? happened)(frame),
  onState: (state, detail) => {
    connection.set("workspace", state, detail);
    broadcasting.setLive(state === "live");
    if (state === "reconnecting") presence.forget();
    if (state === "failed" && detail.reason !== "unauthorized") putOut();
  },
});
setInterval(() => socket.send({ type: "workspace_state" }), STATE_MS);
byId("connection-retry").addEventListener("click", () => socket.retryNow());
addEventListener("online", () => socket.retryNow());
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && socket.retryNow());
/** @param {import("./words.js").Frame} frame */
function happened(frame) {
  if (frame.origin === "server" && frame.type === "member_added") presence.learn([{ user_id: frame.member_id, username: frame.member_name }]);
  events.add(frame);
  if (frame.origin === "server" && frame.type.startsWith("member_")) members.refreshSoon();
}

/** @param {{oldest_retained_id: string}} notice */
function gap({ oldest_retained_id: oldest }) {
  // The first connection asks for everything, and knows that not all of it is kept.
  if (connections === 1) return;
  if (oldest) events.clear();
  events.addGap();
}

/** The socket is over for good: not a member any more, or the workspace is gone. */
function putOut() {
  presence.set({ members: [], count: 0 });
  byId("here-note").textContent = "";
  byId("put-out").hidden = false;
  byId("broadcast").hidden = true;
}
