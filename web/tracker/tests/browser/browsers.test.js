// @ts-check
// What browsers, pages and other scripts do to the tracker.
import assert from "node:assert/strict";
import { test } from "node:test";
import { launch, visitAlone } from "./chromium.js";
import { until } from "./collector.js";
import { arrived, browser, collector, context, errors, loadsInAdvance, names, open, page, pageUrl, queued, settle, turnTo } from "./visit.js";

test("with storage denied, events are sent all the same", async () => {
  await page.addInitScript(() => {
    for (const name of ["localStorage", "sessionStorage"]) {
      Object.defineProperty(window, name, {
        get() {
          throw new DOMException("denied", "SecurityError");
        },
      });
    }
  });
  await open();
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("custom"));
  const [custom] = await arrived("custom");
  const [view] = await arrived("page_view");
  assert.ok(custom.session_id && custom.session_id === view.session_id && custom.anonymous_id === view.anonymous_id);
});

test("with something missing from the browser, the page notices nothing", async () => {
  for (const name of ["fetch", "IntersectionObserver", "MutationObserver", "crypto", "AbortSignal", "TextEncoder"]) {
    const old = await context.newPage();
    await old.addInitScript((name) => Object.defineProperty(window, name, { value: undefined }), name);
    await old.goto(`${pageUrl()}`);
    await old.evaluate(async () => {
      const { dewpond } = /** @type {any} */ (window);
      dewpond.track("custom");
      dewpond.identify("ada");
      dewpond.page();
      dewpond.reset();
      history.pushState({}, "", "/two");
      document.body.click();
      await dewpond.flush();
      dewpond.optOut();
      dewpond.optIn();
    });
    await old.waitForTimeout(400);
    assert.deepEqual(errors, [], `without ${name}`);
    await old.close();
  }
});

test("wrong calls do not throw, and neither does a listener that does", async () => {
  await open();
  await page.evaluate(() => {
    const { dewpond } = /** @type {any} */ (window);
    dewpond.onSend(() => {
      throw new Error("listener");
    });
    /** @type {any} */
    const circle = {};
    circle.circle = circle;
    dewpond.track("circle", circle);
    dewpond.track("big", { n: 1n });
    dewpond.track();
    dewpond.identify();
    dewpond.push();
    dewpond.push(["nonsense"]);
    dewpond.push(7);
    dewpond.track("fine");
  });
  await arrived("fine");
});

test("listeners hear of every event what becomes of it", async () => {
  await open({ attributes: 'data-auto="off"' });
  await page.evaluate(() => {
    const heard = (/** @type {any} */ (window).heard = /** @type {string[]} */ ([]));
    /** @type {any} */ (window).dewpond.onSend((/** @type {string} */ step, /** @type {any[]} */ events) => {
      heard.push(`${step} ${events.map(({ name }) => name)}`);
    });
  });
  collector.answers.push({ status: 503 });
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("custom"));
  await arrived("custom");
  await until(
    () => page.evaluate(() => /** @type {any} */ (window).heard.length === 5),
    "five calls",
  );
  assert.deepEqual(
    await page.evaluate(() => /** @type {any} */ (window).heard),
    ["queued custom", "sent custom", "kept custom", "sent custom", "acknowledged custom"],
  );
});

test("a page that comes back from the browser's cache is viewed again", async () => {
  const keeping = await launch(["--disable-back-forward-cache"]);
  try {
    turnTo(await keeping.newPage());
    collector.pages.set("/plain", "<title>Plain</title>no tracker here");
    await open();
    await arrived("page_view");
    await page.evaluate(() => (/** @type {any} */ (window).isTheSame = true));
    await page.goto(`${collector.url}/plain`);
    // Not `goBack`: it waits for a load, and there is none.
    await page.evaluate(() => setTimeout(() => history.back()));
    const [first, second] = await arrived("page_view", 2);
    assert.ok(await page.evaluate(() => /** @type {any} */ (window).isTheSame), "the page was not loaded again");
    assert.equal(second.url, first.url);
    assert.equal(second.session_id, first.session_id);
    await settle();
    assert.equal(collector.events("page_view").length, 2);
  } finally {
    await keeping.close();
  }
});

test("a page that is loaded in advance counts when it is shown, and so does what it records", async () => {
  loadsInAdvance();
  await visitAlone(`${collector.url}/`, async () => {
    await arrived("page_view");
    await until(() => collector.fetched.includes("/loaded"), "the page to be loaded in advance");
    assert.deepEqual(names(), ["page_view"]);

    const before = Date.now();
    collector.pages.set("/go", "now");
    const [, view] = await arrived("page_view", 2);
    await arrived("early");
    assert.ok(collector.fetched.includes("/shown"), "the page that was loaded in advance is the one that is shown");
    assert.equal(view.url, `${collector.url}/next`);
    for (const event of [view, ...collector.events("early")]) assert.ok(Date.parse(event.timestamp) >= before);
    await settle();
    assert.deepEqual(names().sort(), ["early", "page_view", "page_view"]);
  });
});

test("a page that is loaded in advance and never shown counts nothing", async () => {
  loadsInAdvance();
  await visitAlone(`${collector.url}/`, async () => {
    await until(() => collector.fetched.includes("/loaded"), "the page to be loaded in advance");
    await settle();
    assert.deepEqual(names(), ["page_view"]);
  });
});

test("as a module the tracker works alike", async () => {
  collector.pages.set(
    "/module",
    `<title>Module</title><body><script type="module">
      import { createTracker } from "/tracker/src/index.js";
      createTracker({ site: "module" }).track("custom");
    </script>`,
  );
  await page.goto(`${collector.url}/module`);
  await arrived("custom");
  await arrived("page_view");
  assert.equal(collector.bodies[0].site, "module");
});
