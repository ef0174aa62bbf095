// @ts-check
import { scriptOptions } from "./config.js";
import { createTracker } from "./tracker.js";

/**
 * The tracker as a script. It takes the place of `window.dewpond`, after the calls that a page has put there.
 */
const page = /** @type {any} */ (window);
const calls = page.dewpond;
const script = /** @type {HTMLScriptElement | null} */ (document.currentScript);

// A page that loads the script twice has one tracker.
if (!calls?.track) {
  // The collector puts an object in the place of this text, quotes and all.
  const options = scriptOptions("__DEWPOND_CONFIG__", script?.src ?? "", { ...script?.dataset });
  page.dewpond = createTracker(options);
  if (Array.isArray(calls)) calls.forEach(page.dewpond.push);
}
