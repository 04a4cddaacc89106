// What the nodes' own checkups mean: nodes that do not reach each other, clocks that differ, certificates that end, code and
// settings that are not the same everywhere. Pure: `now` is the time of this machine.

import type { Checkup } from "../admin/index.ts";
import { type Finding, finding } from "./findings.ts";

export function clusterFindings(nodes: readonly Checkup[], silent: readonly string[], now: number): Finding[] {
  if (nodes.length === 0) return [];
  return [
    ...(silent.length > 0 ? [unanswered(silent)] : []),
    ...(nodes.length + silent.length > 1 ? [connections(nodes), clocks(nodes)] : []),
    engineClock(nodes),
    durability(nodes),
    ...certificates(nodes, now),
    sameOn(nodes, "app", "warn", ({ app, fingerprint }) => `${app} ${fingerprint}`, {
      why: "callers meet the one or the other",
      fix: "normal while a release is rolled out; else restart the nodes of the older code",
    }),
    sameOn(nodes, "callers", "bad", ({ insecure }) => (insecure ? "lets every caller in" : "asks callers for a key"), {
      why: "whoever is refused at one gateway gets in at another",
      fix: "start all nodes with --insecure, or none",
    }),
  ].filter((found) => found !== undefined);
}

const unanswered = (silent: readonly string[]): Finding =>
  finding("bad", "nodes", silent.join("; "), "look at that node's log; sheaf node remove forgets one that is gone", {
    why: "its shards go to others, and fewer nodes may still be lost",
  });

function connections(nodes: readonly Checkup[]): Finding {
  const broken = nodes.flatMap(({ name, reaches }) =>
    reaches
      .filter(({ link, node }) => link !== "up" && nodes.some((other) => other.node === node))
      .map((other) => `${name} does not reach ${other.name} at ${other.peer} (${other.link})`),
  );
  if (broken.length === 0) return finding("ok", "connections", `each of ${nodes.length} nodes reaches all others`);
  const fix =
    "open the port between them, and say with --advertise where each is reached; nodes with and without certificates never do";
  return finding("bad", "connections", broken.join("; "), fix, {
    why: "nodes that do not reach each other stand aside, and calls cannot be passed on",
  });
}

/** Beyond the first, times that people read are wrong; beyond the second, certificates and remembered operations are. */
const skewLimits = { warnMs: 1_000, badMs: 60_000 };
const skewFix = "let ntpd, chronyd or systemd-timesyncd set the clocks of all machines";
const skewWhy = "no data is at risk, but times in records, expiries and certificates are judged by these clocks";

const certainly = (skewMs: number, withinMs: number): number => Math.max(0, Math.abs(skewMs) - withinMs);
const stateOf = (ms: number): Finding["state"] =>
  ms > skewLimits.badMs ? "bad" : ms > skewLimits.warnMs ? "warn" : "ok";
const seconds = (ms: number): string => `${(ms / 1000).toPrecision(3)} s`;

function clocks(nodes: readonly Checkup[]): Finding {
  const ahead = (node: Checkup): number => node.clockSkewMs;
  const sorted = nodes.toSorted((a, b) => ahead(a) - ahead(b));
  const [first, last] = [sorted[0] as Checkup, sorted.at(-1) as Checkup];
  const apart = ahead(last) - ahead(first);
  const state = stateOf(certainly(apart, first.clockWithinMs + last.clockWithinMs));
  if (state === "ok") return finding("ok", "clocks", `no two nodes are more than ${seconds(Math.max(1, apart))} apart`);
  return finding(state, "clocks", `${last.name} is ${seconds(apart)} ahead of ${first.name}`, skewFix, {
    why: skewWhy,
  });
}

function engineClock(nodes: readonly Checkup[]): Finding | undefined {
  const told = nodes.flatMap(({ name, engineSkewMs, engineSkewWithinMs }) =>
    engineSkewMs === null
      ? []
      : [{ name, skewMs: engineSkewMs, sure: certainly(engineSkewMs, engineSkewWithinMs ?? 0) }],
  );
  const worst = told.toSorted((a, b) => b.sure - a.sure)[0];
  if (worst === undefined) return undefined;
  const state = stateOf(worst.sure);
  if (state === "ok")
    return finding("ok", "engine's clock", `as those of the nodes, within ${seconds(Math.max(1, worst.sure))}`);
  const side = worst.skewMs > 0 ? "ahead of" : "behind";
  const found = `${seconds(Math.abs(worst.skewMs))} ${side} ${worst.name}`;
  return finding(state, "engine's clock", found, skewFix, { why: skewWhy });
}

