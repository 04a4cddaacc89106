// Contracts are loaded by browsers: bundling one pulls in nothing of Node's and no implementation.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));

const bundle = (source: string) =>
  build({
    stdin: { contents: source, resolveDir: here, loader: "ts" },
    bundle: true,
    write: false,
    metafile: true,
    platform: "browser",
    format: "esm",
    minify: true,
    logLevel: "silent",
  });

test("a contract in a browser: it bundles, without node: and from the lowest floors only", async () => {
  const { metafile, outputFiles } = await bundle(`
    import { entity, service, contract, app, versioned, isDeclared, SheafError } from "../index.ts";
    export const all = [entity, service, contract, app, versioned, isDeclared, SheafError];
  `);
  const [output] = Object.values(metafile.outputs);
  const inputs = Object.entries(output?.inputs ?? {}).flatMap(([input, { bytesInOutput }]) =>
    bytesInOutput > 0 && input !== "<stdin>" ? [input] : [],
  );
  assert(inputs.some((input) => input.endsWith("src/model/entity.ts")));
  const strangers = inputs.filter(
    (input) => !/(^|\/)src\/(base|model)\/[^/]+$/.test(input) && !input.endsWith("src/index.ts"),
  );
  assert.deepEqual(strangers, []);
  assert.doesNotMatch(outputFiles[0]?.text ?? "node:", /node:|process\.|Buffer\(/);
});

test("cron patterns in a browser: whoever defines no schedule loads nothing for them", async () => {
  const size = async (source: string): Promise<number> => {
    const { metafile } = await bundle(source);
    const [output] = Object.values(metafile.outputs);
    const inputs = Object.entries(output?.inputs ?? {});
    return inputs.reduce((sum, [path, { bytesInOutput }]) => sum + (path.includes("croner") ? bytesInOutput : 0), 0);
  };
  assert.equal(await size(`import { connect } from "../client.ts"; export const x = connect;`), 0);
  assert.equal(
    await size(`import { app, connect, entity } from "../index.ts"; export const x = [app, connect, entity];`),
    0,
  );
  assert((await size(`import { schedule } from "../index.ts"; export const x = schedule;`)) > 0);
});

test("a module of Node in a browser's bundle: it does not go unnoticed", async () => {
  await assert.rejects(bundle(`import { readFileSync } from "node:fs"; console.log(readFileSync);`), /node:fs/);
});
