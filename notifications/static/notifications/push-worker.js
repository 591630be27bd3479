/**
 * The service worker that shows pushes while no page is open. It caches nothing and answers no requests.
 * @file
 */

/** @type {ServiceWorkerGlobalScope} */
const worker = /** @type {any} */ (self);

worker.addEventListener("install", () => void worker.skipWaiting());
worker.addEventListener("activate", (event) => event.waitUntil(worker.clients.claim()));

worker.addEventListener("push", (event) => {
  /** @type {{title?: string, body?: string, action_url?: string, priority?: string, tag?: string}} */
  let told = {};
  try {
    told = event.data?.json() ?? {};
  } catch {
    // A browser takes the right to push away from those who show nothing.
  }
  event.waitUntil(
    worker.registration.showNotification(told.title || "Something happened", {
      body: told.body ?? "",
      icon: "/static/events/icon.svg",
      tag: told.tag,
      requireInteraction: told.priority === "critical",
      data: { url: told.action_url || "/notifications" },
    }),
  );
});

worker.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data?.url || "/notifications"));
});

/** Where it leads: in the tab that shows it already, in one of ours, or in a new one. @param {string} path */
async function open(path) {
  const url = new URL(path, worker.location.origin).href;
  const pages = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  const shown = pages.find((page) => page.url === url);
  if (shown) return shown.focus();
  return worker.clients.openWindow(url);
}
