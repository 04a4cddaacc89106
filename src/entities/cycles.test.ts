import assert from "node:assert/strict";
import { test } from "node:test";
import type { Link } from "../rpc/index.ts";
import { simHost } from "../sim/sim-host.ts";
import type { Attempt } from "./attempt.ts";
import { type Chains, Cycles, readChains, readLink } from "./cycles.ts";

const link = (op: string, key = "k"): Link => ({ op, type: "t", key });
const runs = (number: number): Attempt => ({ phase: "running", task: { number } }) as Attempt;

/** A command of node `m`, in line behind one that runs there, called by command 7 of node `n`. */
function inLine(behind: Attempt): { attempt: Attempt; box: { running: Attempt | undefined } } {
  const box = { running: behind as Attempt | undefined };
  const chain = [link("7@n"), link("", "")];
  const attempt = { phase: "waiting", hot: { mailbox: box }, task: { number: 99, call: { chain } } };
  return { attempt: attempt as unknown as Attempt, box };
}

/** Watches it for `ms`, where nodes answer so who is in line there. */
async function watched(
  attempt: Attempt,
  behind: (op: string) => Chains | Promise<Chains>,
  ms: number,
): Promise<{ refused: number; asked: string[] }> {
  const { clock, schedule } = simHost({});
  const asked: string[] = [];
  const outcome = { refused: 0, asked };
  const ask = async (node: string, { op }: Link): Promise<Chains> => (asked.push(`${op} at ${node}`), behind(op));
  const cycles = new Cycles(clock, "m", ask, () => {
    outcome.refused++;
    (attempt as { phase: string }).phase = "done";
  });
  cycles.watch(attempt);
  await schedule.run({ until: schedule.now() + ms });
  cycles.close();
  return outcome;
}

test("cycles: who waits for a command that waits for him is refused, however many nodes are between", async () => {
  const ring: Record<string, Chains> = { "7@n": [[link("8@o")]], "8@o": [[link("1@a")], [link("2@m"), link("6@p")]] };
  const { refused, asked } = await watched(inLine(runs(2)).attempt, (op) => ring[op] ?? [], 1000);
  assert.equal(refused, 1);
  assert.deepEqual(asked.slice(0, 2), ["7@n at n", "8@o at o"]);
});

test("cycles: W1 who waits in a line that leads nowhere, or round but not through himself, is refused by nobody", async () => {
  const round: Record<string, Chains> = { "7@n": [[link("8@o")]], "8@o": [[link("7@n")]] };
  const { refused, asked } = await watched(inLine(runs(2)).attempt, (op) => round[op] ?? [], 5000);
  assert.equal(refused, 0);
  assert.ok(asked.length > 4 && asked.length < 20, `${asked.length} questions in five seconds`);
  const { attempt } = inLine(runs(2));
  assert.equal((await watched(attempt, () => Promise.reject(new Error("no way")), 5000)).refused, 0);
});

test("cycles: W1 who has moved up before the answer came is not refused", async () => {
  const { attempt, box } = inLine(runs(2));
  const moved = await watched(attempt, () => ((box.running = runs(3)), [[link("2@m")]]), 1000);
  assert.equal(moved.refused, 0);
  assert.ok(moved.asked.length > 0);
});

test("cycles: W2 of two who find the same one is refused first, the other when it is still there", async () => {
  const found = (): Chains => [[link("2@m")]];
  const first = await watched(inLine(runs(2)).attempt, found, 250);
  assert.equal(first.refused, 0, "7@n is greater");
  const still = await watched(inLine(runs(2)).attempt, found, 550);
  assert.equal(still.refused, 1);
  const greatest = await watched(inLine(runs(9)).attempt, () => [[link("9@m")]], 250);
  assert.equal(greatest.refused, 1);
});

test("cycles: only what nodes say of each other is read", () => {
  for (const odd of [undefined, null, 3, "x", { op: 1, type: "t", key: "k" }]) assert.equal(readLink(odd), undefined);
  assert.deepEqual(readChains([[link("1@a"), 3], "x", undefined]), [[link("1@a")], [], []]);
  assert.deepEqual(readChains(undefined), []);
});
