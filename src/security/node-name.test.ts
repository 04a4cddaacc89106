import assert from "node:assert/strict";
import { test } from "node:test";
import { checkNodeName, judgePeer, nodeOf, nodeUri, rootOf } from "./node-name.ts";

const valid = { names: "URI:sheaf://c1/a", notBefore: 100, notAfter: 200 };

test("node names: a certificate that names anything but exactly one node names nobody (N1)", () => {
  assert.deepEqual(nodeOf("URI:sheaf://c1/node-1.b_2"), { cluster: "c1", name: "node-1.b_2" });
  const nobody = [
    undefined,
    "",
    "URI:sheaf://c1",
    "URI:sheaf://c1/",
    "URI:sheaf:///a",
    "URI:sheaf://c1/a, URI:sheaf://c1/b",
    "DNS:a, URI:sheaf://c1/a",
    "URI:sheaf://c1/a/b",
    'URI:"sheaf://c1/a"',
    "URI:https://c1/a",
    "DNS:sheaf://c1/a",
    "URI:sheaf://c1/a\n",
    " URI:sheaf://c1/a",
    `URI:sheaf://c1/${"a".repeat(65)}`,
  ];
  for (const names of nobody) assert.equal(nodeOf(names), undefined, names);
  assert.deepEqual(
    [rootOf("URI:sheaf://c1"), rootOf("URI:sheaf://c1/a"), rootOf(undefined)],
    ["c1", undefined, undefined],
  );
});

test("node names: one that could mean a path or another name is refused", () => {
  for (const name of ["a", "A-1", "0192f3a4-0000-7000-8000-000000000000", "a".repeat(64)]) {
    assert.equal(checkNodeName(name), name);
    assert.deepEqual(nodeOf(`URI:${nodeUri("c1", name)}`), { cluster: "c1", name });
  }
  for (const name of ["", ".", "..", "../a", "a/b", "a b", "-a", "a.", "é", "a\0", "a".repeat(65)])
    assert.throws(() => checkNodeName(name), { code: "USAGE" }, name);
  assert.throws(() => nodeUri("c 1", "a"), { code: "USAGE" });
});

test("peers: a certificate of another cluster, for another node, ended or not begun is refused (N2)", () => {
  const judge = (shown: object, wanted: object): string => {
    const verdict = judgePeer({ ...valid, ...shown }, { cluster: "c1", now: 150, ...wanted });
    return "name" in verdict ? verdict.name : verdict.refusal;
  };
  assert.equal(judge({}, {}), "a");
  assert.equal(judge({}, { name: "a" }), "a");
  assert.match(judge({}, { name: "b" }), /of a, not of b/);
  assert.match(judge({}, { cluster: "c2" }), /another cluster/);
  assert.match(judge({ names: undefined }, {}), /names no node/);
  assert.match(judge({}, { now: 200 }), /expired/);
  assert.equal(judge({}, { now: 199 }), "a");
  assert.match(judge({}, { now: 99 }), /not valid yet/);
  assert.equal(judge({}, { now: 100 }), "a");
});
