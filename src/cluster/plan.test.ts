import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import {
  type Holding,
  type Member,
  placementOf,
  plan,
  type Seen,
  type ShardSight,
  type Standing,
  type Step,
  type View,
} from "./index.ts";
import { memberNamed } from "./world.fixture.ts";

const now = 100_000;

type Others = Record<
  string,
  Partial<Member> & { readonly standing?: Standing; readonly why?: Seen["why"]; readonly seenSince?: number }
>;

function viewOf(others: Others, changes: Partial<View> = {}): View {
  const members = Object.entries(others)
    .map(([name, { standing = "alive", why, seenSince = 0, ...its }]): Seen => {
      return { member: memberNamed(name, its), standing, why, since: seenSince };
    })
    .sort((a, b) => (a.member.id < b.member.id ? -1 : 1));
  const byId = new Map(members.map((seen) => [seen.member.id, seen]));
  return { version: 1, members, byId, excluded: false, mayClaim: true, settledSince: 0, ...changes };
}

const three = { a: {}, b: {}, c: {} };

/** The plan of the node `me` for one shard that `placement` gives to some. */
function stepFor(me: string, view: View, placement: string, sight: Partial<ShardSight>): Step {
  const shards = [{ shard: 0, mine: "following" as const, owner: undefined, since: now, ...sight }];
  const [step] = plan({ me, view, placement: [[...placement]], shards, now });
  return step ?? assert.fail("no step");
}

const follow = { do: "follow" };
const keep = { do: "keep" };
const rest = { do: "rest" };

test("plan: N1 a shard whose owner is there is followed by its copies, and rests at others", () => {
  for (const standing of ["alive", "doubted"] as const) {
    const view = viewOf({ ...three, d: {}, x: { standing } });
    for (const mine of ["following", "closed", "opening", "fenced", "serving"] as const)
      assert.deepEqual(stepFor("a", view, "bac", { mine, owner: "x" }), follow, mine);
    assert.deepEqual(stepFor("d", view, "bac", { owner: "x" }), rest);
    assert.deepEqual(stepFor("d", view, "bac", { owner: "x", mine: "closed" }), rest);
    for (const mine of ["opening", "fenced", "serving"] as const)
      assert.deepEqual(stepFor("d", view, "bac", { mine, owner: "x" }), follow, `stop ${mine} first`);
  }
});

test("plan: a copy that is no longer one is dropped only in a settled cluster, and kept by a cordoned node", () => {
  const others = { ...three, d: {}, e: { cordoned: true } };
  const unsettled = viewOf(others, { settledSince: now - 999 });
  assert.deepEqual(stepFor("d", unsettled, "abc", { owner: "a" }), keep);
  assert.deepEqual(stepFor("d", viewOf(others, { settledSince: now - 1000 }), "abc", { owner: "a" }), rest);
  assert.deepEqual(stepFor("e", viewOf(others), "abc", { owner: "a" }), keep);
  assert.deepEqual(stepFor("d", viewOf(others, { excluded: true, mayClaim: false }), "abc", { owner: "a" }), keep);
});

test("plan: N2 the copies claim a lost shard in the order of placement, a tenth of a second apart", () => {
  const view = viewOf({ ...three, d: {}, x: { standing: "dead", seenSince: now - 30 } });
  const claim = (me: string, sight: Partial<ShardSight>): Step => stepFor(me, view, "bac", { since: 5, ...sight });
  for (const mine of ["following", "closed", "opening", "fenced"] as const) {
    assert.deepEqual(claim("b", { owner: "x", mine }), { do: "claim", afterMs: 0 });
    assert.deepEqual(claim("a", { owner: "x", mine }), { do: "claim", afterMs: 70 });
    assert.deepEqual(claim("c", { owner: "x", mine }), { do: "claim", afterMs: 170 });
  }
  assert.deepEqual(claim("d", { owner: "x" }), rest);
  assert.deepEqual(claim("c", { owner: undefined, since: now }), { do: "claim", afterMs: 200 });
  assert.deepEqual(claim("c", { owner: "long gone", since: now - 50 }), { do: "claim", afterMs: 150 });
});

test("plan: an owner that claimed after it was seen dead is lost a lease later, unless it is a run that is over", () => {
  const x = { standing: "dead", seenSince: now - 30 } as const;
  const sight = { owner: "x", since: now - 10 };
  assert.deepEqual(stepFor("c", viewOf({ ...three, x }), "bac", sight), { do: "claim", afterMs: 1190 });
  const over = viewOf({ ...three, x: { ...x, why: "superseded" } });
  assert.deepEqual(stepFor("c", over, "bac", sight), { do: "claim", afterMs: 190 });
});

