// The output contract, on the real command: data on stdout, the rest on stderr, exit codes that mean what they say.

import assert from "node:assert/strict";
import { test } from "node:test";
import { catalogue } from "../base/index.ts";
import { sheaf } from "./cli.fixture.ts";
import { nearest } from "./nearest.ts";
import { table } from "./output.ts";
import { printable, type Terminal, wantsColor } from "./terminal.ts";

const escape = "\u001b[";

test("help: on request goes to stdout with exit 0", async () => {
  for (const args of [["--help"], ["help"], ["entity", "--help"], ["help", "key", "create"]]) {
    const ran = await sheaf(args);
    assert.equal(ran.code, 0, args.join(" "));
    assert.match(ran.out, /Usage: sheaf/);
    assert.equal(ran.err, "");
  }
});

test("usage: mistakes go to stderr with exit 2 and leave stdout empty", async () => {
  const mistakes = [
    [],
    ["entity"],
    ["start"],
    ["call"],
    ["version", "--nonsense"],
    ["--color=pink", "version"],
    ["create", "x", "--template", "nope", "--yes"],
    ["call", "nonsense"],
    ["call", "a/b/c", "{"],
    ["start", "there-is-no-such-app.ts", "--port", "99999"],
  ];
  for (const args of mistakes) {
    const ran = await sheaf(args);
    assert.equal(ran.code, args[1] === "there-is-no-such-app.ts" ? 3 : 2, `${args.join(" ")}: ${ran.err}`);
    assert.equal(ran.out, "", args.join(" "));
    assert.notEqual(ran.err, "", args.join(" "));
  }
});

test("unknown command: exit 2, names the nearest, runs none", async () => {
  const ran = await sheaf(["entty", "ls"]);
  assert.equal(ran.code, 2);
  assert.match(ran.err, /✗ USAGE {2}unknown command "entty"/);
  assert.match(ran.err, /Nearest: entity/);
  assert.match((await sheaf(["key", "revok"])).err, /Nearest: revoke/);
  assert.match((await sheaf(["queue", "frobnicate"])).err, /There is ls, peek, add, show,/);
});

test("errors with --json: one document on stderr, whatever went wrong", async () => {
  for (const args of [["nonsense"], ["status"], ["call", "a/b/c"], ["version", "--json=nope"]]) {
    const ran = await sheaf([...args, "--json"]);
    assert.equal(ran.out, "");
    const { error } = JSON.parse(ran.err) as {
      error: { code: keyof typeof catalogue; docs: string; retryable: boolean; outcome: string };
    };
    assert.equal(ran.code, catalogue[error.code].exit);
    assert.deepEqual(Object.keys(error), ["code", "message", "hint", "docs", "retryable", "outcome", "details"]);
    assert.equal(error.docs, `sheaf help ${error.code}`);
  }
});

test("no node: unreachable is exit 7, with what to do", async () => {
  const ran = await sheaf(["status"]);
  assert.equal(ran.code, 7);
  assert.match(ran.err, /UNREACHABLE .* no node runs on/);
  assert.match(ran.err, /sheaf dev or sheaf start/);
});

test("--json: one document with schema, data, next and warnings; fields can be picked", async () => {
  const ran = await sheaf(["version", "--json"]);
  assert.deepEqual(Object.keys(JSON.parse(ran.out) as object), ["schema", "data", "next", "warnings"]);
  assert.match(ran.out, /^\{"schema":"sheaf\.version\/v1"/);
  const picked = JSON.parse((await sheaf(["version", "--json=node"])).out) as { data: object };
  assert.deepEqual(Object.keys(picked.data), ["node"]);
});

test("colour: none on a pipe, some when asked for, NO_COLOR wins over FORCE_COLOR, --color over both", async () => {
  assert.ok(!(await sheaf(["nonsense"])).err.includes(escape));
  assert.ok((await sheaf(["nonsense"], { env: { FORCE_COLOR: "1" } })).err.includes(escape));
  assert.ok(!(await sheaf(["nonsense"], { env: { FORCE_COLOR: "1", NO_COLOR: "1" } })).err.includes(escape));
  assert.ok((await sheaf(["nonsense", "--color=always"], { env: { NO_COLOR: "1" } })).err.includes(escape));
  assert.equal(wantsColor("auto", true, { TERM: "dumb" }), false);
});

test("stack: shown with --debug only", async () => {
  assert.doesNotMatch((await sheaf(["nonsense"])).err, /\n\s+at /);
  assert.match((await sheaf(["nonsense", "--debug"])).err, /\n\s+at /);
});

test("help CODE: every error of the catalogue is explained without a network", async () => {
  const codes = Object.keys(catalogue);
  for (const code of ["NOT_OWNER", "idempotency_mismatch", codes.at(-1)!]) {
    const ran = await sheaf(["help", code]);
    assert.equal(ran.code, 0);
    assert.match(ran.out, new RegExp(code.toUpperCase()));
  }
  const unknown = await sheaf(["help", "NOT_OWNED"]);
  assert.equal(unknown.code, 3);
  assert.match(unknown.err, /Nearest: NOT_OWNER/);
});

test("completion: scripts for the three shells, and names of commands and options", async () => {
  for (const shell of ["bash", "zsh", "fish"]) assert.match((await sheaf(["completion", shell])).out, /__complete/);
  assert.equal((await sheaf(["completion", "tcsh"])).code, 2);
  assert.deepEqual((await sheaf(["__complete", "--", "ent"])).out, "entity\n");
  assert.deepEqual((await sheaf(["__complete", "--", "entity", "h"])).out, "history\n");
  assert.match((await sheaf(["__complete", "--", "call", "--dead"])).out, /^--deadline\n$/);
});

test("nearest: finds swaps, gaps and slips, best first, and nothing far away", () => {
  const names = ["create", "dev", "start", "status", "call", "doctor"];
  assert.deepEqual(nearest("statr", names)[0], "start");
  assert.deepEqual(nearest("stat", names).slice(0, 2), ["status", "start"]);
  assert.deepEqual(nearest("qqqqqq", names), []);
});

test("table: aligned with headings for a person, the same columns tab-separated for a pipe", () => {
  const columns = [
    { title: "name", value: (row: { n: string; c: number }) => row.n },
    { title: "count", value: (row: { n: string; c: number }) => row.c, align: "right" as const },
  ];
  const rows = [
    { n: "é\tx", c: 5 },
    { n: "long name", c: 12_345 },
  ];
  const to = (tty: boolean): Terminal => ({
    out: { write() {}, tty, paint: (_, text) => text },
    err: { write() {}, tty, paint: (_, text) => text },
    interactive: tty,
  });
  assert.equal(table(rows, columns, to(false)), "é x\t5\nlong name\t12345");
  assert.deepEqual(
    table(rows, columns, to(true))
      .split("\n")
      .map((line) => line.length),
    [16, 16, 16],
  );
});

test("printable: what a server sends cannot drive the terminal", () => {
  assert.equal(printable("a\u001b[2Jb\u0007"), "a\\x1b[2Jb\\x07");
});
