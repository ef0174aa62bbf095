// @ts-check

/**
 * What makes two addresses the same page: all but the fragment, unless the fragment is a route (`#/…`, `#!…`) to
 * somewhere else than the root. The collector makes `path` by the same rule.
 *
 * @param {string} href
 * @returns {string}
 */
export function pageOf(href) {
  return href.replace(/#(?![/!]).*|#!?\/?(?:\?.*)?$/, "");
}

/**
 * Calls `act` once the page is shown: at once, unless the browser has loaded it in advance, since it may never be seen then.
 *
 * @param {() => void} act
 */
export function onceShown(act) {
  if (/** @type {{ prerendering?: boolean }} */ (document).prerendering) {
    document.addEventListener("prerenderingchange", act, { once: true });
  } else {
    act();
  }
}

/**
 * Calls `act` after each change of the address that no page load comes with.
 *
 * @param {() => void} act must not throw: the page's own call would fail with it.
 */
export function onNavigation(act) {
  for (const name of /** @type {const} */ (["pushState", "replaceState"])) {
    const original = history[name];
    history[name] = function (...args) {
      original.apply(this, args);
      act();
    };
  }
  addEventListener("popstate", act);
  addEventListener("hashchange", act);
}

/**
 * Calls `act` once the page has been visible for some time without a break; at once if that is no time.
 *
 * "At once" is after the running script: a page sets its title right after its address, and both are wanted.
 *
 * @param {number} ms
 * @param {() => void} act
 * @returns {() => void} gives up waiting. What is due at once is not given up: of two addresses in one script
 *   both are counted.
 */
export function onceVisibleFor(ms, act) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const done = () => {
    stop();
    act();
  };
  const restart = () => {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(done, ms);
  };
  const stop = () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", restart);
  };
  if (!ms) {
    setTimeout(act);
    return () => {};
  }
  document.addEventListener("visibilitychange", restart);
  restart();
  return stop;
}
