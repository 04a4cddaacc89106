// Builds the package that users install, laid out like the repository, with JavaScript and declarations where the sources
// are: src/, bin/, examples/ (the templates of `sheaf create`), docs/reference/ (what `sheaf help` reads). `npm run build`
// writes dist/; `node scripts/build.mjs FOLDER` writes there instead. Nothing in it runs at install time.

import { spawnSync } from "node:child_process";
import { cpSync, existsSync, globSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { modernNode, root } from "./bootstrap.mjs";

const out = resolve(process.argv[2] ?? join(root, "dist"));
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

function compile() {
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  const args = ["-p", "tsconfig.build.json", "--outDir", join(out, "src")];
  const done = spawnSync(modernNode(), [tsc, ...args], { cwd: root, stdio: "inherit" });
  if (done.status !== 0) fail("The sources do not compile.");
}

/** tsc renames what is imported, not what is addressed, such as a worker: `new URL("./x.ts", import.meta.url)`. */
function renameAddresses(path) {
  const text = readFileSync(path, "utf8");
  const renamed = text.replaceAll(/new URL\("(\.[^"]*)\.ts", import\.meta\.url\)/g, (_, target) => {
    if (!existsSync(join(dirname(path), `${target}.js`))) fail(`${path} addresses ${target}.ts, which is not built.`);
    return `new URL("${target}.js", import.meta.url)`;
  });
  if (renamed !== text) writeFileSync(path, renamed);
}

/** tsc leaves `.ts` in declarations; that names a file which the package does not have. */
function renameDeclared(path) {
  const text = readFileSync(path, "utf8");
  writeFileSync(path, text.replaceAll(/\b(from |import |import\()"(\.\.?\/[^"]*)\.ts"/g, '$1"$2.js"'));
}

/** `./src/x.ts` in the repository is `./src/x.js` with `./src/x.d.ts` in the package. */
function publishedDoor(source) {
  const stem = source.replace(/\.ts$/, "");
  for (const end of [".js", ".d.ts"]) if (!existsSync(join(out, stem + end))) fail(`${source} was not built.`);
  return { types: `${stem}.d.ts`, default: `${stem}.js` };
}

function writeManifest() {
  const kept = ["name", "version", "description", "keywords", "license", "type", "engines", "bin", "dependencies"];
  const optional = ["peerDependencies", "peerDependenciesMeta", "optionalDependencies"];
  const published = Object.fromEntries(
    [...kept, ...optional].filter((key) => key in manifest).map((key) => [key, manifest[key]]),
  );
  published.sideEffects = false;
  published.exports = Object.fromEntries(
    Object.entries(manifest.exports).map(([door, source]) => [door, publishedDoor(source)]),
  );
  published.exports["./package.json"] = "./package.json";
  writeFileSync(join(out, "package.json"), `${JSON.stringify(published, null, 2)}\n`);
}

rmSync(out, { recursive: true, force: true });
compile();
for (const path of globSync("src/**/*.js", { cwd: out })) renameAddresses(join(out, path));
for (const path of globSync("src/**/*.d.ts", { cwd: out })) renameDeclared(join(out, path));
for (const name of ["README.md", "LICENSE", "CHANGELOG.md", "bin", "docs/reference", "examples"]) {
  if (!existsSync(join(root, name))) fail(`${name} is missing.`);
  cpSync(join(root, name), join(out, name), { recursive: true });
}
writeManifest();
process.stdout.write(`built ${globSync("src/**/*.js", { cwd: out }).length} modules\n`);
