// Each rule that the documentation is held to, with a defect planted in a page of its own.

import assert from "node:assert/strict";
import test from "node:test";
import { answers, stepsOf, strangeCommands } from "./docs-console.fixture.ts";
import { addresses, commandTree, limits, metrics, stale } from "./docs-generated.fixture.ts";
import { anchorsOf, blocksOf, brokenAnchors, missingFiles, offTheMap } from "./docs-pages.fixture.ts";

const page = (path: string, text: string): { path: string; text: string } => ({ path, text });

test("blocks: each is found with what the comments before it ask for, inside lists too", () => {
  const text =
    "<!-- file: src/a.ts; run -->\n\n```ts\nlet a;\n```\n\n- x\n\n  ```sh\n  ls\n  ```\n\n<!-- kill -->\n<!-- run -->\n\n```console\n$ ls\n```\n";
  const [first, second, third] = blocksOf(page("docs/a.md", text));
  assert.deepEqual(first, {
    page: "docs/a.md",
    line: 3,
    language: "ts",
    code: "let a;\n",
    file: "src/a.ts",
    run: true,
    kill: false,
  });
  assert.deepEqual([second?.code, second?.run], ["ls\n", false]);
  assert.deepEqual([third?.run, third?.kill], [true, true]);
});

test("console: an answer fits with its gaps, whatever its spaces, and without a table's heading", () => {
  assert.deepEqual(stepsOf("$ a b\none\ntwo\n$ c\n"), [
    { command: "a b", answer: "one\ntwo" },
    { command: "c", answer: "" },
  ]);
  assert.throws(() => stepsOf("one\n$ a\n"), /begins with a command/);
  assert.ok(answers('VERSION  AT  STATE\n2  …  {"left":1,…', '2\t2026-11-23\t{"left":1,"sold":2}\t\n'));
  assert.ok(answers("", "\n"));
});

test("console: an answer that differs, lacks a line or says more does not fit", () => {
  assert.ok(!answers("200", "300"));
  assert.ok(!answers("200", "2000"));
  assert.ok(!answers("one\ntwo", "one"));
  assert.ok(!answers("one … four", "one two three"));
  assert.ok(!answers("a.c", "abc"));
});

test("commands: one that does not exist and a flag that it does not take are reported", () => {
  const program = commandTree();
  assert.deepEqual(
    strangeCommands("`sheaf status --shards` and `npx sheaf entity ls account --json=key`, `sheaf help CODE`", program),
    [],
  );
  assert.deepEqual(strangeCommands("```sh\nnpx sheaf stat\n```", program), ["sheaf stat: no such command"]);
  assert.deepEqual(strangeCommands("`sheaf entity`", program), ["sheaf entity: no such command"]);
  assert.deepEqual(strangeCommands("sheaf start app.ts \\\n  --replicas 3", program), [
    "sheaf start app.ts --replicas 3: no flag --replicas",
  ]);
});

test("links: a heading that is not there is reported, and one in a code block is none", () => {
  const other = page("docs/b.md", "# What `it` is, and why\n\n```sh\n# not a heading\n```\n");
  assert.deepEqual(anchorsOf(other), ["what-it-is-and-why"]);
  assert.deepEqual(brokenAnchors([page("docs/a.md", "[b](b.md#what-it-is-and-why)"), other]), []);
  assert.deepEqual(brokenAnchors([page("docs/a.md", "\n[b](b.md#not-a-heading) [c](#gone)"), other]), [
    "docs/a.md:2 links to docs/b.md#not-a-heading, which is no heading",
    "docs/a.md:2 links to docs/a.md#gone, which is no heading",
  ]);
});

test("map: a page that nothing leads to is reported", () => {
  const map = page("docs/README.md", "[a](how-to/a.md)");
  assert.deepEqual(offTheMap([map, page("docs/how-to/a.md", ""), page("docs/b.md", "")]), ["docs/b.md"]);
});

test("files: one that is named and not there is reported", () => {
  const exists = (path: string): boolean => path === "src/a.ts";
  assert.deepEqual(missingFiles([page("docs/a.md", "`src/a.ts`\n`src/b.test.ts`")], exists), [
    "docs/a.md:2 names src/b.test.ts, which is not there",
  ]);
});

test("generated: a part that differs, and one that no page holds, are reported; padding is not", () => {
  const held = page("docs/a.md", "<!-- generated: x -->\n\n| a   |\n| --- |\n\n<!-- end -->");
  assert.deepEqual(stale([held], { x: "| a |\n| ------ |" }), []);
  assert.match(stale([held], { x: "| b |\n| --- |" }).join(), /"x" is not what the code says/);
  assert.match(stale([held], { x: "| a |\n| --- |", y: "" }).join(), /no page holds the generated part "y"/);
});

test("generated: an address that nobody described is an error; a limit has its reason, a metric its labels", () => {
  assert.throws(() => addresses([{ method: "GET", pattern: "/new", access: "open" }]), /say in .* what GET \/new does/);
  const source = "defaultLimits = {\n  /** Why\n   *  so. */\n  maxStateBytes: 1,\n  maxDepth: 2,\n} as const";
  assert.match(limits(source), /`maxStateBytes` \| 1 MiB \| Why so\. \|\n\| `maxDepth` \| 64 \| Why so\. \|/);
  const scrape = '# HELP a_total Things.\n# TYPE a_total counter\na_total{kind="x",of="y"} 3\n';
  assert.match(metrics(scrape), /\| `a_total` \| counter \| kind, of \| Things\. \|/);
});
