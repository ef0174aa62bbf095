// @ts-check
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { launch, visitAlone } from "./chromium.js";
import { startCollector, until } from "./collector.js";

/** @typedef {import("playwright-core").Page} Page */

/** @type {import("playwright-core").Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof startCollector>>} */
let collector;
/** @type {import("playwright-core").BrowserContext} */
let context;
/** @type {Page} */
let page;
/** What the page threw. @type {string[]} */
let errors = [];

before(async () => {
  browser = await launch();
});
after(() => browser.close());

beforeEach(async () => {
  collector = await startCollector();
  context = await browser.newContext();
  page = await context.newPage();
  errors = [];
  context.on("weberror", (error) => errors.push(String(error.error())));
});
afterEach(
  async () => {
    await context.close();
    await collector.stop().catch(() => {});
    assert.deepEqual(errors, []);
  },
  // A browser that hangs fails the test that it hangs after, and not the whole file.
  { timeout: 20_000 },
);

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

test("the collector goes and comes back: nothing is lost and nothing doubled", async () => {
  await open();
  await arrived("page_view");
  await collector.stop();
  for (let n = 0; n < 120; n += 1) {
    await page.evaluate((n) => /** @type {any} */ (window).dewpond.track("while_away", { n }), n);
    await page.waitForTimeout(30);
  }
  await collector.start();
  const events = await arrived("while_away", 120, 30_000);
  assert.deepEqual(events.map(({ properties }) => properties.n), [...Array(120).keys()]);
  await until(async () => !(await queued()).length, "an empty queue");
  assert.ok(collector.bodies.every(({ events }) => events.length <= 50));
});

test("a page that is reloaded while the collector is away keeps its events", async () => {
  await open();
  await arrived("page_view");
  await page.route("**/v1/events", (route) => route.abort());
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("before_reload"));
  await page.reload();
  assert.equal((await queued()).filter((text) => text.includes("before_reload")).length, 1);
  await page.unroute("**/v1/events");
  await arrived("before_reload");
  await until(async () => !(await queued()).length, "an empty queue");
});

test("a tab that was closed while the collector was away leaves its events to the next", async () => {
  await open();
  await arrived("page_view");
  await context.route("**/v1/events", (route) => route.abort());
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("orphan"));
  await page.close({ runBeforeUnload: false });
  await context.unroute("**/v1/events");
  page = await context.newPage();
  await open();
  await arrived("orphan");
});

test("two tabs that send at the same time lose nothing", async () => {
  await open();
  const other = await context.newPage();
  await other.goto(`${collector.url}/`);
  const record = (/** @type {Page} */ tab, /** @type {string} */ name) =>
    tab.evaluate(async (name) => {
      for (let n = 0; n < 100; n += 1) {
        /** @type {any} */ (window).dewpond.track(name);
        if (n % 10 === 0) await new Promise((done) => setTimeout(done, 60));
      }
    }, name);
  await Promise.all([record(page, "one"), record(other, "other")]);
  await arrived("one", 100);
  await arrived("other", 100);
});

test("an event recorded just before the page is left is delivered", async () => {
  await open();
  await arrived("page_view");
  await leaveWith("last_words");
  await arrived("last_words");
});

test("a page of another origin sends without asking first, and delivers while it is left", async () => {
  const elsewhere = collector.url.replace("127.0.0.1", "localhost");
  collector.pages.set("/", `<title>Test</title><script defer src="${collector.url}/tracker.js?site=test"></script>`);
  await page.goto(`${elsewhere}/`);
  await until(async () => !(await queued()).length, "an empty queue");
  await leaveWith("last_words");
  const [words] = await arrived("last_words");
  assert.equal(words.url, `${elsewhere}/`);
  assert.ok(collector.requests.every(({ method }) => method === "POST"));
});

test("what was sent on leaving stays in the queue until an answer covers it", async () => {
  await open();
  await arrived("page_view");
  await until(async () => !(await queued()).length, "an empty queue");
  collector.answers.push({ status: 503 });
  await leaveWith("last_words");
  await until(() => collector.answers.length === 0, "the refused request");
  assert.equal((await queued()).length, 1);
  await page.goto(`${collector.url}/`);
  await arrived("last_words");
});

test("a pause that the collector asks for is kept", async () => {
  await open();
  await arrived("page_view");
  collector.answers.push({ status: 429, headers: { "Retry-After": "2" } });
  const before = Date.now();
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("patient"));
  await page.waitForTimeout(500);
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("later"));
  await arrived("patient");
  assert.ok(Date.now() - before >= 2_000);
});

