/** The addresses of rooms. */

/** The page of a room; null: of none. @param {string|null} id */
export const addressOf = (id) => (id === null ? "/rooms" : `/rooms/${encodeURIComponent(id)}`);
export const roomsPath = "/api/v1/rooms";
export const accountsPath = `${roomsPath}/accounts`;
/** @param {string} id */
export const roomPath = (id) => `${roomsPath}/${encodeURIComponent(id)}`;
/** @param {string} id */
export const postsPath = (id) => `${roomPath(id)}/messages`;
/** @param {string} id */
export const readPath = (id) => `${roomPath(id)}/read`;
/** @param {string} id */
export const participantsPath = (id) => `${roomPath(id)}/participants`;
/** @param {string} id @param {string} account */
export const participantPath = (id, account) => `${participantsPath(id)}/${encodeURIComponent(account)}`;

/**
 * @typedef {{account_id: string, kind: "user"|"agent", name: string, role: string, auto_respond: boolean}} Participant
 * @typedef {{id: string, type: string, title: string, organization: string, participants: Participant[], role: string, unread: number,
 *   running_message_id: string|null, last_message: {author: {name: string}, text: string}|null, updated_at: string}} Room
 */
