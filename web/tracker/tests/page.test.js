// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { kindOfLink } from "../src/clicks.js";
import { pageOf } from "../src/page.js";

test("a fragment is a place on the same page", () => {
  assert.equal(pageOf("https://shop.example/hats?size=7#top"), "https://shop.example/hats?size=7");
});

test("a fragment that is a route is a page", () => {
  for (const page of ["https://shop.example/#/hats", "https://shop.example/#!hats"]) assert.equal(pageOf(page), page);
});

test("a route to the root is the page itself", () => {
  // Vue Router and AngularJS add it to the address when they start.
  for (const root of ["", "#", "#/", "#!", "#!/", "#/?tab=2", "#!?tab=2"]) assert.equal(pageOf(`https://shop.example/a${root}`), "https://shop.example/a");
});

test("a link to another host is outbound, and another port is another host", () => {
  checkLink("https://other.example/", "outbound_click");
  checkLink("http://shop.example:8080/", "outbound_click");
});

test("a link within the site is neither", () => {
  checkLink("https://shop.example/hats", undefined);
});

test("a link to a file is a download, wherever the file is", () => {
  checkLink("https://shop.example/prices.PDF?v=2", "file_download");
  checkLink("https://other.example/prices.xlsx", "file_download");
});

test("a name with a dot is not yet a file", () => {
  checkLink("https://shop.example/about.html", undefined);
  checkLink("https://shop.example/pdf", undefined);
});

test("what is no page is neither", () => {
  for (const href of ["mailto:ada@other.example", "tel:123", "javascript:void 0"]) checkLink(href, undefined);
});

test("a link may say that it is a download", () => {
  assert.equal(kindOfLink("https://shop.example/export", "shop.example", true), "file_download");
});

/** @param {string} href @param {string | undefined} expected */
function checkLink(href, expected) {
  assert.equal(kindOfLink(href, "shop.example", false), expected);
}