test("a batch that is too large is halved until it is taken", async () => {
  await open();
  await arrived("page_view");
  const requests = collector.requests.length;
  collector.answers.push({ status: 413 }, { status: 413 });
  await page.evaluate(() => {
    for (let n = 0; n < 8; n += 1) /** @type {any} */ (window).dewpond.track("many");
  });
  await arrived("many", 8);
  assert.deepEqual(collector.bodies.slice(1).map(({ events }) => events.length), [2, 4, 2]);
  assert.equal(collector.requests.length - requests, 5);
});

test("events that the collector refuses are dropped, and later ones come through", async () => {
  await open();
  await arrived("page_view");
  collector.answers.push({ status: 400 });
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("bad"));
  await until(async () => !(await queued()).length, "an empty queue");
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("good"));
  await arrived("good");
  assert.equal(collector.events("bad").length, 0);
});

test("large events are sent in several requests, and one that no request can carry is dropped", async () => {
  await open();
  await page.evaluate(() => {
    for (let n = 0; n < 6; n += 1) /** @type {any} */ (window).dewpond.track("large", { text: "ä".repeat(10_000) });
    /** @type {any} */ (window).dewpond.track("huge", { text: "x".repeat(70_000) });
    /** @type {any} */ (window).dewpond.track("end");
  });
  await arrived("large", 6);
  await arrived("end");
  assert.equal(collector.events("huge").length, 0);
  assert.ok(collector.bodies.length >= 3);
});

test("after opting out nothing is sent, in other tabs and after a reload neither, until opting in", async () => {
  await open();
  await arrived("page_view");
  const other = await context.newPage();
  await other.goto(`${collector.url}/`);
  await arrived("page_view", 2);
  await page.evaluate(() => /** @type {any} */ (window).dewpond.optOut());
  await other.evaluate(() => /** @type {any} */ (window).dewpond.track("unwanted"));
  await page.reload();
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("unwanted"));
  await settle();
  assert.equal(collector.events().length, 2);
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage)), ["dewpond.out"]);

  await page.evaluate(() => {
    /** @type {any} */ (window).dewpond.optIn();
    /** @type {any} */ (window).dewpond.track("wanted");
  });
  await arrived("wanted");
});

test("without consent nothing is sent or stored; with it, what happened before is sent too", async () => {
  await open({ attributes: 'data-consent="required"' });
  await page.evaluate(() => {
    for (let n = 0; n < 150; n += 1) /** @type {any} */ (window).dewpond.track("held", { n });
    /** @type {any} */ (window).dewpond.identify("ada");
  });
  await settle();
  assert.equal(collector.requests.length, 0);
  assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length), 0);

  await page.evaluate(() => /** @type {any} */ (window).dewpond.consent(true));
  const views = await arrived("page_view");
  assert.ok(views[0].anonymous_id && views[0].session_id);
  await settle();
  assert.equal(collector.events().length, 100);
});

test("consent withdrawn forgets the visitor and what was not sent", async () => {
  await open({ attributes: 'data-consent="required"' });
  await page.evaluate(() => /** @type {any} */ (window).dewpond.consent(true));
  await arrived("page_view");
  await page.evaluate(() => {
    /** @type {any} */ (window).dewpond.track("unwanted");
    /** @type {any} */ (window).dewpond.consent(false);
    /** @type {any} */ (window).dewpond.track("unwanted");
  });
  await settle();
  assert.equal(collector.events("unwanted").length, 0);
  assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length), 0);
});

test("with Global Privacy Control no ids are stored or sent, if the site respects it", async () => {
  await page.addInitScript(() => Object.defineProperty(navigator, "globalPrivacyControl", { value: true }));
  await open({ attributes: "data-respect-gpc data-cookie" });
  await page.evaluate(() => /** @type {any} */ (window).dewpond.identify("ada"));
  const [view] = await arrived("page_view");
  assert.deepEqual([view.anonymous_id, view.session_id, view.user_id], [undefined, undefined, undefined]);
  await until(async () => !(await queued()).length, "an empty queue");
  assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length), 0);
});

test("a cookie goes along only if the site says so, and then there is no anonymous_id", async () => {
  await context.addCookies([{ name: "visitor", value: "v1", url: collector.url }]);
  await open();
  await arrived("page_view");
  assert.equal(collector.requests[0].headers.cookie, undefined);
  await open({ attributes: "data-cookie" });
  const [, view] = await arrived("page_view", 2);
  assert.equal(collector.requests.at(-1)?.headers.cookie, "visitor=v1");
  assert.equal(view.anonymous_id, undefined);
});