test("plan: N3 who may not claim claims nothing, gives nothing up, and keeps what it serves and follows", () => {
  for (const excluded of [true, false]) {
    const view = viewOf({ ...three, x: { standing: "dead" } }, { excluded, mayClaim: false });
    assert.deepEqual(stepFor("a", view, "bc", { owner: "x" }), keep);
    assert.deepEqual(stepFor("a", view, "ab", { owner: "x", mine: "closed" }), keep);
    assert.deepEqual(stepFor("a", view, "ab", { owner: "x", mine: "opening" }), follow);
    assert.deepEqual(stepFor("a", view, "ab", { owner: "b", offered: true }), follow);
    assert.deepEqual(stepFor("a", view, "ba", { owner: "a", mine: "serving" }), keep);
    assert.deepEqual(stepFor("a", view, "ba", { owner: "a", mine: "following", since: 0 }), keep);
  }
});

test("plan: what was handed to this node it claims at once, though the owner is still there", () => {
  const view = viewOf(three);
  assert.deepEqual(stepFor("b", view, "ba", { owner: "a", offered: true }), { do: "claim", afterMs: 0 });
  assert.deepEqual(stepFor("b", view, "ba", { owner: "b", offered: true, mine: "serving" }), keep);
});

test("plan: what this node gave up and nobody took it takes back after a lease; a fenced one reads first", () => {
  const view = viewOf({ ...three, a: { state: "draining" } });
  const sight = { owner: "a", since: now - 400 };
  assert.deepEqual(stepFor("a", view, "bc", sight), { do: "claim", afterMs: 600 });
  assert.deepEqual(stepFor("a", view, "bc", { ...sight, mine: "fenced" }), follow);
});

test("plan: what this node gave up and the other certainly did not take it takes back at once", () => {
  const sight = { owner: "a", since: now - 1, refused: true };
  assert.deepEqual(stepFor("a", viewOf(three), "bac", sight), { do: "claim", afterMs: 0 });
  assert.deepEqual(stepFor("a", viewOf(three, { mayClaim: false }), "bac", sight), keep);
  assert.deepEqual(stepFor("a", viewOf(three), "bac", { ...sight, owner: "b" }), follow, "b has taken it after all");
});

test("plan: a cordoned node keeps what it has, but for what an operator wants elsewhere", () => {
  const view = viewOf({ ...three, a: { cordoned: true } });
  const sight = { mine: "serving", owner: "a" } as const;
  assert.deepEqual(stepFor("a", view, "bac", sight), keep);
  assert.deepEqual(stepFor("a", view, "bac", { ...sight, pinned: true }), { do: "hand-over", to: "b" });
  const unsettled = viewOf({ ...three, a: { cordoned: true } }, { settledSince: now - 999 });
  assert.deepEqual(stepFor("a", unsettled, "bac", { ...sight, pinned: true }), keep, "damped like any other");
});

test("plan: a quarantined shard is left to an operator, whatever else is the case", () => {
  for (const owner of [undefined, "a", "b", "x"])
    for (const state of ["ready", "draining"] as const)
      assert.deepEqual(stepFor("a", viewOf({ ...three, a: { state } }), "ab", { mine: "quarantined", owner }), keep);
});

test("plan: N4 N5 a shard goes to the first in its placement, once that one follows closely and the cluster is settled", () => {
  const view = viewOf(three);
  const sight = { mine: "serving", owner: "a" } as const;
  assert.deepEqual(stepFor("a", view, "bac", sight), { do: "hand-over", to: "b" });
  assert.deepEqual(stepFor("a", view, "bac", { ...sight, close: new Set(["b"]) }), { do: "hand-over", to: "b" });
  assert.deepEqual(stepFor("a", view, "bac", { ...sight, close: new Set(["c"]) }), keep);
  assert.deepEqual(stepFor("a", view, "abc", sight), keep);
  assert.deepEqual(stepFor("a", view, "", sight), keep);
  const unsettled = viewOf(three, { settledSince: now - 999 });
  assert.deepEqual(stepFor("a", unsettled, "bac", sight), keep);
  assert.deepEqual(
    stepFor("a", unsettled, "bac", { ...sight, moving: "b", close: new Set() }),
    { do: "hand-over", to: "b" },
    "what is under way goes on",
  );
  assert.deepEqual(stepFor("a", unsettled, "cab", { ...sight, moving: "b" }), keep, "unless it is no longer wanted");
  assert.deepEqual(stepFor("a", viewOf({ ...three, a: { cordoned: true } }), "bac", sight), keep);
});

