// What is left to be done and comes later: messages, timers, events and jobs (PROMISES W4, W8, W9, W10).

import { setTimeout as sleep } from "node:timers/promises";
import { Box, Letters, Mill, Parcels, poisonKey, Pouch, pouchCents } from "./app.ts";
import { type Chapter, type Client, crew, type Part, type Work } from "./crew.ts";
import type { Booked } from "./tally.ts";
import { longestDelayMs, ticks } from "./timers.ts";
import { arrivalMs, type DeadLetter } from "./workload.ts";

/** W4 and W9: what a command sends arrives once, in order, and what it sets for later happens once. When, `judgeTimers` judges. */
export function messages(work: Work): Part {
  type Pouches = Chapter & {
    readonly keys: readonly string[];
    readonly told: Record<Booked<unknown>["outcome"], number>;
  };
  return crew<Pouches>(
    work,
    5,
    150,
    (stretch, key) => {
      const keys = Array.from({ length: 4 }, (_, n) => `${key}.${n}`);
      const told = { applied: 0, "not-applied": 0, unknown: 0 };
      const check = async (calm: Client): Promise<readonly string[]> => {
        for (const until = performance.now() + arrivalMs; ;) {
          const all = await Promise.all(keys.map((each) => calm.entity(Pouch, each).look()));
          const missing = keys.flatMap((from, i) => [
            ...Object.entries(all[i]!.paid).flatMap(([to, n]) => {
              const got = all[keys.indexOf(to)]!.got[from] ?? 0;
              return got === n ? [] : [`${to} has ${got} of ${n} payments from ${from}`];
            }),
            ...(all[i]!.rings.length === all[i]!.timers
              ? []
              : [`${all[i]!.rings.length} of ${all[i]!.timers} timers of ${from} went off`]),
          ]);
          const wrong = all.flatMap((each) => each.wrong);
          if (missing.length > 0 && wrong.length === 0 && performance.now() < until) {
            await sleep(50);
            continue;
          }
          work.rings.push(...all.flatMap(({ rings }) => rings));
          const sum = all.reduce((cents, each) => cents + each.cents, 0);
          const money = missing.length === 0 && sum !== keys.length * pouchCents ? [`${sum} cents are there`] : [];
          const set = all.reduce((timers, each) => timers + each.timers, 0);
          const orders =
            set < told.applied || set > told.applied + told.unknown
              ? [`${set} timers were set by ${told.applied} commands and ${told.unknown} unknown ones`]
              : [];
          return [...wrong, ...missing, ...money, ...orders].map((says) => `${key}: ${says}`);
        }
      };
      return { stretch, kind: "messages", ops: 0, check, keys, told };
    },
    async (chapter, client, voice) => {
      const from = work.random.pick(chapter.keys);
      const to = work.random.pick(chapter.keys);
      chapter.ops++;
      const order = {
        to,
        cents: 1 + work.random.below(60),
        inMs: work.random.below(longestDelayMs),
        calledAt: ticks(),
      };
      const { outcome } = await work.tally.book(voice, () => client.entity(Pouch, from).pay(order));
      chapter.told[outcome]++;
    },
  );
}

/** Something sent to a box, and what its sender was told. Poison nobody can take. */
export type Sending = {
  readonly what: "letter" | "parcel";
  readonly box: string;
  readonly id: string;
  readonly isPoison: boolean;
  readonly start: number;
  readonly end: number;
  readonly outcome: Booked<unknown>["outcome"];
};

/** W8 and W10: what is emitted, published and put in a queue has its effect once, in order for each key, and poison, all of it and
 *  nothing else, is given up. */