const slowSyncMs = 20;

function durability(nodes: readonly Checkup[]): Finding | undefined {
  const failed = nodes.find(({ engineError }) => engineError !== null);
  if (failed)
    return finding(
      "bad",
      "durable write",
      `${failed.name}: ${failed.engineError}`,
      "see that the engine runs and is reached from there",
      {
        why: "a node that does not reach the engine serves nothing",
      },
    );
  const told = nodes.filter(({ engineSyncMs }) => engineSyncMs !== null);
  const worst = told.toSorted((a, b) => (b.engineSyncMs ?? 0) - (a.engineSyncMs ?? 0))[0];
  if (worst === undefined) return undefined;
  const found = `${(worst.engineSyncMs ?? 0).toPrecision(3)} ms at ${worst.name}${told.length > 1 ? ", the slowest of all nodes" : ""}`;
  if ((worst.engineSyncMs ?? 0) < slowSyncMs) return finding("ok", "durable write", found);
  return finding("warn", "durable write", found, "put the engine on a faster disk, or nearer", {
    why: "every command waits for this",
  });
}

/** A renewal that is so late has failed again and again. */
const lateMs = 3_600_000;
const monthMs = 30 * 24 * 3_600_000;
const day = (at: number): string => new Date(at).toISOString().slice(0, 16).replace("T", " ");

function certificates(nodes: readonly Checkup[], now: number): Finding[] {
  const shown = nodes.flatMap(({ name, certificates }) => (certificates ? [{ name, ...certificates }] : []));
  const without = nodes.filter(({ certificates }) => certificates === null);
  if (shown.length === 0) return [];
  const found: Finding[] = [];
  if (without.length > 0) {
    const names = without.map(({ name }) => name).join(", ");
    found.push(
      finding(
        "bad",
        "certificates",
        `${names} shows none to other nodes, ${shown[0]?.name} does`,
        "start all nodes the same way",
        {
          why: "nodes with and without certificates do not talk to each other",
        },
      ),
    );
  }
  const soonest = shown.toSorted((a, b) => a.until - b.until)[0]!;
  const late = shown.find(({ renewsAt }) => now - renewsAt > lateMs);
  const fix =
    "see that node's log for why it is not renewed; joined nodes ask the first machine of the cluster, which must be reached";
  if (soonest.until <= now)
    found.push(
      finding("bad", "certificates", `that of ${soonest.name} ended ${day(soonest.until)}`, fix, {
        why: "no other node trusts it any more",
      }),
    );
  else if (late)
    found.push(
      finding(
        "warn",
        "certificates",
        `that of ${late.name} ends ${day(late.until)} and was to be renewed ${day(late.renewsAt)}`,
        fix,
        {
          why: "when it ends, no other node trusts it",
        },
      ),
    );
  else found.push(finding("ok", "certificates", `good until ${day(soonest.until)}, renewed before that`));
  const root = shown.toSorted((a, b) => a.rootUntil - b.rootUntil)[0]!;
  if (root.rootUntil - now < monthMs)
    found.push(
      finding(
        root.rootUntil <= now ? "bad" : "warn",
        "certificate authority",
        `it ends ${day(root.rootUntil)}`,
        "make a new one: docs/how-to/secure-a-cluster.md",
        {
          why: "every certificate of a node is signed by it",
        },
      ),
    );
  return found;
}

/** Whether all nodes say the same of something. */
function sameOn(
  nodes: readonly Checkup[],
  check: string,
  state: "warn" | "bad",
  says: (node: Checkup) => string,
  other: { readonly why: string; readonly fix: string },
): Finding | undefined {
  const byWord = new Map<string, string[]>();
  for (const node of nodes) byWord.set(says(node), [...(byWord.get(says(node)) ?? []), node.name]);
  if (byWord.size === 1)
    return nodes.length > 1 ? finding("ok", check, `the same on ${nodes.length} nodes`) : undefined;
  const found = [...byWord].map(([word, names]) => `${names.join(", ")}: ${word}`).join("; ");
  return finding(state, check, found, other.fix, { why: other.why });
}
