import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { pack } from "../wire/index.ts";
import { noPins, packPins, placementOf, type Pins, trackMembers, unpackPins, type View } from "./index.ts";
import { memberNamed } from "./world.fixture.ts";

const shards = 32;
const pinsTo = (nodes: Iterable<readonly [number, string]>): Pins => ({ version: 1, nodes: new Map(nodes) });

type Given = Readonly<Record<string, Parameters<typeof memberNamed>[1]>>;

/** All of them alive. */
function viewOf(given: Given): View {
  const members = Object.entries(given)
    .map(([name, facts]) => memberNamed(name, facts))
    .map((member) => ({ member, standing: "alive" as const, why: undefined, since: 0 }));
  const empty = trackMembers(memberNamed("nobody"), 0).view();
  return { ...empty, members, byId: new Map(members.map((seen) => [seen.member.id, seen])) };
}
const idOf = (name: string): string => memberNamed(name).id;

test("pins: what is packed is read back, and what is not such a record is none", () => {
  fc.assert(
    fc.property(fc.nat(1e9), fc.array(fc.tuple(fc.nat(1023), fc.constantFrom("a", "b", "ü-3"))), (version, pairs) => {
      const pins: Pins = { version, nodes: new Map(pairs) };
      const back = unpackPins(packPins(pins));
      assert.equal(back?.version, version);
      assert.deepEqual(back?.nodes, pins.nodes);
    }),
  );
  assert.deepEqual(unpackPins(packPins(noPins)), noPins);
  const hostile: unknown[] = [
    null,
    7,
    [],
    {},
    { format: 2, version: 1, nodes: [] },
    { format: 1, version: -1, nodes: [] },
    { format: 1, version: 1, nodes: {} },
    { format: 1, version: 1, nodes: [[7, [1]]] },
    { format: 1, version: 1, nodes: [["", [1]]] },
    { format: 1, version: 1, nodes: [["a", [1.5]]] },
    { format: 1, version: 1, nodes: [["a", 1]] },
    { format: 1, version: 1, nodes: [["a".repeat(600), [1]]] },
    { format: 1, version: 1, nodes: ["a"] },
  ];
  for (const value of hostile) assert.equal(unpackPins(pack(value)), undefined, JSON.stringify(value));
  assert.equal(unpackPins(new Uint8Array([0xc1, 1, 2])), undefined);
});

test("pins: a pinned shard is first where it is pinned to, and no other shard moves for it", () => {
  const view = viewOf({ a: {}, b: {}, c: {}, d: {}, none: { weight: 0 } });
  const free = placementOf(view, shards, 3);
  for (let shard = 0; shard < shards; shard++)
    for (const name of ["a", "b", "c", "d", "none"]) {
      const pinned = placementOf(view, shards, 3, pinsTo([[shard, name]]));
      const copies = pinned[shard] ?? [];
      assert.equal(copies[0], idOf(name));
      assert.equal(new Set(copies).size, 3);
      // The others are the best of the rest, in the same order.
      assert.deepEqual(copies.slice(1), (free[shard] ?? []).filter((id) => id !== idOf(name)).slice(0, 2));
      for (const [other, ids] of pinned.entries()) if (other !== shard) assert.deepEqual(ids, free[other]);
    }
});

test("pins: copies beside a pinned owner are spread over zones as ever", () => {
  const view = viewOf({ a: { zone: "x" }, b: { zone: "x" }, c: { zone: "y" }, d: { zone: "y" }, e: { zone: "z" } });
  const zones = new Map(view.members.map(({ member }) => [member.id, member.zone]));
  for (let shard = 0; shard < shards; shard++) {
    const copies = placementOf(view, shards, 3, pinsTo([[shard, "a"]]))[shard] ?? [];
    assert.equal(new Set(copies.map((id) => zones.get(id))).size, 3);
  }
});

test("pins: one to a node that is away, drains, is cordoned or hosts no entities has no effect", () => {
  const facts: Given[string][] = [
    { state: "draining" },
    { state: "starting" },
    { cordoned: true },
    { entities: false },
  ];
  for (const given of facts) {
    const view = viewOf({ a: {}, b: {}, c: {}, x: given });
    const to = (name: string): Pins => pinsTo(Array.from({ length: shards }, (_, shard) => [shard, name] as const));
    assert.deepEqual(placementOf(view, shards, 3, to("x")), placementOf(view, shards, 3));
    assert.deepEqual(placementOf(view, shards, 3, to("long gone")), placementOf(view, shards, 3));
  }
  const silent = viewOf({ a: {}, b: {} });
  const members = silent.members.map((seen) =>
    seen.member.name === "a" ? { ...seen, standing: "dead" as const } : seen,
  );
  assert.deepEqual(placementOf({ ...silent, members }, 1, 3, pinsTo([[0, "a"]])), [[idOf("b")]]);
});
