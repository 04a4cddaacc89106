// What callers do in the gate, and what must be true afterwards (PROMISES §4.4, W1, W3, W4, W5).

import { checkBank } from "./bank.ts";
import { checkSet } from "./durability.ts";
import { Bag, Purse, purseCents, Tally } from "./gate-app.ts";
import type { CallRecord } from "./history.ts";
import { checkCounter, type Count } from "./idempotent-counter.ts";
import { registers } from "./registers.ts";
import { calmly, named, openCalls, perClient, type Workload } from "./stage.ts";
import { jobs } from "./workloads-jobs.ts";
import { alarms, transfers } from "./workloads-messages.ts";
import { schedules } from "./workloads-schedules.ts";
import { streams } from "./workloads-streams.ts";
import { topics } from "./workloads-topics.ts";
import { apart, errands, glances, rolling, sessions } from "./workloads-cluster.ts";

/** W3: whatever was acknowledged is there, once. */
const bags: Workload = {
  async run(stage) {
    const { random, keys } = stage;
    await perClient({ ...stage, rounds: 2 * stage.rounds }, async (client, index, round) => {
      const face = client.entity(Bag, random.pick(keys));
      if (random.chance(0.15)) await face.all();
      else await (random.chance(0.7) ? face.add : face.addSlowly)(`${index}.${round}`);
    });
  },
  async check({ world, keys }) {
    const problems = openCalls(world);
    const client = calmly(world);
    for (const key of keys) {
      await client.entity(Bag, key).all();
      const calls = world.history.calls.filter((call) => call.target.kind !== "procedure" && call.target.key === key);
      const attempts = calls.filter((call) => named(call, "bag", "add", "addSlowly"));
      const reads = calls.filter((call) => named(call, "bag", "all") && call.outcome === "applied");
      problems.push(
        ...checkSet(
          attempts.map(({ input, outcome, start, end = Number.MAX_SAFE_INTEGER }) => ({
            id: String(input),
            outcome,
            start,
            end,
          })),
          reads.map(({ output, start, end = start }) => ({ ids: output as string[], start, end })),
        ),
      );
    }
    return problems;
  },
};

/** W4: money moves between purses in three steps and is conserved, wherever the steps break off. */
const bank: Workload = {
  async run(stage) {
    const { random, keys } = stage;
    await perClient(stage, async (client, index, round) => {
      const from = random.pick(keys);
      const to = random.pick(keys.filter((key) => key !== from));
      const [id, cents] = [`${index}.${round}`, 1 + random.below(60)];
      await client.entity(Purse, from).reserve({ id, to, cents });
      await client.entity(Purse, to).take({ id, cents });
      await client.entity(Purse, from).settle(id);
    });
  },
  async check({ world, keys }) {
    const problems = openCalls(world);
    const client = calmly(world);
    const accounts = [];
    for (const key of keys) accounts.push({ key, ...(await client.entity(Purse, key).look()) });
    return [...problems, ...checkBank(accounts, keys.length * purseCents)];
  },
};

/** W5: an operation counts once, however often it is sent. */
const counters: Workload = {
  async run(stage) {
    const { world, random, keys, clients } = stage;
    await perClient(stage, async (_, index, round) => {
      const key = random.pick(keys);
      const options = { idempotencyKey: `${index}.${round}` };
      const sends = Array.from({ length: 1 + random.below(3) }, async (_unused, send) => {
        if (send > 0) await world.sleep(random.chance(0.5) ? random.float() * 3 : random.float() * 150);
        const face = random.pick(clients).entity(Tally, key);
        await (round % 3 === 0 ? face.addSlowly : face.add)(options);
      });
      await Promise.allSettled(sends);
    });
  },
  async check({ world, keys }) {
    const problems = openCalls(world);
    const client = calmly(world);
    for (const key of keys) {
      const final = await client.entity(Tally, key).read();
      problems.push(...checkCounter(countsOf(world.history.calls, key), final).map((says) => `tally ${key}: ${says}`));
    }
    return problems;
  },
};

function countsOf(calls: readonly CallRecord[], key: string): Count[] {
  const byOp = new Map<string, CallRecord[]>();
  for (const call of calls) {
    if (!named(call, "tally", "add", "addSlowly") || call.target.kind === "procedure" || call.target.key !== key)
      continue;
    const op = call.op ?? "";
    byOp.set(op, [...(byOp.get(op) ?? []), call]);
  }
  return [...byOp].map(([op, sent]) => {
    const outcomes = new Set(sent.map((call) => call.outcome));
    const outcome = outcomes.has("applied") ? "applied" : outcomes.has("unknown") ? "unknown" : "not-applied";
    return {
      op,
      outcome,
      answers: sent.filter((call) => call.outcome === "applied").map((call) => call.output as number),
    };
  });
}

export const workloads = {
  registers,
  bags,
  bank,
  counters,
  errands,
  sessions,
  glances,
  rolling,
  apart,
  transfers,
  alarms,
  schedules,
  jobs,
  topics,
  streams,
} as const;
export type WorkloadName = keyof typeof workloads;
