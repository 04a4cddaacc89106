import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import test from "node:test";
import { catalogue, type ErrorKind } from "../src/base/index.ts";
import { brokenLinks, errorPages, rowOf, skeletonOf } from "./pages.ts";
import { demand, planted, readFiles, root } from "./source.ts";

test("pages: every error code has a page with its facts, and every page a code", () => {
  demand(errorPages(catalogue), readFiles(["docs/reference/errors/*.md"]));
});

test("pages: every link between pages leads somewhere", () => {
  demand(
    brokenLinks((path) => existsSync(`${root}${path}`)),
    readFiles(["*.md", "docs/**/*.md"]),
  );
});

const kind: ErrorKind = { http: 503, exit: 7, retry: "now", outcome: "not-applied", says: "the cup is full" };
const rule = errorPages({ FULL: kind });
const good = skeletonOf("FULL", kind).replaceAll("…", "Words.");
const path = "docs/reference/errors/FULL.md";
const index: [string, string] = ["docs/reference/errors/index.md", rowOf("FULL", kind)];

test("pages: a whole page is no finding", () => {
  assert.deepEqual(planted(rule, index, [path, good]), []);
});

test("pages: a missing page, a page of no code, a wrong fact and an empty section are reported", () => {
  assert.match(planted(rule, index).join(""), /FULL.md:1 is missing; begin with:\n\n# FULL/);
  assert.deepEqual(planted(rule, index, [path, good], ["docs/reference/errors/GONE.md", ""]), [
    "docs/reference/errors/GONE.md:1 is the page of no code",
  ]);
  assert.equal(planted(rule, index, [path, good.replace("503", "500")]).length, 1);
  assert.equal(planted(rule, index, [path, good.replace("`now`", "`later`")]).length, 1);
  assert.equal(planted(rule, index, [path, good.replace("# FULL", "# EMPTY")]).length, 1);
  assert.equal(planted(rule, index, [path, good.replace("## Why", "## Because")]).length, 1);
  assert.equal(planted(rule, index, [path, skeletonOf("FULL", kind)]).length, 3);
});

test("pages: a code that the index leaves out or has wrong is reported", () => {
  assert.match(planted(rule, [path, good]).join(""), /index.md:1 lacks the row/);
  assert.match(
    planted(rule, [path, good], [index[0], index[1].replace("503", "500")]).join(""),
    /index.md:1 lacks the row/,
  );
});

test("pages: a link that leads nowhere is reported with its line", () => {
  const links = brokenLinks((target) => target === "docs/b.md");
  assert.deepEqual(planted(links, ["docs/a.md", "[b](b.md) [b](./b.md#part) [c](https://example.com) [d](#here)"]), []);
  assert.deepEqual(planted(links, ["docs/a.md", "\n[c](c.md)"]), ["docs/a.md:2 links to c.md, which is not there"]);
});

test("pages: seeing no files is an error", () => {
  assert.throws(() => demand(rule, []), /saw no files/);
});
