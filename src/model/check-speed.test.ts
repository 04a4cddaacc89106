// The type checker stays fast: an application of a hundred entities, each implemented, called and collected into one app, is
// generated and checked by the real compiler. Sources are generated inside the repository so that packages resolve.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const entities = 100;
const budgetMs = 5000;

/** One entity's contract, implementation and calls. `wrong` is put where a number belongs. */
const source = (n: number, wrong = "input.by"): string => `
import { entity, type Client } from "${join(root, "src/index.ts")}";
import { z } from "zod";
export const Thing${n} = entity("thing${n}", {
  state: z.object({ count: z.number(), names: z.array(z.object({ first: z.string(), at: z.number() })) }),
  commands: {
    add: { input: z.object({ by: z.number() }), output: z.object({ count: z.number() }), errors: { FULL: z.object({ at: z.number() }) } },
    rename: { input: z.object({ to: z.string() }), output: z.object({ names: z.number() }) },
    reset: {},
  },
  queries: { current: { output: z.number(), consistency: "causal" }, named: { input: z.string(), output: z.boolean() } },
  events: { added: z.object({ by: z.number() }) },
});
export const thing${n} = Thing${n}.implement({
  initial: () => ({ count: 0, names: [] }),
  async add({ state, input, fail, emit, call, key }) {
    if (state.count > 9) fail("FULL", { at: state.count });
    emit("added", { by: ${wrong} });
    await call.entity(Thing${n}, key + "x").rename({ to: "y" });
    return { count: (state.count += input.by) };
  },
  rename: ({ state, input, now }) => ({ names: state.names.push({ first: input.to, at: now }) }),
  reset({ state }) { state.count = 0; },
  current: ({ state }) => state.count,
  named: ({ state, input }) => state.names.some((name) => name.first === input),
});
export const use${n} = async (client: Client): Promise<number> => {
  const { count } = await client.entity(Thing${n}, "k").add({ by: 1 }, { idempotencyKey: "i" });
  return count + (await client.entity(Thing${n}, "k").current());
};
`;

function generate(folder: string): void {
  const numbers = Array.from({ length: entities }, (_, n) => n);
  for (const n of numbers) writeFileSync(join(folder, `thing${n}.ts`), source(n));
  const app = [
    ...numbers.map((n) => `import { Thing${n}, thing${n} } from "./thing${n}.ts";`),
    `import { app, type Client } from "${join(root, "src/index.ts")}";`,
    `const made = app("big", { entities: [${numbers.map((n) => `thing${n}`).join(", ")}] });`,
    `export const use = async (client: Client<typeof made.contract>): Promise<number[]> => [`,
    ...numbers.map((n) => `  (await client.entity(Thing${n}, "k").add({ by: 1 })).count,`),
    `];`,
  ];
  writeFileSync(join(folder, "app.ts"), app.join("\n"));
  const options = { noEmit: true, incremental: false };
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({ extends: join(root, "tsconfig.json"), compilerOptions: options, include: ["*.ts"] }),
  );
}

/** Runs the compiler. `ms` is processor time, over all its threads: on a machine that does nothing else it takes no longer than that. */
function check(folder: string): { status: number | null; output: string; ms: number } {
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  const script = '"$0" "$1" -p "$2"; status=$?; times; exit $status';
  const run = spawnSync("sh", ["-c", script, process.execPath, compiler, folder], { encoding: "utf8" });
  const spent = run.stdout.trimEnd().split("\n").at(-1) ?? "";
  const seconds = [...spent.matchAll(/(\d+)m([\d.]+)s/g)].map(([, m, s]) => Number(m) * 60 + Number(s));
  assert.equal(seconds.length, 2, `no times in ${run.stdout}${run.stderr}`);
  const ms = Math.round(1000 * seconds.reduce((sum, part) => sum + part));
  return { status: run.status, output: run.stdout + run.stderr, ms };
}

test("an application of 100 entities: it type-checks in under 5 s, and a mistake in it is found", (t) => {
  mkdirSync(join(root, "node_modules/.cache"), { recursive: true });
  const folder = mkdtempSync(join(root, "node_modules/.cache/hundred-entities-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  generate(folder);
  const { status, output, ms } = check(folder);
  t.diagnostic(`${entities} entities type-checked in ${ms} ms of processor time`);
  assert.equal(status, 0, output);
  assert(ms < budgetMs, `${ms} ms`);

  writeFileSync(join(folder, "thing50.ts"), source(50, '"one"'));
  const broken = check(folder);
  assert.notEqual(broken.status, 0);
  assert.match(broken.output, /thing50\.ts.*error TS2322/);
});
