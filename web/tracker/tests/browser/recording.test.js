// @ts-check
// What the tracker records.
import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "./collector.js";
import { arrived, collector, context, delivered, objects, open, page, settle, stopClock } from "./visit.js";

test("a page load is a page view with all that is known of it", async () => {
  await open();
  const [view] = await arrived("page_view");
  assert.match(view.event_id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  assert.ok(Math.abs(Date.parse(view.timestamp) - Date.now()) < 10_000);
  assert.match(view.anonymous_id, /^[0-9a-f-]{36}$/);
  assert.match(view.session_id, /^[0-9a-f-]{36}$/);
  assert.equal(view.url, `${collector.url}/`);
  assert.equal(view.title, "Test");
  assert.equal(view.language, "en-US");
  assert.match(view.screen, /^\d+x\d+$/);
  assert.match(view.viewport, /^\d+x\d+$/);
  assert.match(view.sdk, /^dewpond-web\/1\./);
  const [body] = collector.bodies;
  assert.equal(body.site, "test");
  assert.ok(!("key" in body));
  assert.ok(Math.abs(Date.parse(body.sent_at) - Date.now()) < 10_000);
  assert.match(collector.requests[0].headers["content-type"] ?? "", /^text\/plain/);
});

test("a write key goes with the events", async () => {
  await open({ attributes: 'data-key="dpw_1"', query: "" });
  await arrived("page_view");
  assert.equal(collector.bodies[0].key, "dpw_1");
});

test("a config that the collector wrote into the script is used", async () => {
  const script = await (await fetch(`${collector.url}/tracker.js`)).text();
  await page.route("**/tracker.js*", (route) =>
    route.fulfill({ contentType: "text/javascript", body: script.replace('"__DEWPOND_CONFIG__"', '{"site":"baked"}') }),
  );
  await open({ query: "" });
  await arrived("page_view");
  assert.equal(collector.bodies[0].site, "baked");
});

test("each new address of a single-page application is a page view, and the one before is its referrer", async () => {
  await open();
  await page.evaluate(() => {
    history.pushState({}, "", "/one");
    document.title = "One";
  });
  await page.evaluate(() => history.replaceState({}, "", "/one#top"));
  await page.evaluate(() => history.pushState({}, "", "/two?x=1"));
  await page.evaluate(() => history.back());
  const views = await arrived("page_view", 4);
  const paths = views.map(({ url }) => url.slice(collector.url.length));
  assert.deepEqual(paths, ["/", "/one", "/two?x=1", "/one#top"]);
  assert.deepEqual(views.slice(1).map(({ referrer }) => referrer.slice(collector.url.length)), ["/", "/one", "/two?x=1"]);
  assert.equal(views[1].title, "One");
});

test("two addresses set by one script are two page views", async () => {
  await open();
  await page.evaluate(() => {
    history.pushState({}, "", "/one");
    history.pushState({}, "", "/two");
  });
  assert.equal((await arrived("page_view", 3)).length, 3);
});

test("a page view counts once the page was visible long enough, and not if it is left before", async () => {
  await stopClock();
  await open({ attributes: 'data-dwell-ms="3000"' });
  await page.clock.runFor(2_999);
  await page.evaluate(() => history.pushState({}, "", "/two"));
  await page.clock.runFor(2_999);
  await delivered();
  assert.equal(collector.events("page_view").length, 0);
  await page.clock.runFor(1);
  await delivered();
  const [view] = collector.events("page_view");
  assert.equal(view.url, `${collector.url}/two`);
});

test("without automatic page views there are those that the page asks for", async () => {
  await open({ attributes: 'data-auto="off"' });
  await page.evaluate(() => history.pushState({}, "", "/two"));
  await page.evaluate(() => /** @type {any} */ (window).dewpond.page({ kind: "manual" }));
  await settle();
  const views = collector.events("page_view");
  assert.deepEqual(views.map(({ properties }) => properties), [{ kind: "manual" }]);
});

test("an element is in view once per page view, after a second, and half of it is enough", async () => {
  const far = '<div style="height: 3000px"></div>';
  const box = (/** @type {string} */ name) =>
    `<div id="${name}" data-dewpond-view="${name}" data-dewpond-prop-place="low" style="height: 200px">${name}</div>`;
  /** Scrolls to an element, looks at it for a while, and says what came into view so far. @param {string} id @param {number} lookMs */
  const look = async (id, lookMs) => {
    await page.evaluate(
      (id) =>
        new Promise((done) => {
          const element = /** @type {Element} */ (document.getElementById(id));
          element.scrollIntoView();
          // Observers are told in the order they were made, so the tracker's knows it by now.
          new IntersectionObserver(([entry]) => entry.isIntersecting && done(true), { threshold: 0.5 }).observe(element);
        }),
      id,
    );
    await page.clock.runFor(lookMs);
    await delivered();
    return objects("object_in_view");
  };
  await stopClock();
  await open({ body: box("top") + far + box("low") });
  assert.deepEqual(await look("top", 1_500), ["top"]);
  assert.deepEqual(await look("low", 999), ["top"]);
  assert.deepEqual(await look("top", 1_500), ["top"]);
  assert.deepEqual(await look("low", 1_500), ["top", "low"]);
  assert.deepEqual(collector.events("object_in_view")[1].properties, { place: "low" });
  assert.deepEqual(await look("top", 1_500), ["top", "low"]);

  // A new page view begins anew.
  await page.evaluate(() => history.pushState({}, "", "/two"));
  assert.deepEqual(await look("top", 1_500), ["top", "low", "top"]);
});

test("an element that comes later is watched too", async () => {
  await open();
  await arrived("page_view");
  await page.evaluate(() => {
    document.body.insertAdjacentHTML("beforeend", '<p data-dewpond-view="late">late</p>');
  });
  await arrived("object_in_view");
  assert.deepEqual(objects("object_in_view"), ["late"]);
});

test("a click within a marked element is an interaction with the properties of its attributes", async () => {
  const button = '<button data-dewpond-click="buy" data-dewpond-prop-product_id="7"><b>Buy</b></button><i>not</i>';
  await open({ body: button });
  await page.click("b");
  await page.click("i");
  const [click] = await arrived("object_interaction");
  await settle();
  assert.equal(collector.events("object_interaction").length, 1);
  assert.equal(click.object, "buy");
  assert.deepEqual(click.properties, { product_id: "7" });
});

test("a click that the page stops for itself is an interaction all the same", async () => {
  await open({ body: '<button data-dewpond-click="buy" onclick="event.stopPropagation()">Buy</button>' });
  await page.click("button");
  await arrived("object_interaction");
});

test("a link away is an outbound click, and is delivered though the page is left", async () => {
  await context.route("http://other.example/**", (route) => route.fulfill({ contentType: "text/html", body: "other" }));
  await open({ body: '<a href="http://other.example/there?x=1">away</a> <a href="/two">within</a>' });
  await page.click("text=away");
  await page.waitForURL("http://other.example/**");
  const [click] = await arrived("outbound_click");
  assert.equal(click.object, "http://other.example/there?x=1");
});

test("a link to a file is a download", async () => {
  await open({ body: '<a href="files/prices.csv">prices</a>' });
  await page.evaluate(() => document.querySelector("a")?.addEventListener("click", (event) => event.preventDefault()));
  await page.click("a");
  const [download] = await arrived("file_download");
  assert.equal(download.object, `${collector.url}/files/prices.csv`);
  assert.equal(collector.events("outbound_click").length, 0);
});

test("a visible page pings with the id of its page view", async () => {
  await open({ attributes: 'data-ping-s="0.3"' });
  const pings = await arrived("page_ping", 2);
  const [view] = collector.events("page_view");
  for (const { properties } of pings) assert.deepEqual(properties, { page_view_id: view.event_id });
});

test("after a navigation the pings are of the new page view only", async () => {
  await stopClock();
  await open({ attributes: 'data-ping-s="10"' });
  await page.clock.runFor(15_000);
  await page.evaluate(() => history.pushState({}, "", "/two"));
  await page.clock.runFor(35_000);
  await delivered();
  const [first, second] = collector.events("page_view");
  const pings = collector.events("page_ping");
  assert.deepEqual(
    pings.map(({ properties }) => properties.page_view_id),
    [first, second, second, second].map(({ event_id }) => event_id),
  );
});

test("pings can be switched off", async () => {
  await open({ attributes: 'data-ping-s="0.1" data-pings="off"' });
  await page.waitForTimeout(500);
  await settle();
  assert.equal(collector.events("page_ping").length, 0);
});

test("a page records events of its own, with revenue", async () => {
  await open();
  await page.evaluate(() =>
    /** @type {any} */ (window).dewpond.track("purchase", { items: 2 }, { revenue: "19.90", currency: "EUR", object: "cart" }),
  );
  const [{ properties, revenue, currency, object }] = await arrived("purchase");
  assert.deepEqual({ properties, revenue, currency, object }, {
    properties: { items: 2 },
    revenue: "19.90",
    currency: "EUR",
    object: "cart",
  });
});

test("calls from before the script was there are made up for, and later ones work alike", async () => {
  await open({ head: '<script>window.dewpond = [["track", "early", { n: 1 }]]</script>' });
  await page.evaluate(() => /** @type {any} */ (window).dewpond.push(["track", "late"]));
  const [early] = await arrived("early");
  assert.deepEqual(early.properties, { n: 1 });
  await arrived("late");
});

test("the script loaded twice counts once", async () => {
  await open({ body: '<script src="/tracker.js?site=test"></script>' });
  await settle();
  assert.equal(collector.events("page_view").length, 1);
});

test("who is identified stays so over page loads, until reset", async () => {
  await open();
  const [view] = await arrived("page_view");
  await page.evaluate(() => /** @type {any} */ (window).dewpond.identify("ada", { plan: "pro" }));
  const [identify] = await arrived("identify");
  assert.deepEqual([identify.user_id, identify.properties], ["ada", { plan: "pro" }]);
  assert.equal(view.user_id, undefined);

  await page.reload();
  const [, second] = await arrived("page_view", 2);
  assert.deepEqual([second.user_id, second.anonymous_id], ["ada", view.anonymous_id]);

  await page.evaluate(() => {
    /** @type {any} */ (window).dewpond.reset();
    /** @type {any} */ (window).dewpond.track("after");
  });
  const [stranger] = await arrived("after");
  assert.equal(stranger.user_id, undefined);
  assert.notEqual(stranger.anonymous_id, view.anonymous_id);
  assert.notEqual(stranger.session_id, view.session_id);
});
