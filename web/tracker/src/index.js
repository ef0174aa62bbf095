// @ts-check

/**
 * The tracker as a module: `createTracker({ site: "shop", endpoint: "https://events.shop.example" })`.
 */
export { createTracker } from "./tracker.js";
