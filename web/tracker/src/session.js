// @ts-check

/** A pause longer than this ends a session; exactly this long does not. The SQL of sessions says the same. */
const PAUSE_MS_MAX = 1_800_000;

/**
 * Decides which session an event belongs to.
 *
 * @param {string | null} stored what the last call returned, or null.
 * @param {number} nowMs when the event happened.
 * @param {() => string} newId makes the id of a new session.
 * @returns {string} the session's id and the time of its last event, with a space between them: to be stored.
 */
export function nextSession(stored, nowMs, newId) {
  const [id, lastMs] = (stored ?? "").split(" ");
  return `${id && nowMs - Number(lastMs) <= PAUSE_MS_MAX ? id : newId()} ${nowMs}`;
}