test("plan: N4 at most so many shards move at once from here, those under way first", () => {
  const view = viewOf(three);
  const shards = Array.from({ length: 10 }, (_, shard): ShardSight => {
    return { shard, mine: "serving", owner: "a", since: 0, ...(shard >= 7 ? { moving: "b" } : {}) };
  });
  const placement = shards.map(() => ["b", "a"]);
  const moved = (maxMoves?: number): number[] =>
    plan({ me: "a", view, placement, shards, now, maxMoves }).flatMap((step, i) =>
      step.do === "hand-over" ? [i] : [],
    );
  assert.deepEqual(moved(), [0, 7, 8, 9]);
  assert.deepEqual(moved(1), [7, 8, 9], "none is broken off");
  assert.equal(moved(20).length, 10);
  const draining = viewOf({ ...three, a: { state: "draining" } }, { settledSince: now });
  const steps = plan({ me: "a", view: draining, placement: shards.map(() => ["b", "c"]), shards, now });
  assert.equal(steps.filter((step) => step.do === "hand-over").length, 4);
});

test("plan: N5 a draining node gives each shard to the best that follows closely, else to the best, else keeps it", () => {
  const view = viewOf({ ...three, a: { state: "draining" } }, { settledSince: now });
  const sight = { mine: "serving", owner: "a" } as const;
  assert.deepEqual(stepFor("a", view, "bc", sight), { do: "hand-over", to: "b" });
  assert.deepEqual(stepFor("a", view, "bc", { ...sight, close: new Set(["c"]) }), { do: "hand-over", to: "c" });
  assert.deepEqual(stepFor("a", view, "bc", { ...sight, close: new Set() }), { do: "hand-over", to: "b" });
  assert.deepEqual(stepFor("a", view, "bc", { ...sight, moving: "c" }), { do: "hand-over", to: "c" });
  assert.deepEqual(stepFor("a", view, "", sight), keep);
  const all = viewOf({ a: { state: "draining" }, b: { state: "draining" } });
  assert.deepEqual(stepFor("a", all, "ba", sight), keep, "two that drain do not hand to each other");
});

test("plan: in any picture, at most one node's plan is to claim at once, and plans are the same each time", () => {
  const names = ["a", "b", "c", "d", "e"];
  const anyView = fc.record({
    standings: fc.array(fc.constantFrom<Standing>("alive", "doubted", "dead"), { minLength: 5, maxLength: 5 }),
    states: fc.array(fc.constantFrom("ready", "draining", "starting"), { minLength: 5, maxLength: 5 }),
    cordons: fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }),
    mayClaim: fc.boolean(),
  });
  const holding = fc.constantFrom<Holding>("following", "closed", "opening", "quarantined");
  const anyOwner = fc.option(fc.constantFrom(...names, "gone"), { nil: undefined });
  fc.assert(
    fc.property(
      anyView,
      holding,
      anyOwner,
      fc.nat(3000),
      ({ standings, states, cordons, mayClaim }, mine, owner, ago) => {
        const others: Others = {};
        for (const [i, name] of names.entries())
          others[name] = {
            standing: standings[i] ?? "alive",
            state: states[i] ?? "ready",
            cordoned: cordons[i] ?? false,
            seenSince: now - ago,
          };
        const view = viewOf(others, { mayClaim });
        const placement = placementOf(view, 8, 3);
        const shards = placement.map((_, shard): ShardSight => ({ shard, mine, owner, since: now - ago }));
        const steps = names.map((me) => plan({ me, view, placement, shards, now }));
        assert.deepEqual(
          names.map((me) => plan({ me, view, placement, shards, now })),
          steps,
        );
        const isLost = owner === undefined || (view.byId.get(owner)?.standing ?? "dead") === "dead";
        for (const shard of placement.keys()) {
          const claims = steps.flatMap((all, i) => {
            const step = all[shard];
            return step?.do === "claim" && names[i] !== owner ? [{ name: names[i], afterMs: step.afterMs }] : [];
          });
          if (!isLost || !mayClaim || mine === "quarantined") assert.deepEqual(claims, []);
          if (ago === 0) assert.ok(claims.filter(({ afterMs }) => afterMs === 0).length <= 1);
          for (const { name } of claims) assert.equal(view.byId.get(name ?? "")?.standing, "alive");
        }
      },
    ),
    { numRuns: 500 },
  );
});
