// For SDKs that make one request of each event.

/**
 * Calls `deliver` with 0, 1, … `count - 1`, some at a time: one by one would wait for the disk once for each event,
 * and all at once would run out of connections.
 *
 * @returns {Promise<Array>} What `deliver` returned, in order. Rejects with its first failure.
 */
export async function inGroups(count, deliver, groupSize = 20) {
  const done = [];
  while (done.length < count) {
    const size = Math.min(groupSize, count - done.length);
    const first = done.length;
    done.push(...(await Promise.all(Array.from({ length: size }, (_, i) => deliver(first + i)))));
  }
  return done;
}
