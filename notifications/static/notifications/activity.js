/** Tells the server now and then that its user does something here: a tab that is only open must not swallow a push. */

import { request, RequestError } from "../events/requests.js";

const PAUSE = 30_000;
let toldAt = 0;

async function tell() {
  if (document.visibilityState !== "visible" || Date.now() - toldAt < PAUSE) return;
  toldAt = Date.now();
  try {
    await request("/api/v1/notifications/activity", { method: "POST", body: {} });
  } catch (error) {
    // Away or logged out: whoever cannot be reached here is reached elsewhere.
    if (!(error instanceof RequestError)) throw error;
  }
}

for (const kind of ["pointerdown", "keydown", "wheel", "touchstart"]) addEventListener(kind, () => void tell(), { passive: true });
