// What a browser remembers. In a frame of another site it may refuse to, by an exception; then nothing is remembered.

export function remembered(name: string, where: () => Storage = () => localStorage): string | null {
  try {
    return where().getItem(name);
  } catch {
    return null;
  }
}

/** `null` forgets. */
export function remember(name: string, value: string | null, where: () => Storage = () => localStorage): void {
  try {
    if (value === null) where().removeItem(name);
    else where().setItem(name, value);
  } catch {
    // It holds until the page is closed.
  }
}
