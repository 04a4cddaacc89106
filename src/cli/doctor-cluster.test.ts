// What `sheaf doctor` makes of what the nodes of a cluster tell.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Checkup } from "../admin/index.ts";
import { clusterFindings } from "./doctor-cluster.ts";
import type { Finding } from "./findings.ts";

const now = Date.UTC(2030, 0, 1);
const hour = 3_600_000;
const good = { until: now + 20 * hour, renewsAt: now + 10 * hour, rootUntil: now + 9_000 * hour };

function node(name: string, facts: Partial<Checkup> = {}): Checkup {
  const reaches = ["a", "b", "c"]
    .filter((other) => other !== name)
    .map((other) => ({ node: `n-${other}`, name: other, peer: `${other}:4002`, link: "up" as const }));
  return {
    node: `n-${name}`,
    name,
    app: "bank",
    fingerprint: "0123",
    insecure: false,
    certificates: good,
    clockSkewMs: 0,
    clockWithinMs: 1,
    engineError: null,
    engineSyncMs: 1.5,
    engineSkewMs: 3,
    engineSkewWithinMs: 5,
    reaches,
    ...facts,
  };
}

/** Those that are not well, as `state check`, and all of them by check. */
function found(nodes: readonly Checkup[], silent: readonly string[] = []): { odd: string[]; of: Map<string, Finding> } {
  const findings = clusterFindings(nodes, silent, now);
  for (const one of findings)
    assert.equal(one.state === "ok", one.fix === null && one.why === null, `${one.check}: says why and what to do`);
  return {
    odd: findings.filter(({ state }) => state !== "ok").map(({ state, check }) => `${state} ${check}`),
    of: new Map(findings.map((one) => [one.check, one])),
  };
}

test("doctor: nodes that are well are well, one as three, with certificates and without", () => {
  for (const certificates of [good, null])
    for (const names of [["a"], ["a", "b", "c"]]) {
      const { odd, of } = found(names.map((name) => node(name, { certificates })));
      assert.deepEqual(odd, []);
      assert.equal(of.has("connections"), names.length > 1);
      assert.equal(of.has("certificates"), certificates !== null);
    }
  assert.deepEqual(clusterFindings([], [], now), []);
});

test("doctor: clocks are told apart beyond a second, never by less than how surely they were read", () => {
  const apart = (clockSkewMs: number, clockWithinMs = 1): string[] =>
    found([node("a"), node("b", { clockSkewMs, clockWithinMs }), node("c")]).odd;
  assert.deepEqual(apart(900), []);
  assert.deepEqual(apart(1_500), ["warn clocks"]);
  assert.deepEqual(apart(-1_500), ["warn clocks"]);
  assert.deepEqual(apart(1_500, 600), [], "it may be 900 ms");
  assert.deepEqual(apart(61_000), ["bad clocks"]);
  const both = found([node("a"), node("b", { clockSkewMs: 800 }), node("c", { clockSkewMs: -800 })]);
  assert.equal(both.of.get("clocks")?.found, "b is 1.60 s ahead of c");
  const engine = (engineSkewMs: number | null): string[] => found([node("a", { engineSkewMs })]).odd;
  assert.deepEqual(engine(-2_000), ["warn engine's clock"]);
  assert.deepEqual(engine(100_000), ["bad engine's clock"]);
  assert.deepEqual(engine(null), []);
});

test("doctor: a connection that is down is bad, and says from where to where; one to a node that is gone is no finding", () => {
  const reaches = [
    { node: "n-b", name: "b", peer: "b:4002", link: "refused" as const },
    { node: "n-gone", name: "gone", peer: "gone:1", link: "refused" as const },
  ];
  const { odd, of } = found([node("a", { reaches }), node("b")]);
  assert.deepEqual(odd, ["bad connections"]);
  assert.equal(of.get("connections")?.found, "a does not reach b at b:4002 (refused)");
  assert.deepEqual(found([node("a")], ["b did not answer: DEADLINE"]).odd, ["bad nodes"]);
});

test("doctor: certificates that ended, were not renewed, or are missing on some nodes are found", () => {
  const of = (certificates: Checkup["certificates"]): string[] => found([node("a"), node("b", { certificates })]).odd;
  assert.deepEqual(of({ ...good, until: now }), ["bad certificates"]);
  assert.deepEqual(of({ ...good, renewsAt: now - 2 * hour }), ["warn certificates"]);
  assert.deepEqual(of({ ...good, renewsAt: now - hour / 2 }), [], "a renewal may take a moment");
  assert.deepEqual(of({ ...good, rootUntil: now + hour }), ["warn certificate authority"]);
  assert.deepEqual(of({ ...good, rootUntil: now - 1 }), ["bad certificate authority"]);
  assert.deepEqual(of(null), ["bad certificates"]);
});

test("doctor: other code, other rules for callers, a slow engine and one that does not answer are found", () => {
  const of = (facts: Partial<Checkup>): string[] => found([node("a"), node("b", facts)]).odd;
  assert.deepEqual(of({ fingerprint: "4567" }), ["warn app"]);
  assert.deepEqual(of({ insecure: true }), ["bad callers"]);
  assert.deepEqual(of({ engineSyncMs: 40 }), ["warn durable write"]);
  assert.deepEqual(of({ engineSyncMs: null }), []);
  assert.deepEqual(of({ engineError: "ENGINE_UNAVAILABLE" }), ["bad durable write"]);
});
