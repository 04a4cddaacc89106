// Callers that never stop, and what must be true of what they were told (PROMISES W1, W3, W4, W5, W6, W9). Keys are used for a
// while and then left, so that histories stay small enough to be decided; with each fault everybody turns to new keys, so that
// what is wrong with a key is put down to that fault.

import { setTimeout as sleep } from "node:timers/promises";
import { connect, type ConnectedClient } from "../../src/client/index.ts";
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
import type { Random } from "../../src/sim/random.ts";
import { checkSessions, type SessionStep } from "../../src/sim/sessions.ts";
import tortureApp, { Box, Letters, Mill, Parcels, Pouch, pouchCents } from "./app.ts";
import type { Booked, Stretch, Tally, Voice } from "./tally.ts";

type Client = ConnectedClient<typeof tortureApp.contract>;

/** One thing that was worked on, and what is wrong with it in the end. */
type Chapter = {
  readonly stretch: Stretch;
  readonly kind: Kind;
  /** What was recorded of it. */
  ops: number;
  check(calm: Client): Promise<readonly string[]>;
};

export const kinds = ["registers", "sets", "bank", "messages", "events", "counters", "sessions"] as const;
export type Kind = (typeof kinds)[number];

export interface Load {
  /** Turns to new keys. */
  turnOver(): void;
  /** Stops, reads everything, and puts what is wrong down to the stretches. How much was held against its checker, by kind. */
  verify(): Promise<Readonly<Record<Kind, number>>>;
  /** Milliseconds that each timer went off late, once all was verified; clocks that were set wrong are in it. */
  readonly late: readonly number[];
}

/** Under the time that a strike lasts, so that failures show; over that of a failover. */
export const deadlineMs = 5_000;
/** Between two calls of one caller: load enough to meet every fault under way, little enough that the machine is not the fault. */
const pauseMs = 8;
/** An answer that took longer may have come from a second copy of the call: the first may still arrive somewhere. */
const strayMs = 300;

type Work = {
  readonly tally: Tally;
  readonly random: Random;
  chapters: Chapter[];
  readonly late: number[];
  stopping: boolean;
  readonly anywhere: () => Client;
  readonly gateways: readonly string[];
  readonly at: (gateway: string) => Client;
};

