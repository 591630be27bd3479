/** The addresses of jobs and of their sessions. */

export { request, RequestError } from "../../events/requests.js";

export const beginPath = "/v1/chat/async";
/** @param {string} [cursor] */
export const sessionsPath = (cursor = "") => `/v1/sessions${cursor ? `?cursor=${encodeURIComponent(cursor)}` : ""}`;
/** @param {string} session */
export const sessionPath = (session) => `/v1/sessions/${encodeURIComponent(session)}`;
/** @param {string} job */
export const cancelPath = (job) => `/v1/jobs/${encodeURIComponent(job)}/cancel`;
/** @param {string} session */
export const approvePath = (session) => `/v1/chat/${encodeURIComponent(session)}/approve`;
/** @param {string} session @param {string} job */
export const streamPath = (session, job) => `/v1/chat/${encodeURIComponent(session)}/stream?job_id=${encodeURIComponent(job)}`;
/** @param {string} job @param {string} change @param {"old"|"new"} side */
export const changePath = (job, change, side) => `/documents/changes/${encodeURIComponent(job)}/${encodeURIComponent(change)}/${side}`;
/** @param {string} version */
export const versionPath = (version) => `/documents/versions/${encodeURIComponent(version)}`;
