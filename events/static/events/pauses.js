/** How long to wait before something is tried again. */

/**
 * Milliseconds that a `Retry-After` header asks for (RFC 9110, 10.2.3: seconds or a date); null without a usable one.
 * @param {string|null} value
 * @param {number} [now]
 * @returns {number|null}
 */
export function parseRetryAfter(value, now = Date.now()) {
  if (value === null) return null;
  if (/^\s*\d+\s*$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}

/**
 * The wait before attempt number `attempt`: anything up to a ceiling that doubles each time ("full jitter"), so that a
 * thousand readers cut off at once come back evenly spread and not in waves.
 * @param {number} attempt from 1
 * @param {number} firstMs
 * @param {number} maxMs
 * @param {() => number} [random]
 */
export function backOff(attempt, firstMs, maxMs, random = Math.random) {
  return Math.round(Math.min(maxMs, firstMs * 2 ** Math.min(attempt - 1, 30)) * random());
}
