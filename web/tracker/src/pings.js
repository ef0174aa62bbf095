// @ts-check

/**
 * Calls `act` again and again while the page is visible.
 *
 * @param {number} everyMs 0 for never.
 * @param {() => void} act
 * @returns {() => void} stops it.
 */
export function pingWhileVisible(everyMs, act) {
  const timer = everyMs ? setInterval(() => document.hidden || act(), everyMs) : undefined;
  return () => clearInterval(timer);
}
