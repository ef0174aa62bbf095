// @ts-check

/**
 * Texts by key. Never throws.
 *
 * @typedef {object} Store
 * @property {(key: string) => string | null} get
 * @property {(key: string, text: string) => void} set
 * @property {(key: string) => void} remove
 * @property {() => string[]} keys
 */

/**
 * Opens a store over a storage of the browser. What the storage does not take, because it is denied or full,
 * is kept in memory, and so for the life of the page.
 *
 * @param {() => Storage} pick reaches for the storage. A function, since with cookies blocked even
 *   reading `window.localStorage` throws.
 * @returns {Store}
 */
export function openStore(pick) {
  /** @type {Map<string, string>} */
  const memory = new Map();
  /** @template T @param {(storage: Storage) => T} act @returns {T | undefined} */
  const attempt = (act) => {
    try {
      return act(pick());
    } catch {
      // Denied or full: memory has it.
    }
  };
  return {
    get: (key) => memory.get(key) ?? attempt((storage) => storage.getItem(key)) ?? null,
    set(key, text) {
      memory.set(key, text);
      attempt((storage) => {
        storage.setItem(key, text);
        memory.delete(key);
      });
    },
    remove(key) {
      memory.delete(key);
      attempt((storage) => storage.removeItem(key));
    },
    keys: () => [...(attempt(Object.keys) ?? []), ...memory.keys()],
  };
}
