// The torture's own callers, and what must be true of what they were told (PROMISES W1, W3 to W10).

import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "../../src/client/index.ts";
import { type BankAccount, checkBank } from "../../src/sim/bank.ts";
import { checkSet, type SetAttempt, type SetRead } from "../../src/sim/durability.ts";
import {
  Bag,
  Desk,
  known,
  joined,
  Note,
  type Noted,
  Purse,
  purseCents,
  Register,
  Tally as Counter,
} from "../../src/sim/gate-app.ts";
import { checkCounter, type Count } from "../../src/sim/idempotent-counter.ts";
import { checkLinearizable, type Operation } from "../../src/sim/linearizability.ts";
import { register, type RegisterInput } from "../../src/sim/models.ts";
import { checkSessions, type SessionStep } from "../../src/sim/sessions.ts";
import tortureApp from "./app.ts";
import { type Chapter, type Client, crew, type Kind, kinds, type Part, type Work } from "./crew.ts";
import { events, messages } from "./deliveries.ts";
import type { Booked } from "./tally.ts";
import { deadlineMs, type Load, type Setting, type Workload } from "./workload.ts";

/** An answer that took longer may have come from a second copy of the call: the first may still arrive somewhere. */
const strayMs = 300;

export const ownWorkload: Workload = { app: new URL("app.ts", import.meta.url), begin };

/** Asks once a second at most. */
function seldom<T>(ask: () => Promise<T>): () => Promise<T> {
  let last = { at: -Infinity, answer: Promise.resolve() as Promise<unknown> };
  return () => {
    if (performance.now() - last.at > 1_000) last = { at: performance.now(), answer: ask() };
    return last.answer as Promise<T>;
  };
}

function begin({ tally, gateways, token, random, deadLetters }: Setting): Load {
  const clients: Client[] = [];
  const opened = (url: readonly string[], session?: string): Client => {
    const given = { url, token, deadlineMs, ...(session === undefined ? {} : { session }) };
    const client = connect(tortureApp.contract, given);
    clients.push(client);
    return client;
  };
  const work: Work = {
    tally,
    random,
    chapters: [],
    rings: [],
    deadLetters: seldom(deadLetters),
    stopping: false,
    anywhere: () => opened(gateways),
    gateways,
    at: (gateway) => opened([gateway]),
  };
  const parts = [
    registers(work),
    registers(work),
    sets(work),
    bank(work),
    messages(work),
    events(work),
    counters(work),
    sessions(work, (session) => opened(gateways, session)),
  ];
  return {
    rings: work.rings,
    get underWay() {
      return tally.underWay;
    },
    turnOver: () => parts.forEach((part) => part.turnOver()),
    async verify() {
      work.stopping = true;
      await Promise.all(parts.map((part) => part.ended));
      const calm = connect(tortureApp.contract, { url: gateways, token, deadlineMs: 60_000 });
      const seen = Object.fromEntries(kinds.map((kind) => [kind, 0])) as Record<Kind, number>;
      for (const chapter of work.chapters) {
        seen[chapter.kind] += chapter.ops;
        const problems = await chapter.check(calm).catch((error: unknown) => [`cannot be read: ${String(error)}`]);
        for (const problem of problems) chapter.stretch.violations.push(`${chapter.kind}: ${problem}`);
      }
      for (const client of [...clients, calm]) client.close();
      return seen;
    },
  };
}

