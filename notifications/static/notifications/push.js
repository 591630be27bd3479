/** Pushes to this browser: whether it takes them, and switching that on and off. */

import { request } from "../events/requests.js";

/** @typedef {"unsupported"|"denied"|"off"|"on"} PushState */

const SUBSCRIPTIONS = "/api/v1/push/subscriptions";

/** @returns {Promise<PushState>} */
export async function pushState() {
  if (!("serviceWorker" in navigator && "PushManager" in window && "Notification" in window)) return "unsupported";
  if (Notification.permission === "denied") return "denied";
  const registration = await navigator.serviceWorker.getRegistration("/");
  return (await registration?.pushManager.getSubscription()) ? "on" : "off";
}

/** Asks the user, subscribes at the browser's push service, and tells the server. @returns {Promise<PushState>} */
export async function takePushes() {
  if ((await Notification.requestPermission()) !== "granted") return pushState();
  await navigator.serviceWorker.register("/notifications/push-worker.js", { scope: "/" });
  const registration = await navigator.serviceWorker.ready;
  const { key } = await request("/api/v1/push/key");
  const old = await registration.pushManager.getSubscription();
  // One that was made for another key of the server takes no pushes signed with this one.
  if (old && !sameKey(old.options.applicationServerKey, key)) await old.unsubscribe();
  const subscription = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  await request(SUBSCRIPTIONS, { method: "POST", body: subscription.toJSON() });
  return "on";
}

/** @returns {Promise<PushState>} */
export async function leavePushes() {
  const registration = await navigator.serviceWorker.getRegistration("/");
  const subscription = await registration?.pushManager.getSubscription();
  if (subscription) {
    await request(SUBSCRIPTIONS, { method: "DELETE", body: { endpoint: subscription.endpoint } });
    await subscription.unsubscribe();
  }
  return "off";
}

/** @param {ArrayBuffer|null} raw @param {string} key base64url */
function sameKey(raw, key) {
  if (!raw) return false;
  const text = btoa(String.fromCharCode(...new Uint8Array(raw)));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "") === key;
}
