/** Work that many things ask for at once. */

/**
 * Does `work` when asked. Who asks while it is being done has it done once more afterwards: what came in between counts.
 * @template T
 * @param {() => Promise<T>} work
 * @returns {() => Promise<T>}
 */
export function coalesced(work) {
  /** @type {Promise<T>|null} */
  let running = null;
  /** @type {Promise<T>|null} */
  let next = null;
  const start = () => {
    next = null;
    running = work().finally(() => (running = null));
    return running;
  };
  return () => {
    if (running === null) return start();
    next ??= running.then(start, start);
    return next;
  };
}
