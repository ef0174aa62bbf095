// @ts-check

const MARK = "data-dewpond-view";
const SHARE_MIN = 0.5;
const VISIBLE_MS = 1_000;
/** A page that changes all the time is searched this often. */
const SEARCH_MS = 100;

/**
 * Watches the elements marked `data-dewpond-view="name"`, those that come later too.
 *
 * @param {(element: Element, name: string) => void} act called when at least half of an element has been visible
 *   for a second: once per element and page view.
 * @returns {() => void} begins a new page view.
 */
export function watchViews(act) {
  /** @type {WeakSet<Element>} */
  let seen = new WeakSet();
  /** @type {Map<Element, ReturnType<typeof setTimeout>>} */
  const timers = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let search;

  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, intersectionRatio } of entries) {
        clearTimeout(timers.get(target));
        if (intersectionRatio >= SHARE_MIN && !document.hidden) timers.set(target, setTimeout(view, VISIBLE_MS, target));
      }
    },
    { threshold: SHARE_MIN },
  );

  /** @param {Element} element */
  function view(element) {
    observer.unobserve(element);
    if (seen.has(element)) return;
    seen.add(element);
    act(element, element.getAttribute(MARK) ?? "");
  }

  function find() {
    search = undefined;
    document.querySelectorAll(`[${MARK}]`).forEach((element) => {
      // To observe twice is to observe once.
      if (!seen.has(element)) observer.observe(element);
    });
  }

  /** A second has to be whole: it starts again when the page is seen again, and for a new page view. */
  function restart() {
    observer.disconnect();
    timers.forEach((timer) => clearTimeout(timer));
    timers.clear();
    if (!document.hidden) find();
  }

  new MutationObserver(() => {
    search ??= setTimeout(find, SEARCH_MS);
  }).observe(document, { childList: true, subtree: true, attributeFilter: [MARK] });
  document.addEventListener("visibilitychange", restart);
  return () => {
    seen = new WeakSet();
    restart();
  };
}
