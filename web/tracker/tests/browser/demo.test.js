// @ts-check
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { startCollector } from "./collector.js";

for (const whose of [{}, { DEWPOND_KEY: "dpw_1" }]) {
  test(`a visit of the demo site arrives whole ${JSON.stringify(whose)}`, async () => {
    const collector = await startCollector();
    const visit = spawn(process.execPath, [fileURLToPath(new URL("collector.mjs", import.meta.url))], {
      env: { ...process.env, DEWPOND_URL: collector.url, DEWPOND_AWAY_S: "3", ...whose },
      stdio: ["pipe", "pipe", "inherit"],
    });
    let last = "";
    for await (const line of createInterface({ input: visit.stdout })) {
      if (line === "DOWN") await collector.stop();
      if (line === "UP") await collector.start();
      if (line === "DOWN" || line === "UP") visit.stdin.write("ok\n");
      last = line;
    }
    const { events } = JSON.parse(last);
    assert.deepEqual(collector.events(), events);
    assert.equal(collector.bodies[0].key, whose.DEWPOND_KEY);
    await collector.stop();
  });
}