export function events(work: Work): Part {
  type Boxes = Chapter & { readonly keys: readonly string[]; readonly sent: Sending[] };
  return crew<Boxes>(
    work,
    5,
    150,
    (stretch, key) => {
      const keys = Array.from({ length: 3 }, (_, n) => `${key}.${n}`);
      const sent: Sending[] = [];
      const check = async (calm: Client): Promise<readonly string[]> => {
        for (const until = performance.now() + arrivalMs; ;) {
          const dead = (await work.deadLetters()).filter((each) =>
            keys.some((box) => idIn(box, each.key) !== undefined),
          );
          const found = await Promise.all(keys.map((box) => boxProblems(calm, box, sent, dead)));
          const wrong = found.flatMap((each) => each.wrong);
          const missing = found.flatMap((each) => each.missing);
          if (missing.length === 0 || wrong.length > 0 || performance.now() >= until) return [...wrong, ...missing];
          await sleep(50);
        }
      };
      return { stretch, kind: "events", ops: 0, check, keys, sent };
    },
    async (chapter, client, voice, index) => {
      const box = work.random.pick(chapter.keys);
      const id = `${index}.${chapter.ops++}`;
      const dice = work.random.float();
      if (dice < 0.4) return void (await work.tally.book(voice, () => client.entity(Mill, box).grind()));
      const isPoison = work.random.chance(0.04);
      const what = dice < 0.7 ? "letter" : "parcel";
      const sent = { box, id, isPoison };
      const { outcome, start, end } = await work.tally.book<unknown>(voice, () =>
        what === "letter"
          ? client.topic(Letters).publish(sent, { idempotencyKey: `${box}/${id}` })
          : client.queue(Parcels).add(sent, { id: poisonKey(box, id) }),
      );
      chapter.sent.push({ what, ...sent, start, end, outcome });
    },
  );
}

/** What a dead letter of a box was. */
const idIn = (box: string, key: string): string | undefined =>
  key.startsWith(poisonKey(box, "")) ? key.slice(poisonKey(box, "").length) : undefined;

async function boxProblems(
  calm: Client,
  box: string,
  sent: readonly Sending[],
  dead: readonly DeadLetter[],
): Promise<Found> {
  const ground = await calm.entity(Mill, box).count();
  const { flour, ground: told, post, letters, wrong } = await calm.entity(Box, box).look();
  const missing: string[] = [];
  if (flour !== ground) missing.push(`${flour} of ${ground} published events came`);
  if (told !== ground) missing.push(`${told} of ${ground} emitted events came`);
  const mine = sent.filter((each) => each.box === box);
  const gone = dead.flatMap(({ key, cause }) => ({ id: idIn(box, key), cause })).filter(({ id }) => id !== undefined);
  const found = postProblems(mine, post, letters, gone as Gone[]);
  return {
    wrong: [...wrong, ...found.wrong].map((says) => `${box}: ${says}`),
    missing: [...missing, ...found.missing].map((says) => `${box}: ${says}`),
  };
}

/** What may come right yet is missing; what cannot is wrong. */
type Found = { readonly wrong: readonly string[]; readonly missing: readonly string[] };
type Gone = { readonly id: string; readonly cause: string };

/** What was sent to one box against how often each came, the order in which letters came first, and what was given up. */
export function postProblems(
  sent: readonly Sending[],
  post: Readonly<Record<string, number>>,
  letters: readonly string[],
  gone: readonly Gone[],
): Found {
  const wrong: string[] = [];
  const missing: string[] = [];
  const byId = new Map(sent.map((each) => [each.id, each]));
  for (const { id, outcome, isPoison } of sent) {
    const came = post[id] ?? 0;
    const dead = gone.filter((each) => each.id === id);
    const times = isPoison ? dead.length : came;
    const how = isPoison ? "was given up" : "came";
    if (times > 1) wrong.push(`${id} ${how} ${times} times`);
    if (times > 0 && outcome === "not-applied") wrong.push(`${id} was refused, and ${how}`);
    if (times === 0 && outcome === "applied") missing.push(`${id} never ${how}`);
    if (isPoison && came > 0) wrong.push(`${id} is poison, and came`);
    if (!isPoison) wrong.push(...dead.map(({ cause }) => `${id} was given up: ${cause}`));
  }
  for (const id of [...Object.keys(post), ...gone.map((each) => each.id)])
    if (!byId.has(id)) wrong.push(`${id} was never sent, and came`);
  // Of two letters one of which was acknowledged before the other was begun, that one comes first.
  let latest: Sending | undefined;
  for (const id of letters) {
    const letter = byId.get(id);
    if (letter?.outcome !== "applied") continue;
    if (latest !== undefined && letter.end < latest.start)
      wrong.push(`${id} came behind ${latest.id}, which was sent later`);
    if (latest === undefined || letter.start > latest.start) latest = letter;
  }
  return { wrong, missing };
}
