/** The chat's own addresses; requests to them are those of every page. */

export { csrfToken, newKey, request, RequestError } from "../events/requests.js";

/**
 * The cursor in a page's `next`: a date in a list of conversations, a number in one of messages.
 * @param {string|number|null} next
 * @returns {string|null}
 */
export function cursorOf(next) {
  return next === null ? null : String(next);
}

export const conversationsPath = "/api/v1/conversations";
/** @param {string} id */
export const conversationPath = (id) => `${conversationsPath}/${encodeURIComponent(id)}`;
/** @param {string} id */
export const messagesPath = (id) => `${conversationPath(id)}/messages`;
/** @param {string} id */
export const answerPath = (id) => `/api/messages/${encodeURIComponent(id)}/events`;
/** @param {string} id */
export const stopPath = (id) => `/api/messages/${encodeURIComponent(id)}/stop`;
