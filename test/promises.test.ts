// docs/promises.md holds: each of the forty is there, and every test that it names exists under that name.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { root } from "./docs-pages.fixture.ts";
import { faults } from "./torture/faults.ts";

const page = readFileSync(join(root, "docs/promises.md"), "utf8");
const howTo = readFileSync(join(root, "docs/how-to/torture-a-cluster.md"), "utf8");

type Row = { readonly number: number; readonly held: string };

const rowsOf = (text: string): Row[] =>
  [...text.matchAll(/^\| (\d+) +\|.*\|(.*)\|$/gm)].map(([, number, held = ""]) => ({ number: Number(number), held }));

/** What is wrong with the rows, in words. `textOf` reads a file of the repository; undefined when there is none. */
function wrongIn(rows: readonly Row[], textOf: (path: string) => string | undefined): string[] {
  return rows.flatMap(({ number, held }) => {
    const named = [...held.matchAll(/`([^`]+\.ts)` › "([^"]+)"/g)];
    const wrong = named.flatMap(([, path = "", name = ""]) => {
      const text = textOf(path);
      if (text === undefined) return [`${number} names ${path}, which is not there`];
      return ['"', "`", "'"].some((mark) => text.includes(`${mark}${name}${mark}`))
        ? []
        : [`${number} names "${name}", which is no test of ${path}`];
    });
    if (named.length === 0 && !/not (?:yet|built):/.test(held))
      wrong.push(`${number} names no test and does not say why`);
    return wrong;
  });
}

const read = (path: string): string | undefined =>
  existsSync(join(root, path)) ? readFileSync(join(root, path), "utf8") : undefined;

test("promises: all forty are there, and every test that the page names exists", () => {
  const rows = rowsOf(page);
  assert.deepEqual(
    rows.map(({ number }) => number),
    Array.from({ length: 40 }, (_, at) => at + 1),
  );
  assert.deepEqual(wrongIn(rows, read), []);
});

test("promises: a file or test that is not there, and a row without either, are reported", () => {
  const text = [
    '| 1 | a | b | `a.test.ts` › "a: holds" |',
    '| 2 | a | b | `a.test.ts` › "a: never held" |',
    '| 3 | a | b | `b.test.ts` › "a: holds" |',
    "| 4 | a | b | nothing |",
    "| 5 | a | b | **not built:** queues |",
  ].join("\n");
  const textOf = (path: string): string | undefined => (path === "a.test.ts" ? 'test("a: holds", () => {' : undefined);
  assert.deepEqual(wrongIn(rowsOf(text), textOf), [
    '2 names "a: never held", which is no test of a.test.ts',
    "3 names b.test.ts, which is not there",
    "4 names no test and does not say why",
  ]);
});

test("promises: the page about torture tells of every fault", () => {
  for (const [name, { says }] of Object.entries(faults)) assert.ok(howTo.includes(`\`${name}\``), `${name}: ${says}`);
});
