// @ts-check
// Serves the dashboard from web/dist/dashboard, built anew with each change, and asks a running Dewpond for everything
// else. For working on the dashboard without building the binary.
//
//   DEWPOND_URL=http://127.0.0.1:8081 npm run dashboard      then open http://127.0.0.1:8090/dashboard/
import { execFileSync } from "node:child_process";
import { watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, request as ask } from "node:http";
import { fileURLToPath } from "node:url";

const from = new URL(process.env.DEWPOND_URL ?? "http://127.0.0.1:8081");
const port = Number(process.env.PORT ?? 8090);
const dist = new URL("../dist/dashboard/", import.meta.url);
const types = /** @type {Record<string, string>} */ ({ html: "text/html; charset=utf-8", js: "text/javascript; charset=utf-8", css: "text/css; charset=utf-8", svg: "image/svg+xml", json: "application/json" });
const rust = await readFile(new URL("../../api/src/http/dashboard.rs", import.meta.url), "utf8");
// The policy of the real server, so that what it refuses is seen here.
const policy = /CONTENT_SECURITY_POLICY: &str = "([^;]*;[\s\S]*?)";/.exec(rust)?.[1].replace(/\\\n\s*/g, "") ?? "default-src 'self'";

/** @type {NodeJS.Timeout | undefined} */
let soon;
const rebuild = () => {
  try {
    execFileSync(process.execPath, [fileURLToPath(new URL("build.js", import.meta.url))], { stdio: ["ignore", "ignore", "inherit"] });
  } catch {
    // esbuild said why; the next change tries again.
  }
};
rebuild();
for (const dir of ["src", "styles"]) {
  watch(new URL(dir, import.meta.url), { recursive: true }, () => {
    clearTimeout(soon);
    soon = setTimeout(rebuild, 100);
  });
}

createServer(async (incoming, outgoing) => {
  const path = new URL(incoming.url ?? "/", "http://local").pathname;
  if (path === "/") return void outgoing.writeHead(303, { Location: "/dashboard/" }).end();
  if (path.startsWith("/dashboard/")) {
    const name = path.slice("/dashboard/".length);
    const file = /\./.test(name) ? name : "index.html";
    const content = await readFile(new URL(file, dist)).catch(() => undefined);
    if (!content) return void outgoing.writeHead(404).end("no such file");
    return void outgoing.writeHead(200, { "Content-Type": types[file.split(".").at(-1) ?? ""], "Content-Security-Policy": policy }).end(content);
  }
  const passed = ask({ host: from.hostname, port: from.port, path: incoming.url, method: incoming.method, headers: { ...incoming.headers, host: incoming.headers.host } }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(outgoing);
  });
  passed.on("error", () => outgoing.headersSent ? outgoing.destroy() : outgoing.writeHead(502).end());
  incoming.pipe(passed);
}).listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${port}/dashboard/, asking ${from.origin}`));
