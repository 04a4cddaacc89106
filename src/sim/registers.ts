// W1 of the gate: reads, writes and compare-and-sets on a few registers, held against one order of them all.

import { Register } from "./gate-app.ts";
import type { CallRecord } from "./history.ts";
import { checkLinearizable, type Operation } from "./linearizability.ts";
import { register, type RegisterInput } from "./models.ts";
import { calmly, openCalls, perClient, type Workload } from "./stage.ts";

/** W1: reads, writes and compare-and-sets on a few registers are linearizable. */
export const registers: Workload = {
  async run(stage) {
    const { random, keys } = stage;
    let value = 0;
    const seen = new Map<string, number>();
    await perClient(stage, async (client) => {
      const key = random.pick(keys);
      const face = client.entity(Register, key);
      const dice = random.float();
      if (dice < 0.5) seen.set(key, await face.read());
      else if (dice < 0.8) await face.write(++value);
      else await face.cas({ from: seen.get(key) ?? 0, to: ++value });
    });
  },
  async check({ world, keys }) {
    const problems = openCalls(world);
    const client = calmly(world);
    for (const key of keys) await client.entity(Register, key).read();
    for (const key of keys) {
      const verdict = checkLinearizable(register(), registerHistory(world.history.calls, key));
      if (verdict.kind === "undecided") problems.push(`register ${key}: not decided after ${verdict.steps} steps`);
      if (verdict.kind === "violation")
        problems.push(
          `register ${key}: no order explains ${JSON.stringify(verdict.blocked)} after ${verdict.explained.length} others`,
        );
    }
    return problems;
  },
};

function registerHistory(calls: readonly CallRecord[], key: string): Operation<RegisterInput, number>[] {
  const ops: Operation<RegisterInput, number>[] = [];
  for (const call of calls) {
    const { target, input, start, outcome, output, stray } = call;
    if (target.kind === "procedure" || target.entity !== "register" || target.key !== key || outcome === "not-applied")
      continue;
    const kind = target.name as RegisterInput["kind"];
    const asked = (
      kind === "read" ? { kind } : kind === "write" ? { kind, value: input } : { kind, ...(input as object) }
    ) as RegisterInput;
    // A compare-and-set that changed nothing is not remembered: a copy still under way may yet set.
    const known = outcome === "applied" && !(kind === "cas" && output === 0 && stray);
    ops.push({ input: asked, output: output as number | undefined, start, end: known ? call.end : undefined });
  }
  return ops;
}