test("a session outlives a reload and exactly thirty minutes, and ends after longer", async () => {
  const start = Date.now();
  await page.clock.setFixedTime(start);
  await open({ attributes: 'data-pings="off"' });
  const [first] = await arrived("page_view");
  await page.reload();
  const [, second] = await arrived("page_view", 2);
  assert.equal(second.session_id, first.session_id);

  await page.clock.setFixedTime(start + 1_800_000);
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("in_time"));
  assert.equal((await arrived("in_time"))[0].session_id, first.session_id);

  await page.clock.setFixedTime(start + 3_600_001);
  await page.evaluate(() => /** @type {any} */ (window).dewpond.track("too_late"));
  const [late] = await arrived("too_late");
  assert.notEqual(late.session_id, first.session_id);
  assert.equal(late.anonymous_id, first.anonymous_id);
});

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
    page = await keeping.newPage();
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

/**
 * Opens a page with the tracker on it.
 *
 * @param {{ attributes?: string, head?: string, body?: string, query?: string }} [content]
 */
async function open({ attributes = "", head = "", body = "", query = "?site=test" } = {}) {
  collector.pages.set(
    "/",
    `<!doctype html><title>Test</title>${head}
    <script defer src="/tracker.js${query}" ${attributes}></script><body>${body}`,
  );
  await page.goto(`${collector.url}/`);
}

/** From here on a page's time passes by `page.clock.runFor` alone, however busy the machine is. */
async function stopClock() {
  await page.clock.install();
  await page.clock.pauseAt(Date.now() + 1_000);
}

/** A page that loads another in advance and goes there once there is a page `/go`. */
function loadsInAdvance() {
  const tracker = '<script defer src="/tracker.js?site=test"></script>';
  collector.pages.set(
    "/",
    `<!doctype html><title>Test</title>${tracker}
    <script type="speculationrules">{"prerender":[{"urls":["/next"],"eagerness":"immediate"}]}</script>
    <script>
      const timer = setInterval(async () => {
        if (!(await fetch("/go")).ok) return;
        clearInterval(timer);
        location.href = "/next";
      }, 100);
    </script>`,
  );
  collector.pages.set(
    "/next",
    `<!doctype html><title>Next</title><script>
      window.dewpond = [["track", "early"]];
      if (document.prerendering) {
        document.addEventListener("prerenderingchange", () => fetch("/shown"));
        setTimeout(() => fetch("/loaded"), 500);
      }
    </script>${tracker}`,
  );
}

/**
 * Records an event, leaves for a page without the tracker, and waits until that is there: closing a context in the
 * middle of a navigation may never end.
 *
 * @param {string} name
 */
async function leaveWith(name) {
  collector.pages.set("/plain", "<title>Plain</title>no tracker here");
  await page.evaluate((name) => {
    /** @type {any} */ (window).dewpond.track(name);
    // Not at once: a page that leaves while it answers may never answer.
    setTimeout(() => (location.href = "/plain"), 50);
  }, name);
  await page.waitForURL("**/plain");
}

function pageUrl() {
  collector.pages.set("/", '<!doctype html><title>Test</title><script defer src="/tracker.js?site=test"></script><body>');
  return `${collector.url}/`;
}

/** Waits for events of a name, and returns all there are. @param {string} name @param {number} [count] @param {number} [timeoutMs] */
async function arrived(name, count = 1, timeoutMs) {
  await until(() => collector.events(name).length >= count, `${count} × ${name}`, timeoutMs);
  return collector.events(name);
}

/** Sends all that waits, whatever the page's clock says. */
const delivered = () =>
  until(async () => {
    await page.evaluate(() => /** @type {any} */ (window).dewpond.flush());
    return !(await queued()).length;
  }, "an empty queue");

/** The names of all events that arrived. */
const names = () => collector.events().map(({ name }) => name);

/** Waits for what would be sent by now. */
const settle = () => page.waitForTimeout(600);

/** What waits in the page's storage. */
const queued = () =>
  page.evaluate(() => Object.entries(localStorage).filter(([key]) => key.startsWith("dewpond.queue.")).map(([, text]) => String(text)));

/** @param {string} name */
const objects = (name) => collector.events(name).map(({ object }) => object);
