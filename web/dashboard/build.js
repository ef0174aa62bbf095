// @ts-check
// Bundles the dashboard into web/dist/dashboard, whose files are part of the binary. Their names have a hash of their
// content, so that browsers may keep them for ever; each is there packed, too, if that is smaller.
//
//   node dashboard/build.js            writes them
//   node dashboard/build.js --check    writes nothing, and fails if they are not what the sources give
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const target = fileURLToPath(new URL("../dist/dashboard/", import.meta.url));

/** The topology of the map as a file of its own, without what the map does not draw: names, and the land as a whole. */
const shapes = /** @type {import("esbuild").Plugin} */ ({
  name: "shapes",
  setup({ onLoad }) {
    onLoad({ filter: /world-atlas.*\.json$/ }, async ({ path }) => {
      const topology = JSON.parse(await readFile(path, "utf8"));
      for (const country of topology.objects.countries.geometries) delete country.properties;
      delete topology.objects.land;
      return { contents: JSON.stringify(topology), loader: "file" };
    });
  },
});

/** The files of the dashboard by name, without their packed forms. @returns {Promise<Map<string, Buffer>>} */
async function bundle() {
  const { outputFiles, metafile } = await build({
    absWorkingDir: here,
    entryPoints: { app: "src/main.tsx", plain: "styles/plain.css" },
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2022",
    minify: true,
    jsx: "automatic",
    jsxImportSource: "preact",
    plugins: [shapes],
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
    assetNames: "[name]-[hash]",
    publicPath: "/dashboard/",
    outdir: "out",
    metafile: true,
    write: false,
    legalComments: "none",
  });
  /** @type {Map<string, Buffer>} */
  const files = new Map();
  for (const file of outputFiles) files.set(relative(join(here, "out"), file.path), Buffer.from(file.contents));
  const entry = Object.entries(metafile.outputs).find(([, output]) => output.entryPoint === "src/main.tsx");
  if (!entry) throw new Error("esbuild made no script of src/main.tsx");
  const script = relative("out", entry[0]);
  const style = relative("out", entry[1].cssBundle ?? "");
  // What the script imports at once is asked for at once.
  const imported = entry[1].imports.filter(({ kind }) => kind === "import-statement").map(({ path }) => relative("out", path));
  const icon = await readFile(join(here, "icon.svg"));
  const iconName = `icon-${createHash("sha256").update(icon).digest("hex").slice(0, 8)}.svg`;
  files.set(iconName, icon);
  const head = [
    `<link rel="stylesheet" href="/dashboard/${style}" />`,
    ...imported.map((path) => `<link rel="modulepreload" href="/dashboard/${path}" />`),
    `<script type="module" src="/dashboard/${script}"></script>`,
  ];
  const page = (await readFile(join(here, "index.html"), "utf8")).replace("<!-- files -->", head.join("\n    ")).replace("icon.svg", iconName);
  files.set("index.html", Buffer.from(page));
  return files;
}

/** @param {Buffer} content */
const packed = (content) => ({
  br: brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length } }),
  gz: gzipSync(content, { level: 9 }),
});

const files = await bundle();
if (process.argv.includes("--check")) {
  const found = (await readdir(target).catch(() => [])).filter((name) => !/\.(br|gz)$/.test(name));
  let isSame = found.length === files.size;
  for (const [name, content] of files) isSame &&= content.equals(await readFile(join(target, name)).catch(() => Buffer.alloc(0)));
  if (!isSame) {
    console.error("dist/dashboard is out of date: npm run build");
    process.exitCode = 1;
  }
} else {
  await rm(target, { recursive: true, force: true });
  await mkdir(dirname(join(target, "x")), { recursive: true });
  for (const [name, content] of files) {
    await writeFile(join(target, name), content);
    for (const [ending, small] of Object.entries(packed(content))) {
      if (small.length < content.length) await writeFile(join(target, `${name}.${ending}`), small);
    }
  }
}
const sizes = [...files].map(([name, content]) => `${name}: ${content.length} bytes, ${gzipSync(content, { level: 9 }).length} gzipped`);
console.log(sizes.join("\n"));