/** W1: reads, writes and compare-and-sets of a register are linearizable. */
function registers(work: Work): Part {
  type History = Chapter & { readonly key: string; readonly history: Operation<RegisterInput, number>[]; seen: number };
  let value = 0;
  return crew<History>(
    work,
    4,
    240,
    (stretch, key) => {
      const history: Operation<RegisterInput, number>[] = [];
      const check = async (calm: Client): Promise<readonly string[]> => {
        const start = performance.now();
        const output = await calm.entity(Register, key).read();
        history.push({ input: { kind: "read" }, output, start, end: performance.now() });
        const verdict = checkLinearizable(register(), history);
        if (verdict.kind === "linearizable") return [];
        if (verdict.kind === "undecided") return [`${key}: not decided after ${verdict.steps} steps`];
        return [
          `${key}: no order explains ${JSON.stringify(verdict.blocked)} after ${verdict.explained.length} others`,
        ];
      };
      return { stretch, kind: "registers", ops: 0, check, key, history, seen: 0 };
    },
    async (chapter, client, voice) => {
      const face = client.entity(Register, chapter.key);
      const dice = work.random.float();
      const input: RegisterInput =
        dice < 0.5
          ? { kind: "read" }
          : dice < 0.8
            ? { kind: "write", value: ++value }
            : { kind: "cas", from: chapter.seen, to: ++value };
      chapter.ops++;
      const { start, end, outcome, output } = await work.tally.book<number | void>(voice, () =>
        input.kind === "read" ? face.read() : input.kind === "write" ? face.write(input.value) : face.cas(input),
      );
      if (outcome === "not-applied") return;
      if (input.kind === "read" && outcome === "applied") chapter.seen = output as number;
      // A compare-and-set that changed nothing is not remembered: a copy still under way may yet set.
      const stray = input.kind === "cas" && output === 0 && end - start > strayMs;
      const isKnown = outcome === "applied" && !stray;
      chapter.history.push({
        input,
        output: typeof output === "number" ? output : undefined,
        start,
        end: isKnown ? end : undefined,
      });
    },
  );
}

/** W3: what was acknowledged is there, once, and strong reads see it. */
function sets(work: Work): Part {
  type Kept = Chapter & { readonly key: string; readonly attempts: SetAttempt[]; readonly reads: SetRead[] };
  return crew<Kept>(
    work,
    5,
    150,
    (stretch, key) => {
      const attempts: SetAttempt[] = [];
      const reads: SetRead[] = [];
      const check = async (calm: Client): Promise<readonly string[]> => {
        const start = performance.now();
        const ids = await calm.entity(Bag, key).all();
        return checkSet(attempts, [...reads, { ids, start, end: performance.now() }]).map((says) => `${key}: ${says}`);
      };
      return { stretch, kind: "sets", ops: 0, check, key, attempts, reads };
    },
    async (chapter, client, voice, index) => {
      const face = client.entity(Bag, chapter.key);
      if (work.random.chance(0.2)) {
        const { start, end, outcome, output } = await work.tally.book(voice, () => face.all());
        if (outcome === "applied") chapter.reads.push({ ids: output ?? [], start, end });
        return;
      }
      const id = `${index}.${chapter.ops++}`;
      const add = work.random.chance(0.8) ? face.add : face.addSlowly;
      const { start, end, outcome } = await work.tally.book(voice, () => add(id));
      chapter.attempts.push({ id, outcome, start, end: outcome === "unknown" ? Number.MAX_SAFE_INTEGER : end });
    },
  );
}

/** W4: money is conserved, wherever transfers break off. */
function bank(work: Work): Part {
  type Purses = Chapter & { readonly keys: readonly string[] };
  return crew<Purses>(
    work,
    5,
    120,
    (stretch, key) => {
      const keys = Array.from({ length: 5 }, (_, n) => `${key}.${n}`);
      const check = async (calm: Client): Promise<readonly string[]> => {
        const look = (): Promise<BankAccount[]> =>
          Promise.all(keys.map(async (each) => ({ key: each, ...(await calm.entity(Purse, each).look()) })));
        let accounts = await look();
        // A copy of a transfer that waited in a node that stood still may only now be carried out.
        for (let before = ""; before !== JSON.stringify(accounts); accounts = await look()) {
          before = JSON.stringify(accounts);
          await sleep(20);
        }
        return checkBank(accounts, keys.length * purseCents);
      };
      return { stretch, kind: "bank", ops: 0, check, keys };
    },
    async (chapter, client, voice, index) => {
      const from = work.random.pick(chapter.keys);
      const to = work.random.pick(chapter.keys.filter((key) => key !== from));
      const errand = { id: `${index}.${chapter.ops++}`, from, to, cents: 1 + work.random.below(60) };
      for (let tries = 0; tries < 3; tries++) {
        const { outcome } = await work.tally.book(voice, () => client.service(Desk).transfer(errand));
        if (outcome === "applied") return;
      }
    },
  );
}

