// @ts-check
import { newId } from "./uuid.js";
import { nextSession } from "./session.js";

const VISITOR = "dewpond.id";
const USER = "dewpond.user";
const SESSION = "dewpond.session";

/**
 * Says whose events these are. Stores nothing before the first `stamp`: until then there may be no consent.
 *
 * @param {import("./store.js").Store} local shared by the pages of an origin: who.
 * @param {import("./store.js").Store} tab of this tab: the session.
 * @param {boolean} hasVisitor whether to make an `anonymous_id`; false if a cookie says who.
 */
export function openIdentity(local, tab, hasVisitor) {
  /** A user who is not stored yet. */
  let newUser = "";
  return {
    /**
     * Fills in who, and the session, as of the event's own time.
     *
     * @param {import("./event.js").TrackerEvent} event
     */
    stamp(event) {
      const session = nextSession(tab.get(SESSION), Date.parse(event.timestamp), newId);
      tab.set(SESSION, session);
      event.session_id = session.split(" ")[0];
      if (newUser) local.set(USER, newUser);
      newUser = "";
      event.user_id = local.get(USER) ?? undefined;
      if (hasVisitor) {
        if (!local.get(VISITOR)) local.set(VISITOR, newId());
        event.anonymous_id = local.get(VISITOR) ?? undefined;
      }
    },

    /** @param {string} user */
    setUser: (user) => (newUser = user),

    /** Forgets who and the session: the next event is a stranger's. */
    forget() {
      newUser = "";
      local.remove(VISITOR);
      local.remove(USER);
      tab.remove(SESSION);
    },
  };
}
