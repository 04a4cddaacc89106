// JSON and bodies from outside: what is refused, how early, and that nothing leaks into the program.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { defaultLimits, SheafError, utf8 } from "../base/index.ts";
import { fromRequest, parseJson, readJson, type Incoming } from "./index.ts";

const limits = defaultLimits;
const parse = (text: string): unknown => parseJson(utf8(text), limits);
const code = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof SheafError);
    return error.code;
  }
  return "accepted";
};

test("json: every JSON value that JSON.parse reads the same for everybody is read as it is", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      const text = JSON.stringify(value);
      if (!text.includes('"__proto__"')) assert.deepEqual(parse(text), JSON.parse(text));
    }),
    { numRuns: 500 },
  );
  assert.deepEqual(parse(' { "a" : [ 1 , { "b:,{[" : "\\"\\\\" } ] } '), { a: [1, { "b:,{[": '"\\' }] });
});

test("json: an object that names a key twice is refused at any depth", () => {
  for (const text of [
    '{"a":1,"a":2}',
    '[{"x":{"b":1,"c":0,"b":1}}]',
    '{"a":1,"\\u0061":2}',
    '{"constructor":1,"constructor":2}',
  ]) {
    assert.equal(
      code(() => parse(text)),
      "MALFORMED",
      text,
    );
  }
  assert.equal(
    code(() => parse('[{"a":1},{"a":2}]')),
    "accepted",
  );
});

test("json: no body changes what other objects are", () => {
  assert.equal(
    code(() => parse('{"__proto__":{"polluted":1}}')),
    "MALFORMED",
  );
  assert.equal(
    code(() => parse('[{"a":{"\\u005f_proto__":{"polluted":1}}}]')),
    "MALFORMED",
  );
  const value = parse('{"constructor":{"prototype":{"polluted":1}}}') as object;
  Object.assign({}, value);
  assert.equal(({} as { polluted?: unknown }).polluted, undefined);
});

test("json: bombs are refused by counting, before anything is built", () => {
  const bombs: [string, string][] = [
    ["[".repeat(500_000), "TOO_LARGE"],
    ['{"a":'.repeat(150_000), "TOO_LARGE"],
    [`[${"[],".repeat(250_000)}[]]`, "TOO_LARGE"],
    [`[${"1,".repeat(100_001)}1]`, "TOO_LARGE"],
    ["[".repeat(64) + "]".repeat(64), "accepted"],
    ["[".repeat(65) + "]".repeat(65), "TOO_LARGE"],
    [`"${"[".repeat(1000)}"`, "accepted"],
    [`"${'\\"['.repeat(1000)}"`, "accepted"],
  ];
  for (const [text, expected] of bombs)
    assert.equal(
      code(() => parse(text)),
      expected,
      text.slice(0, 20),
    );
});

test("json: bytes that are not one JSON text in UTF-8 are MALFORMED", () => {
  for (const text of [
    "",
    "{",
    "}",
    "nul",
    "{'a':1}",
    "[1,]",
    '{"a":1}x',
    "NaN",
    "01",
    '"\u0001"',
    "\ufeff{}",
    "1 2",
    '"\\x"',
    '"',
    '"\\',
    "]]]]",
  ]) {
    assert.equal(
      code(() => parse(text)),
      "MALFORMED",
      JSON.stringify(text),
    );
  }
  for (const bytes of [
    [0xff],
    [0x22, 0xc0, 0xaf, 0x22],
    [0x22, 0xed, 0xa0, 0x80, 0x22],
    [0x22, 0x80, 0x22],
    [0xff, 0xfe, 0x7b, 0x00],
  ]) {
    assert.equal(
      code(() => parseJson(new Uint8Array(bytes), limits)),
      "MALFORMED",
    );
  }
});

test("json: random bytes are a value or a refusal, never anything else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      assert.notEqual(
        code(() => parseJson(bytes, limits)),
        "INTERNAL",
      );
    }),
    { numRuns: 2000 },
  );
});

const request = (body: BodyInit | null, headers: Record<string, string> = {}): Incoming =>
  fromRequest(new Request("http://localhost/", { method: "POST", body, headers, duplex: "half" } as RequestInit));
const refused = async (asked: Incoming, max = 1000): Promise<string> =>
  readJson(asked, { ...limits, maxRequestBytes: max }).then(
    () => "accepted",
    (error: unknown) => (error as SheafError).code,
  );

test("body: only JSON is read, and an empty body needs no type", async () => {
  const accepted = [
    "application/json",
    "application/json; charset=utf-8",
    "Application/JSON",
    'application/json;charset="UTF-8"',
  ];
  for (const type of accepted) assert.equal(await refused(request("{}", { "content-type": type })), "accepted", type);
  const others = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/json; charset=latin1",
    "application/jsonp",
    "application/cbor",
    "multipart/form-data",
  ];
  for (const type of others)
    assert.equal(await refused(request("{}", { "content-type": type })), "UNSUPPORTED_MEDIA", type);
  assert.equal(await refused(request(utf8("{}"))), "UNSUPPORTED_MEDIA");
  assert.equal(
    await refused(request("{}", { "content-type": "application/json", "content-encoding": "gzip" })),
    "UNSUPPORTED_MEDIA",
  );
  assert.equal(await readJson(request(null), limits), undefined);
  assert.equal(await readJson(request("", { "content-type": "text/plain", "content-length": "0" }), limits), undefined);
});

test("body: the cap holds while bytes arrive, whatever length is declared", async () => {
  let pulled = 0;
  let cancelled = false;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulled++;
      controller.enqueue(new Uint8Array(100).fill(0x20));
    },
    cancel() {
      cancelled = true;
    },
  });
  assert.equal(await refused(request(endless, { "content-type": "application/json" })), "TOO_LARGE");
  assert.ok(pulled < 20 && cancelled);
  const type = { "content-type": "application/json" };
  assert.equal(await refused(request(" ".repeat(2000) + "1", { ...type, "content-length": "1001" })), "TOO_LARGE");
  assert.equal(await refused(request(" ".repeat(2000) + "1", { ...type, "content-length": "10" })), "TOO_LARGE");
  for (const length of ["-1", "1e3", "0x10", "abc", "9".repeat(40)])
    assert.equal(await refused(request("1", { ...type, "content-length": length })), "MALFORMED", length);
});

test("body: a client that breaks off is MALFORMED, not a defect", async () => {
  const broken = new ReadableStream({ pull: (controller) => controller.error(new Error("reset")) });
  assert.equal(await refused(request(broken, { "content-type": "application/json" })), "MALFORMED");
});