export function startLoad(tally: Tally, gateways: readonly string[], token: string, random: Random): Load {
  const clients: Client[] = [];
  const opened = (url: readonly string[], session?: string): Client => {
    const client = connect(tortureApp.contract, {
      url,
      token,
      deadlineMs,
      ...(session === undefined ? {} : { session }),
    });
    clients.push(client);
    return client;
  };
  const work: Work = {
    tally,
    random,
    chapters: [],
    late: [],
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
    late: work.late,
    turnOver: () => parts.forEach((part) => part.turnOver()),
    async verify() {
      work.stopping = true;
      await Promise.all(parts.map((part) => part.ended));
      const calm = connect(tortureApp.contract, {
        url: gateways,
        token,
        deadlineMs: 60_000,
      });
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

type Part = { turnOver(): void; readonly ended: Promise<unknown> };

/** Callers that work on the same chapter, which changes after so many operations and when a new stretch begins. */
function crew<C extends Chapter>(
  work: Work,
  size: number,
  most: number,
  open: (stretch: Stretch, key: string) => C,
  turn: (chapter: C, client: Client, voice: Voice | undefined, index: number) => Promise<unknown>,
  /** How long its callers go unanswered counts: they may turn to any node. */
  counts = true,
): Part {
  const next = (): C => {
    const { now } = work.tally;
    const chapter = open(now, `${now.number}.${work.chapters.length}`);
    work.chapters.push(chapter);
    return chapter;
  };
  let chapter = next();
  const caller = async (index: number): Promise<void> => {
    const client = work.anywhere();
    const voice = counts ? work.tally.voice() : undefined;
    while (!work.stopping) {
      if (chapter.ops >= most) chapter = next();
      await turn(chapter, client, voice, index);
      await sleep(work.random.float() * 2 * pauseMs);
    }
  };
  return {
    turnOver: () => void (chapter = next()),
    ended: Promise.all(Array.from({ length: size }, (_, index) => caller(index))),
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
    3,
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
    3,
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

/** Messages arrive that arrive late: after this they are lost. */
const arrivalMs = 60_000;

/** W4 and W9: what a command sends arrives once, in order, and what it sets for later happens once. */
function messages(work: Work): Part {
  type Pouches = Chapter & { readonly keys: readonly string[] };
  return crew<Pouches>(
    work,
    3,
    100,
    (stretch, key) => {
      const keys = Array.from({ length: 4 }, (_, n) => `${key}.${n}`);
      const check = async (calm: Client): Promise<readonly string[]> => {
        for (const until = performance.now() + arrivalMs; ;) {
          const all = await Promise.all(keys.map((each) => calm.entity(Pouch, each).look()));
          const missing = keys.flatMap((from, i) => [
            ...Object.entries(all[i]!.paid).flatMap(([to, n]) => {
              const got = all[keys.indexOf(to)]!.got[from] ?? 0;
              return got === n ? [] : [`${to} has ${got} of ${n} payments from ${from}`];
            }),
            ...(all[i]!.gone === all[i]!.timers
              ? []
              : [`${all[i]!.gone} of ${all[i]!.timers} timers of ${from} went off`]),
          ]);
          const wrong = all.flatMap((each) => each.wrong);
          if (missing.length > 0 && wrong.length === 0 && performance.now() < until) {
            await sleep(50);
            continue;
          }
          work.late.push(...all.flatMap((each) => each.late));
          const sum = all.reduce((cents, each) => cents + each.cents, 0);
          const money = missing.length === 0 && sum !== keys.length * pouchCents ? [`${sum} cents are there`] : [];
          return [...wrong, ...missing, ...money].map((says) => `${key}: ${says}`);
        }
      };
      return { stretch, kind: "messages", ops: 0, check, keys };
    },
    async (chapter, client, voice) => {
      const from = work.random.pick(chapter.keys);
      const to = work.random.pick(chapter.keys);
      chapter.ops++;
      const order = { to, cents: 1 + work.random.below(60), inMs: work.random.below(3_000) };
      await work.tally.book(voice, () => client.entity(Pouch, from).pay(order));
    },
  );
}

/** W8 and W10: what is emitted, published and put in a queue has its effect once, in order for each key. */
function events(work: Work): Part {
  type Sending = { readonly box: string; readonly id: string; readonly outcome: Booked<unknown>["outcome"] };
  type Boxes = Chapter & { readonly keys: readonly string[]; readonly sent: Sending[] };
  return crew<Boxes>(
    work,
    3,
    100,
    (stretch, key) => {
      const keys = Array.from({ length: 3 }, (_, n) => `${key}.${n}`);
      const sent: Sending[] = [];
      const check = async (calm: Client): Promise<readonly string[]> => {
        for (const until = performance.now() + arrivalMs; ;) {
          const problems = await Promise.all(keys.map((each) => boxProblems(calm, each, sent)));
          const wrong = problems.flatMap((each) => each.wrong);
          const missing = problems.flatMap((each) => each.missing);
          if (missing.length === 0 || wrong.length > 0 || performance.now() >= until) return [...wrong, ...missing];
          await sleep(50);
        }
      };
      return { stretch, kind: "events", ops: 0, check, keys, sent };
    },
    async (chapter, client, voice, index) => {
      const target = work.random.pick(chapter.keys);
      const id = `${index}.${chapter.ops++}`;
      const dice = work.random.float();
      if (dice < 0.4) return void (await work.tally.book(voice, () => client.entity(Mill, target).grind()));
      const { outcome } = await work.tally.book<unknown>(voice, () =>
        dice < 0.7
          ? client.topic(Letters).publish({ box: target, id }, { idempotencyKey: `${target}/${id}` })
          : client.queue(Parcels).add({ box: target, id }, { id: `${target}.${id}` }),
      );
      chapter.sent.push({ box: target, id, outcome });
    },
  );
}

/** What is in a box against what was sent to it. */
async function boxProblems(
  calm: Client,
  key: string,
  sent: readonly { readonly box: string; readonly id: string; readonly outcome: string }[],
): Promise<{ readonly wrong: readonly string[]; readonly missing: readonly string[] }> {
  const ground = await calm.entity(Mill, key).count();
  const box = await calm.entity(Box, key).look();
  const wrong = [...box.wrong];
  const missing: string[] = [];
  if (box.flour !== ground) missing.push(`${box.flour} of ${ground} published events came`);
  if (box.ground !== ground) missing.push(`${box.ground} of ${ground} emitted events came`);
  const mine = sent.filter((each) => each.box === key);
  for (const { id, outcome } of mine) {
    const times = box.post[id] ?? 0;
    if (times > 1) wrong.push(`${id} came ${times} times`);
    if (times > 0 && outcome === "not-applied") wrong.push(`${id} was refused, and came`);
    if (times === 0 && outcome === "applied") missing.push(`${id} did not come`);
  }
  const all = new Set(mine.map(({ id }) => id));
  for (const id of Object.keys(box.post)) if (!all.has(id)) wrong.push(`${id} was never sent, and came`);
  return { wrong: wrong.map((says) => `${key}: ${says}`), missing: missing.map((says) => `${key}: ${says}`) };
}

/** W5: an operation counts once, however often and through whichever node it is sent. */
function counters(work: Work): Part {
  type Counted = Chapter & { readonly key: string; readonly counts: Count[] };
  const clients = work.gateways.map((gateway) => work.at(gateway));
  return crew<Counted>(
    work,
    3,
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
