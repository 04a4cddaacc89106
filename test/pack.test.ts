// The package as users get it: built, packed, installed in an empty folder, and put to use there.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import test, { after, before } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const own = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const home = mkdtempSync(join(tmpdir(), "sheaf-pack-"));
const user = join(home, "user");
const env = { ...process.env, PATH: [dirname(process.execPath), process.env["PATH"]].join(delimiter), NO_COLOR: "1" };

/** Runs a command and returns what it printed; throws all that it printed when it fails. */
function run(cwd: string, command: string, ...args: string[]): string {
  try {
    return execFileSync(command, args, { cwd, env, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command} ${args.join(" ")} failed:\n${stdout}\n${stderr}`, { cause: error });
  }
}

const app = `
import { app, contract, entity, SheafError } from "sheaf";
import { connect } from "sheaf/client";
import { simulate } from "sheaf/testing";
import { z } from "zod";

const Counter = entity("counter", {
  state: z.object({ count: z.number().int() }),
  commands: { add: { input: z.object({ by: z.number().int() }), output: z.number().int() } },
  queries: { count: { output: z.number().int() } },
});
const counter = Counter.implement({
  initial: () => ({ count: 0 }),
  add: ({ state, input }) => (state.count += input.by),
  count: ({ state }) => state.count,
});
const counting = contract("counting", { entities: [Counter] });

const world = await simulate(app(counting, { entities: [counter] }), { seed: 7, faults: ["crash", "lost-ack"] });
const total: number = await world.run(async () => world.client().entity(Counter, "a").add({ by: 2 }));
const read: number = await world.run(async () => world.client().entity(Counter, "a").count());
await world.check();

const nobody = connect(counting, { url: "http://127.0.0.1:9", deadlineMs: 500 });
const refused: unknown = await nobody.entity(Counter, "a").count().catch((error: unknown) => error);
nobody.close();

console.log(JSON.stringify({ total, read, code: refused instanceof SheafError ? refused.code : String(refused) }));
`;

before(() => {
  const built = join(home, "built");
  run(root, process.execPath, "scripts/build.mjs", built);
  run(built, "npm", "pack", "--pack-destination", home);
  const tarball = readdirSync(home).find((name) => name.endsWith(".tgz"));
  assert.ok(tarball);
  mkdirSync(user);
  writeFileSync(join(user, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
  // Without install scripts: the package must not need any.
  const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"];
  run(user, "npm", "install", ...flags, join("..", tarball), `zod@${own.devDependencies.zod}`);
});

after(() => rmSync(home, { recursive: true, force: true }));

test("package: an app runs on the installed package, through every door", () => {
  writeFileSync(join(user, "app.ts"), app);
  assert.deepEqual(JSON.parse(run(user, process.execPath, "app.ts")), { total: 2, read: 2, code: "UNREACHABLE" });
  for (const door of Object.keys(own.exports)) {
    run(user, process.execPath, "--input-type=module", "-e", `await import("sheaf${door.slice(1)}")`);
  }
});

test("package: the app's types are known from the installed declarations alone", () => {
  writeFileSync(join(user, "app.ts"), app);
  const check = (file: string): string =>
    run(
      user,
      process.execPath,
      join(root, "node_modules/typescript/bin/tsc"),
      "--noEmit",
      "--strict",
      "--module",
      "nodenext",
      "--target",
      "es2024",
      "--lib",
      "es2024,dom,esnext.disposable",
      "--skipLibCheck",
      "--types",
      "",
      file,
    );
  check("app.ts");
  writeFileSync(join(user, "wrong.ts"), app.replace("{ by: 2 }", '{ by: "2" }'));
  assert.throws(() => check("wrong.ts"), /not assignable to type 'number'/);
});

test("package: the command runs and says the version of the package", () => {
  const said = JSON.parse(run(user, join(user, "node_modules", ".bin", "sheaf"), "version", "--json"));
  assert.equal(said.data.sheaf, own.version);
});

test("package: an app that it makes is given the same package, from where it was installed", () => {
  run(user, join(user, "node_modules", ".bin", "sheaf"), "create", "apps/shop", "--template", "blank", "--no-install");
  const { dependencies } = JSON.parse(readFileSync(join(user, "apps/shop/package.json"), "utf8"));
  assert.equal(dependencies.sheaf, `file:../../../sheaf-${own.version}.tgz`);
});

test("package: it is not packed from the sources, which run nowhere else, and who tries is told how it is made", () => {
  assert.throws(() => run(root, "npm", "pack", "--dry-run"), /npm run build, then npm pack \.\/dist/);
});

test("package: what is installed has no install script, no tests and no sources but its templates", () => {
  const installed = join(user, "node_modules", "sheaf");
  const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
  assert.equal(manifest.scripts, undefined);
  assert.equal(manifest.devDependencies, undefined);
  assert.deepEqual(manifest.dependencies, own.dependencies);
  const files = readdirSync(installed, { recursive: true, encoding: "utf8" });
  assert.deepEqual(
    files.filter((path) => path.startsWith("src") && /(?<!\.d)\.ts$|\.test\.|\.bench\.|\.fixture\./.test(path)),
    [],
  );
  for (const name of ["README.md", "LICENSE", "docs/reference/errors/NOT_OWNER.md"])
    assert.ok(files.includes(name), name);
});
