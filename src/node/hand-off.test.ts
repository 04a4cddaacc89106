// Messages from one shard to another while the owner of either is killed at every moment of their way (P32).

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { shardOf } from "../base/index.ts";
import { follow, noTip } from "../journal/index.ts";
import { app, entity } from "../model/index.ts";
import { codecOf, type World } from "../sim/world.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";

const Box = entity("box", {
  state: z.object({ got: z.array(z.string()) }),
  commands: { send: { input: z.object({ to: z.string(), text: z.string() }) }, take: { input: z.string() } },
  queries: { read: { output: z.array(z.string()), consistency: "strong" } },
});
const boxes = app("boxes", {
  entities: [
    Box.implement({
      initial: () => ({ got: [] }),
      send({ input: { to, text }, send }) {
        send.entity(Box, to).take(`${text} first`);
        send.entity(Box, to).take(`${text} second`);
      },
      take: ({ state, input }) => void state.got.push(input),
      read: ({ state }) => [...state.got],
    }),
  ],
});

const shards = 4;
const shard = (key: string): number => shardOf(Box.name, key, shards);
const keyAt = (wanted: number): string => {
  for (let n = 0; ; n++) if (shard(`k${n}`) === wanted) return `k${n}`;
};

/** How often the journals say that something was sent, accepted, acknowledged and done; and who owns a shard. */
async function read(world: World, number: number): Promise<{ counts: Record<string, number>; owner: string }> {
  const codec = (await codecOf(world))!;
  const counts: Record<string, number> = { sent: 0, accepted: 0, acknowledged: 0, done: 0 };
  let [tip, owner] = [noTip, ""];
  const { entries } = await world.shared.read(number, 1, 100_000);
  for (const { seq, record } of entries) {
    const decoded = codec.decode(record, { shard: number, seq });
    const verdict = follow(tip, decoded);
    assert.notEqual(verdict.kind, "corrupt");
    if (verdict.kind === "corrupt") continue;
    tip = verdict.tip;
    const { payload } = decoded;
    if (verdict.kind === "void") continue;
    if (payload.kind === "claim") owner = payload.node;
    if (payload.kind !== "batch") continue;
    for (const { work } of payload.commits) {
      if (work?.messages.length) counts["sent"]!++;
      if (work?.done !== undefined) counts["done"]!++;
    }
    for (const { kind } of payload.notes ?? []) if (kind in counts) counts[kind]!++;
  }
  return { counts, owner };
}

/** Milliseconds after the command is asked for: it is noted that messages were acknowledged after some 200. */
const moments = [...Array.from({ length: 16 }, (_, n) => n * 0.7), 100, 205, 215, 240];

test("hand-off: whichever moment the owner of either shard is killed, each message is carried out once, in order", () =>
  inCluster(boxes, { nodes: 3, shards, limits: { snapshotEveryBytes: 1e9 } }, async (_, world) => {
    const caller = world.invoke({ deadlineMs: 5000 });
    const call = (key: string, name: string, input?: unknown): Promise<unknown> =>
      caller({ kind: name === "read" ? "query" : "command", entity: Box.name, key, name }, input, {});
    const [from, to] = [keyAt(0), keyAt(1)];
    const points = new Set<string>();
    const sent: string[] = [];
    for (let trial = 0; trial < 2 * moments.length; trial++) {
      const [source, target] = [await read(world, shard(from)), await read(world, shard(to))];
      const victim = trial % 2 === 0 ? source.owner : target.owner;
      const index = world.machines.findIndex((_, n) => nodeOf(world, n).id === victim);
      assert.ok(index >= 0, "the owner is up");
      const text = `n${trial}`;
      sent.push(`${text} first`, `${text} second`);
      const answered = call(from, "send", { to, text });
      await world.sleep(moments[trial >> 1]!);
      const [midSource, midTarget] = [await read(world, shard(from)), await read(world, shard(to))];
      world.machines[index]!.crash();
      const has = (what: string, now: typeof source, before: typeof source): boolean =>
        now.counts[what]! > before.counts[what]!;
      const reached = [
        has("sent", midSource, source) && "sent",
        has("accepted", midTarget, target) && "accepted",
        has("done", midTarget, target) && "done",
        has("acknowledged", midSource, source) && "acknowledged",
      ].filter(Boolean);
      points.add(
        `the owner of the ${trial % 2 === 0 ? "source" : "target"} was killed once it was ${reached.at(-1) ?? "asked"}`,
      );
      await answered;
      await world.machines[index]!.start();
      await world.sleep(600);
    }
    assert.ok(points.size >= 8, `only: ${[...points].join(", ")}`);
    assert.deepEqual(await call(to, "read"), sent);
  }));
