// What npm's isbot and ua-parser-js say of user agents: peers.mjs isbot|ua-parser-js < AGENTS > ANSWERS
// An answer has the columns of `cargo run -p intake --example agents`.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(`${process.cwd()}/`);
const readers = {
  isbot: () => {
    const { isbot } = require("isbot");
    return (agent) => [isbot(agent) ? "other" : "", "", "", "", "", "", ""];
  },
  "ua-parser-js": () => {
    const { UAParser } = require("ua-parser-js");
    const { isBot } = require("ua-parser-js/bot-detection");
    const names = { "Mobile Chrome": "Chrome", "Chrome WebView": "Chrome", "Mobile Safari": "Safari", "Mobile Firefox": "Firefox", IE: "Internet Explorer", IEMobile: "Internet Explorer", "Opera Mobi": "Opera", "Yandex": "Yandex Browser", UCBrowser: "UC Browser", QQBrowser: "QQ Browser", "Firefox Mobile": "Firefox", "Huawei Browser": "Huawei Browser", "Samsung Internet": "Samsung Internet", "Android Browser": "Android Browser" };
    const devices = { smarttv: "tv", console: "console", wearable: "wearable", xr: "wearable", mobile: "mobile", tablet: "tablet" };
    return (agent) => {
      const { browser, os, device } = UAParser(agent);
      const app = browser.type === "inapp" ? browser.name : "";
      return [isBot(agent) ? "other" : "", names[browser.name] ?? browser.name ?? "", browser.version ?? "", app, os.name ?? "", os.version ?? "", devices[device.type] ?? "desktop"];
    };
  },
};
const read = readers[process.argv[2]]();
for await (const agent of createInterface({ input: process.stdin, crlfDelay: Infinity })) console.log(read(agent).join("\t"));