/** W5: an operation counts once, however often and through whichever node it is sent. */
function counters(work: Work): Part {
  type Counted = Chapter & { readonly key: string; readonly counts: Count[] };
  const clients = work.gateways.map((gateway) => work.at(gateway));
  return crew<Counted>(
    work,
    4,
    150,
    (stretch, key) => {
      const counts: Count[] = [];
      const check = async (calm: Client): Promise<readonly string[]> =>
        checkCounter(counts, await calm.entity(Counter, key).read()).map((says) => `${key}: ${says}`);
      return { stretch, kind: "counters", ops: 0, check, key, counts };
    },
    async (chapter, client, _, index) => {
      const op = `${chapter.key}/${index}.${chapter.ops++}`;
      // Another command under the same id would be another operation.
      const name = work.random.chance(0.3) ? "addSlowly" : "add";
      const send = (via: Client): Promise<Booked<number>> =>
        work.tally.book(undefined, () => via.entity(Counter, chapter.key)[name]({ idempotencyKey: op }));
      const more = Array.from({ length: work.random.below(4) }, () => send(work.random.pick(clients)));
      const sent = await Promise.all([send(client), ...more]);
      const told = new Set(sent.map(({ outcome }) => outcome));
      const outcome = told.has("applied") ? "applied" : told.has("unknown") ? "unknown" : "not-applied";
      chapter.counts.push({ op, outcome, answers: sent.flatMap(({ output }) => output ?? []) });
    },
    false,
  );
}

/** W6, W7: sessions that go from node to node, and go on with what others have seen. */
function sessions(work: Work, opened: (session: string) => Client): Part {
  type Mind = { saw: Record<string, number> };
  type Steps = Chapter & { readonly keys: readonly string[]; readonly steps: SessionStep[]; readonly minds: Mind[] };
  const size = 3;
  const clients = Array.from({ length: size }, () => opened(""));
  return crew<Steps>(
    work,
    size,
    Infinity,
    (stretch, key) => {
      const keys = Array.from({ length: 3 }, (_, n) => `${key}.${n}`);
      const steps: SessionStep[] = [];
      const minds = clients.map(() => ({ saw: {} }));
      const check = (): Promise<readonly string[]> => Promise.resolve(checkSessions(steps, false));
      return { stretch, kind: "sessions", ops: 0, check, keys, steps, minds };
    },
    async (chapter, _, voice, index) => {
      const mine = chapter.minds[index]!;
      const session = `s${index}`;
      const dice = work.random.float();
      if (dice < 0.05) {
        const from = (index + 1 + work.random.below(size - 1)) % size;
        clients[index]!.close();
        clients[index] = opened(clients[from]!.session ?? "");
        mine.saw = { ...chapter.minds[from]!.saw };
        chapter.steps.push({ kind: "took", session, from: `s${from}` });
        return;
      }
      chapter.ops++;
      const key = work.random.pick(chapter.keys);
      const wrote = dice < 0.4;
      const face = clients[index]!.entity(Note, key);
      const { outcome, output } = await work.tally.book<Noted>(voice, () =>
        wrote ? face.post(mine.saw) : face.look(),
      );
      if (outcome !== "applied" || output === undefined) return;
      chapter.steps.push({ kind: "saw", session, sights: [{ key, ...output, wrote }] });
      mine.saw = joined(mine.saw, known(key, output));
    },
  );
}
