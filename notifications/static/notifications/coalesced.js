/** Work that many things ask for at once. */

/**
 * Does `work` when asked. Who asks while it is being done, or within a pause after it, has it done once more afterwards, all
 * together: what came in between counts, and a hundred events in a second are not a hundred requests of each tab.
 * @template T
 * @param {() => Promise<T>} work
 * @param {number} [pauseMs]
 * @returns {() => Promise<T>}
 */
export function coalesced(work, pauseMs = 100) {
  /** @type {Promise<unknown>|null} */
  let busy = null;
  /** @type {Promise<T>|null} */
  let next = null;
  const start = () => {
    const result = work();
    busy = result
      .catch(() => undefined) // told to who asked
      .then(() => new Promise((resolve) => setTimeout(resolve, pauseMs)))
      .then(() => (busy = null));
    return result;
  };
  return () => {
    if (busy === null) return start();
    next ??= busy.then(() => {
      next = null;
      return start();
    });
    return next;
  };
}
