/** Sending a question: one POST that becomes the stream of its answer. */

import { openStream } from "../events/stream.js";
import { isAnswerEnd } from "./answer.js";
import { answerPath, csrfToken } from "./api.js";

/** Someone is waiting with an unsent question: after so many attempts, or for a longer wait, the page says so instead. */
const ATTEMPTS = 3;
const LONGEST_WAIT_MS = 8_000;

/**
 * Until the first event the question counts as not accepted: it is sent again, with the same `Idempotency-Key`, and then
 * given back by `onRefused`. From the first event on the stream is like that of any other answer.
 * @param {object} options
 * @param {string} options.question
 * @param {string|null} options.conversationId  null: a new conversation
 * @param {string} options.applicationId  of a new conversation; empty: none
 * @param {string} options.key  the same for every attempt to send this question
 * @param {import("./answer.js").AnswerReader} options.reader
 * @param {(begun: {message_id: string, conversation_id: string}, stream: import("../events/stream.js").Stream) => void} options.onAccepted
 * @param {(state: any, detail: any) => void} options.onState  after it was accepted
 * @param {() => void} options.onDelay  not accepted yet, and tried again
 * @param {(detail: import("../events/stream.js").StateDetail) => void} options.onRefused
 */
export function sendQuestion({ question, conversationId, applicationId, key, reader, onAccepted, onState, onDelay, onRefused }) {
  let messageId = "";
  /** @type {import("../events/stream.js").StateDetail|null} */
  let gaveUp = null;
  const stream = openStream({
    url: "/stream",
    method: "POST",
    body: JSON.stringify(conversationId === null ? { question, application_id: applicationId } : { question, conversation_id: conversationId }),
    headers: () => ({ "Content-Type": "application/json", "X-CSRFToken": csrfToken(), "Idempotency-Key": key }),
    isTerminal: isAnswerEnd,
    resume: () => (messageId ? answerPath(messageId) : null),
    onEvent(event) {
      reader.take(event);
      if (messageId || !reader.begun) return;
      messageId = reader.begun.message_id;
      onAccepted(reader.begun, stream);
    },
    onState(state, detail) {
      if (messageId) onState(state, detail);
      else if (state === "failed" || state === "ended") onRefused(gaveUp ?? detail);
      else if (state === "reconnecting") {
        onDelay();
        if ((detail.attempt ?? 0) < ATTEMPTS && (detail.delayMs ?? 0) <= LONGEST_WAIT_MS) return;
        gaveUp = detail;
        stream.close();
      }
    },
  });
  return stream;
}
