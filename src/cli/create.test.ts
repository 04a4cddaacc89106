// `sheaf create`: what it generates is complete, and works as generated.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { folder, sheaf } from "./cli.fixture.ts";
import { packageFolder } from "./release.ts";

/** What npm install would do, without a registry: the packages that the app names, from here. */
function installFromHere(app: string): void {
  const manifest = JSON.parse(readFileSync(join(app, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
    devDependencies: Record<string, string>;
  };
  for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
    const from = version.startsWith("file:")
      ? resolve(app, version.slice(5))
      : join(packageFolder, "node_modules", name);
    assert.ok(existsSync(from), `${name} is to be found at ${from}`);
    mkdirSync(join(app, "node_modules", name, ".."), { recursive: true });
    symlinkSync(from, join(app, "node_modules", name));
  }
}

for (const template of ["ledger", "booking", "blank"]) {
  test(`create: the ${template} app type-checks and passes its own tests`, async (t) => {
    const dir = folder(t);
    const ran = await sheaf(["create", "My Shop", "--template", template, "--yes", "--no-install", "--json"], {
      cwd: dir,
    });
    assert.equal(ran.code, 0, ran.err);
    const { data } = JSON.parse(ran.out) as { data: { name: string; files: string[] } };
    assert.equal(data.name, "my-shop");
    for (const file of ["package.json", "tsconfig.json", ".gitignore", "README.md", "AGENTS.md", "src/app.ts"])
      assert.ok(data.files.includes(file), file);
    assert.ok(data.files.some((file) => file.startsWith("test/")));
    const app = join(dir, "My Shop");
    const readme = readFileSync(join(app, "README.md"), "utf8");
    assert.match(readme, /^# my-shop\n/);
    for (const [, path = ""] of readme.matchAll(/`(src\/[\w.-]+)`/g)) assert.ok(data.files.includes(path), path);
    assert.doesNotMatch(readme, /npmjs|https?:/, "what is not there yet is not linked to");
    installFromHere(app);
    const tests = readdirSync(join(app, "test")).map((name) => join("test", name));
    const env = { ...process.env };
    delete env["NODE_TEST_CONTEXT"];
    const tested = spawnSync(process.execPath, ["--test", ...tests], { cwd: app, env, encoding: "utf8" });
    assert.equal(tested.status, 0, tested.stdout);
    assert.match(tested.stdout, /pass [1-9]/);
    const typed = spawnSync(process.execPath, [join(packageFolder, "node_modules/typescript/bin/tsc"), "-p", "."], {
      cwd: app,
      encoding: "utf8",
    });
    assert.equal(typed.status, 0, typed.stdout);
  });
}

test("create: a folder that has anything in it is refused and left alone; an empty one is used", async (t) => {
  const dir = folder(t);
  writeFileSync(join(dir, "precious.txt"), "mine");
  const refused = await sheaf(["create", dir, "--yes", "--no-install"]);
  assert.equal(refused.code, 2);
  assert.deepEqual(readdirSync(dir), ["precious.txt"]);
  mkdirSync(join(dir, "new"));
  assert.equal((await sheaf(["create", join(dir, "new"), "--yes", "--no-install", "--template", "blank"])).code, 0);
});

test("create: without a terminal it asks nothing, and needs a folder", async () => {
  const ran = await sheaf(["create"]);
  assert.equal(ran.code, 2);
  assert.match(ran.err, /which folder/);
});
