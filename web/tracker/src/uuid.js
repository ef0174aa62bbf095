// @ts-check

/**
 * Writes a UUIDv7: the time, then random bits. Sorting such ids sorts by time, to the millisecond.
 *
 * @param {number} nowMs milliseconds since 1970.
 * @param {Uint8Array} random at least 10 random bytes.
 * @returns {string} 36 characters, in lower case.
 */
export function uuidV7(nowMs, random) {
  const hex = [...random].map((byte) => (byte + 256).toString(16).slice(1)).join("");
  const time = nowMs.toString(16).padStart(12, "0");
  // Half of a digit says "variant 1"; the other half is random like the rest.
  const variant = "89ab"[random[9] & 3];
  return `${time}7${hex.slice(0, 3)}${variant}${hex.slice(3, 18)}`.replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/**
 * A new id, of now. `crypto.randomUUID` would be shorter, but plain http pages do not have it.
 *
 * @returns {string}
 */
export function newId() {
  return uuidV7(Date.now(), crypto.getRandomValues(new Uint8Array(10)));
}
