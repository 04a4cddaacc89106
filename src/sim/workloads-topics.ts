// What callers do in the gate with topics, and what must be true afterwards (PROMISES §4.4, W8 topics, W10).

import type { GroupAsk, GroupChange } from "../admin/index.ts";
import { keyIn, type Millis, shardOf } from "../base/index.ts";
import type { Message } from "../journal/index.ts";
import { type Client, topicKey, topicType } from "../model/index.ts";
import type { ReadReply } from "../topics/index.ts";
import { unpack } from "../wire/index.ts";
import { runs } from "./fault-schedule.ts";
import { calmly, openCalls, perClient, type Stage, type Workload } from "./stage.ts";
import { type Entry, TopicAudit } from "./topic-audit.ts";
import {
  type Letter,
  Letters,
  type Load,
  Mill,
  moved,
  nextTopicsApp,
  Notices,
  Oven,
  type Releases,
  Scraps,
  Shop,
  subscriptionsEver,
} from "./topics-app.ts";
import { Watch } from "./workloads-messages.ts";
import type { World } from "./world.ts";

/** After so long in a healed world nothing is left to be done (W10): the lease of a call whose node died ends after half a minute. */
const patienceMs: Millis = 45_000;
const lookEveryMs: Millis = 12;
const lookLaterMs: Millis = 200;
/** Until then all is done that waits for no lease. */
const busyMs: Millis = 1_000;
/** An event is told to those who wait for it after so long in a healed world, at the latest. */
const soonMs: Millis = 1_000;
/** Copies save what they hold several times in this time. */
const savedMs: Millis = 150;

type Kept = {
  readonly watch: Watch;
  readonly audits: readonly TopicAudit[];
  readonly readers: Reader[];
  /** When each letter was begun and acknowledged; by id. */
  readonly letters: Map<string, { readonly to: string; readonly begun: Millis; told?: Millis }>;
};

const kept = new WeakMap<World, Kept>();

/** Somebody who pulls what a shard has of a topic, and keeps his own place. */
class Reader {
  readonly shard: number;
  readonly topic: string;
  readonly got: { readonly n: number; readonly key: string; readonly value: Uint8Array }[] = [];
  /** What was no longer kept when it was asked for. */
  readonly floors: number[] = [];
  after = 0;
  readonly #ask: (input: unknown) => Promise<unknown>;

  constructor({ world }: Stage, shard: number, topic: string, deadlineMs: Millis) {
    this.shard = shard;
    this.topic = topic;
    const key = keyIn(topicType, shard, world.options.shards);
    const invoke = world.invoke({ name: `reader-${topic}-${shard}`, deadlineMs });
    this.#ask = (input) => invoke({ kind: "query", entity: topicType, key, name: "read" }, input, undefined);
  }

  async read(limit: number, waitMs: Millis): Promise<number> {
    const { events, floor } = (await this.#ask({ topic: this.topic, after: this.after, limit, waitMs })) as ReadReply;
    for (const [n, key, , , value] of events) this.got.push({ n, key, value });
    this.floors.push(floor);
    this.after = events.at(-1)?.[0] ?? this.after;
    return events.length;
  }

  /** What differs from what the journal gives: something left out, or more. */
  compare({ logs }: TopicAudit): string[] {
    const { entries = [], floor = 0 } = logs.get(this.topic) ?? {};
    const met = new Map(this.got.map((event) => [event.n, event]));
    const whose = `the reader of ${this.topic} in shard ${this.shard}`;
    const problems = this.got.flatMap(({ n }, i) =>
      i > 0 && n <= this.got[i - 1]!.n ? [`${whose} got ${n} behind ${this.got[i - 1]!.n}`] : [],
    );
    const highest = Math.max(0, ...this.floors);
    for (const entry of entries) {
      const event = met.get(entry.n);
      met.delete(entry.n);
      if (event ? !isSame(entry, event) : entry.n >= Math.max(floor, highest) && entry.n <= this.after)
        problems.push(`${whose} did not get ${entry.n} as it was logged`);
    }
    for (const n of met.keys()) problems.push(`${whose} got ${n}, which is not in the journal`);
    return problems;
  }
}

const isSame = (a: Pick<Entry, "key" | "value">, b: Pick<Entry, "key" | "value">): boolean =>
  a.key === b.key && a.value.join() === b.value.join();

export const topics: Workload = {
  async run(stage) {
    const { world, random, keys, rounds } = stage;
    const { shards } = world.options;
    const audits = Array.from({ length: shards }, (_, shard) => new TopicAudit(shard, shards, subscriptionsEver));
    const watch = new Watch(world, (shard, decoded) => audits[shard]!.apply(decoded));
    const state: Kept = { watch, audits, readers: [], letters: new Map() };
    kept.set(world, state);
    void watch.run();
    const reading = pull(stage, state);
    const operating = operate(stage, state);
    const release = random.below(rounds * stage.clients.length);
    let done = 0;
    await perClient(stage, async (client, index, round) => {
      if (done++ === release) await publishRelease(stage);
      const to = random.pick(keys);
      const failsMs = random.chance(0.2) ? random.below(40) : 0;
      const [slow, bad] = [random.chance(0.2), random.chance(0.1)];
      if (random.chance(0.5)) return client.entity(Mill, random.pick(keys)).grind({ to, failsMs, slow, bad });
      const id = `${index}.${round}`;
      if (random.chance(0.3)) return client.topic(Scraps).publish({ id, to });
      await post(stage, state, { id, to }, 1 + random.below(3));
    });
    await reading;
    await operating;
    if ((world.options.each as Releases).app !== nextTopicsApp) await publishRelease(stage);
  },
  async check(stage) {
    const { world } = stage;
    const state = kept.get(world)!;
    // Two would call their calls the same.
    const client = calmly(world);
    await serveAll(stage);
    await change(world, { act: "resume" });
    const problems = [...openCalls(world), ...(await settle(stage, state))];
    if (problems.length === 0)
      problems.push(...(await lastMoves(stage, state, client)), ...(await settle(stage, state)));
    if (problems.length === 0)
      problems.push(...(await lastLetters(stage, state, client)), ...(await settle(stage, state)));
    if (problems.length === 0) problems.push(...(await compareReaders(state)), ...(await count(stage, state)));
    if (problems.length === 0) problems.push(...(await compareCopies(world, state)));
    state.watch.end();
    return [...new Set(problems)];
  },
};

/** Sends a letter, and perhaps again by others, under one key. */
async function post(
  { world, random, clients }: Stage,
  { letters }: Kept,
  letter: Letter,
  times: number,
): Promise<void> {
  const sent: { to: string; begun: Millis; told?: Millis } = { to: letter.to, begun: world.schedule.now() };
  letters.set(letter.id, sent);
  const options = { idempotencyKey: letter.id };
  const sends = Array.from({ length: times }, async (_, n) => {
    if (n > 0) await world.sleep(random.chance(0.5) ? random.float() * 3 : random.float() * 100);
    await random.pick(clients).topic(Letters).publish(letter, options);
    sent.told ??= world.schedule.now();
  });
  await Promise.allSettled(sends);
}

/** Those who pull, until nobody publishes any more. */
async function pull(stage: Stage, { readers }: Kept): Promise<void> {
  const { world, random, rounds } = stage;
  for (const topic of ["letters", "scraps", "mill.ground"])
    readers.push(new Reader(stage, random.below(world.options.shards), topic, 400));
  await Promise.all(
    readers.map(async (reader) => {
      for (let round = 0; round < rounds; round++) {
        await reader.read(1 + random.below(4), random.pick([0, 10, 60])).catch(() => 0);
        await world.sleep(random.float() * 12);
      }
    }),
  );
}

const there = "letters";

/** An operator at any node, who moves a subscription to and fro, pauses and resumes it, and may never hear what came of it. */
async function operate({ world, random, rounds }: Stage, { audits }: Kept): Promise<void> {
  for (let round = 0; round < 2 * rounds; round++) {
    await world.sleep(random.float() * random.float() * 40);
    const to = random.pick(["beginning", "now", Math.floor(world.now() - random.float() * 50)] as const);
    const ask = random.pick<GroupAsk>([{ act: "pause" }, { act: "resume" }, { act: "seek", to, dryRun: false }]);
    if (ask.act === "seek") for (const audit of audits) audit.say(moved, to);
    const up = world.machines.flatMap((machine) => {
      const state = machine.state();
      return state.kind === "up" && runs(machine) ? [state] : [];
    });
    if (up.length === 0) continue;
    const { host, node } = random.pick(up);
    host.deliver(() => void node.changeGroup(there, moved, ask).catch(() => undefined));
  }
}

/** In a healed world: asks until that is done at all shards. */
async function change(world: World, ask: GroupAsk): Promise<GroupChange> {
  for (;;) {
    for (const machine of world.machines) {
      const state = machine.state();
      if (state.kind !== "up") continue;
      const found = await state.node.changeGroup(there, moved, ask).catch(() => undefined);
      if (found?.warnings.length === 0) return found.items[0]!;
    }
    await world.sleep(lookEveryMs);
  }
}

/** In a healed world what an operator hears is so: a subscription that is paused rests, and is moved to where it was said. */
async function lastMoves({ world }: Stage, { watch, audits, letters }: Kept, client: Client): Promise<string[]> {
  const problems: string[] = [];
  await change(world, { act: "pause" });
  for (const { shard } of audits) {
    const id = `moved-${shard}`;
    const to = keyOf(there, shard, world);
    letters.set(id, { to, begun: world.schedule.now(), told: world.schedule.now() });
    await client.topic(Letters).publish({ id, to });
  }
  await world.sleep(soonMs / 10);
  await watch.look();
  for (const audit of audits) {
    const { through = 0, paused = false } = audit.place(moved, there) ?? {};
    if (!paused || through >= audit.logs.get(there)!.entries.at(-1)!.n)
      problems.push(`${moved} does not rest in shard ${audit.shard}`);
  }
  const met = audits.reduce((sum, audit) => {
    const { entries, floor } = audit.logs.get(there)!;
    const { through = 0 } = audit.place(moved, there) ?? {};
    return sum + entries.filter(({ n }) => n >= floor && n <= through).length;
  }, 0);
  for (const audit of audits) audit.say(moved, "beginning");
  const [told, done] = [
    await change(world, { act: "seek", to: "beginning", dryRun: true }),
    await change(world, { act: "seek", to: "beginning", dryRun: false }),
  ];
  if (told.again !== met || done.again !== met)
    problems.push(`${moved} was to meet ${told.again} and ${done.again} letters again, and they are ${met}`);
  await change(world, { act: "resume" });
  return problems;
}

/** Every machine gets the next release: those that run at once or by a restart, the others when they start. */
async function publishRelease({ world, random }: Stage): Promise<void> {
  (world.options.each as Releases).app = nextTopicsApp;
  for (const machine of world.machines) {
    const state = machine.state();
    if (state.kind === "down") continue;
    if (state.kind === "up" && runs(machine) && random.chance(0.5)) state.node.reload(nextTopicsApp);
    else {
      machine.crash();
      await machine.start().catch(() => undefined);
    }
    await world.sleep(random.float() * 10);
  }
}

/** A shard whose only node was fenced is served again once somebody asks for it. */
async function serveAll({ world }: Stage): Promise<void> {
  const client = calmly(world);
  for (let shard = 0; shard < world.options.shards; shard++)
    await client.entity(Shop, keyIn("shop", shard, world.options.shards)).look();
}

/** Waits until nothing is under way, and every subscription is at the end. */
async function settle({ world }: Stage, { watch, audits }: Kept): Promise<string[]> {
  const until = world.schedule.now() + patienceMs;
  for (;;) {
    await watch.look();
    const found = [...watch.found(), ...audits.flatMap(({ problems }) => problems)];
    const open = [...watch.open(), ...lagging(audits)];
    if (found.length > 0) return found;
    if (open.length === 0) return [];
    const leftMs = until - world.schedule.now();
    if (leftMs <= 0) return open;
    await world.sleep(patienceMs - leftMs < busyMs ? lookEveryMs : lookLaterMs);
  }
}

const lagging = (audits: readonly TopicAudit[]): string[] =>
  audits.flatMap((audit) =>
    nextTopicsApp.subscriptions!.flatMap((shape) => {
      const lag = audit.lag(shape);
      return lag === 0 ? [] : [`${shape.name} has ${lag} events before it in shard ${audit.shard}`];
    }),
  );

/** In a world in which nothing fails any more, who waits for an event gets it soon, whenever it comes. */
async function lastLetters(stage: Stage, state: Kept, client: Client): Promise<string[]> {
  const { world, random } = stage;
  const problems: string[] = [];
  for (let shard = 0; shard < world.options.shards; shard++) {
    const to = keyOf("letters", shard, world);
    const id = `last-${shard}`;
    state.letters.set(id, { to, begun: world.schedule.now(), told: Infinity });
    await client.topic(Letters).publish({ id, to });
    state.letters.get(id)!.told = world.schedule.now();
  }
  // Nothing else is then in the journals that might wake a reader.
  await world.sleep(soonMs / 2);
  for (let shard = 0; shard < world.options.shards; shard++) {
    const id = `last-${shard}`;
    const reader = new Reader(stage, shard, "notices", 5 * soonMs);
    state.readers.push(reader);
    const published = client.topic(Notices).publish({ id, to: keyOf("notices", shard, world) });
    // While it is on its way, mostly.
    await world.sleep(random.float() * 4);
    const began = world.schedule.now();
    const waiting = reader.read(100, 4 * soonMs).then(() => world.schedule.now() - began);
    await published;
    const tookMs = await waiting.catch(() => Infinity);
    if (tookMs > soonMs || reader.got.length === 0)
      problems.push(`who waited for a notice in shard ${shard} was told nothing for ${tookMs} ms`);
  }
  return problems;
}

/** A key whose events of that topic are in that shard. */
function keyOf(topic: string, shard: number, { options: { shards } }: World): string {
  for (let n = 0; ; n++) if (shardOf(topicType, topicKey(topic, `l${n}`), shards) === shard) return `l${n}`;
}

async function compareReaders({ readers, audits }: Kept): Promise<string[]> {
  return readers.flatMap((reader) => reader.compare(audits[reader.shard]!));
}

/** From outside: what was sent has arrived, once and in order; dead letters are what is missing. */
async function count({ world, keys }: Stage, { watch, letters }: Kept): Promise<string[]> {
  const client = calmly(world);
  const problems: string[] = [];
  const dead = watch.audits.flatMap(({ chores }) => [...chores.values()]).map(({ message }) => message);
  const deadBy = (by: string): number => dead.filter((message) => senderOf(message) === by).length;
  const expected = { carry: 0, store: 0, grumble: 0, sell: 0 };
  const loads: Pick<Load, "from" | "to" | "n">[] = [];
  for (const from of keys)
    for (const [to, count] of Object.entries(await client.entity(Mill, from).look()))
      for (let n = 1; n <= count; n++) loads.push({ from, to, n });
  expected.carry = expected.store = loads.length;
  let baked = 0;
  for (const key of keys) {
    const all = await client.entity(Oven, key).look();
    baked += all.length;
    problems.push(...outOfOrder(`oven ${key}`, all));
  }
  if (baked + deadBy("carry") !== expected.carry)
    problems.push(`of ${expected.carry} loads ${baked} are baked and ${deadBy("carry")} dead`);
  const got = new Map<string, string[]>();
  const last = Array.from({ length: world.options.shards }, (_, shard) => keyOf("letters", shard, world));
  for (const key of new Set([...keys, ...last]))
    for (const [by, all] of Object.entries(await client.entity(Shop, key).look())) {
      got.set(by, [...(got.get(by) ?? []), ...all]);
      if (by === "store" || by === "sell" || by === "grumble") problems.push(...outOfOrder(`${by} ${key}`, all));
      else if (!repeated.has(by)) problems.push(...lettersOutOfOrder(`${by} ${key}`, all, letters));
    }
  const arrived = (by: string): number => (got.get(by)?.length ?? 0) + deadBy(by);
  if (arrived("store") !== expected.store)
    problems.push(`of ${expected.store} sacks ${got.get("store")?.length} are stored and ${deadBy("store")} dead`);
  if (arrived("sell") !== baked) problems.push(`of ${baked} loaves ${arrived("sell")} are sold`);
  for (const [id, { told }] of letters) {
    const isLast = id.startsWith("last-");
    for (const by of ["post", "late", "heap", "print", "copy", moved, ...(isLast ? ["fresh"] : [])])
      if (told !== undefined && !got.get(by)?.includes(id) && deadBy(by) === 0)
        problems.push(`letter ${id} was published, and not told by ${by}`);
  }
  return problems;
}

function senderOf({ type, key, input }: Message): string | undefined {
  if (type === "oven") return "carry";
  if (type.startsWith("service ")) return key.slice(0, key.indexOf("/"));
  const [first] = [unpack(input) as { by?: string } | { by?: string }[]].flat();
  return first?.by;
}

/** They may get a letter again. */
const repeated: ReadonlySet<string> = new Set([moved, "print", "copy"]);

/** What one sends another comes in the order in which it was sent, each once. */
function outOfOrder(where: string, all: readonly string[]): string[] {
  const last = new Map<string, number>();
  return all.flatMap((one) => {
    const [from = "", n] = one.split(" ");
    const before = last.get(from) ?? 0;
    last.set(from, Number(n));
    return Number(n) > before ? [] : [`${where} got ${n} of ${from} after ${before}`];
  });
}

/** Each once, and none before one that was acknowledged when it was begun. */
function lettersOutOfOrder(where: string, all: readonly string[], letters: Kept["letters"]): string[] {
  const problems = new Set(all).size === all.length ? [] : [`${where} got one twice of ${all.join(", ")}`];
  all.forEach((id, i) => {
    const { begun = Infinity } = letters.get(id) ?? {};
    const later = all.slice(i + 1).find((other) => (letters.get(other)?.told ?? Infinity) < begun);
    if (later !== undefined) problems.push(`${where} got ${id} before ${later}, which was published before it`);
  });
  return problems;
}

/** What copies have saved is what the journal gives: logs, places, and events. */
async function compareCopies(world: World, { watch, audits }: Kept): Promise<string[]> {
  await world.sleep(savedMs);
  await watch.look();
  const problems: string[] = [];
  for (const audit of audits) {
    let compared = 0;
    for (const { name, store } of world.machines) {
      const found = await store.topics(audit.shard);
      if (found?.seq !== audit.seq) continue;
      compared++;
      if (found.says !== saysOf(audit))
        problems.push(
          `${name} has other logs of shard ${audit.shard} than its journal: ${found.says} and ${saysOf(audit)}`,
        );
    }
    if (compared === 0 && audit.logs.size > 0) problems.push(`nobody has saved shard ${audit.shard} to ${audit.seq}`);
  }
  return problems;
}

function saysOf({ logs, groups }: TopicAudit): string {
  const all = [...logs].map(([topic, { entries, floor, bytes }]) => {
    const left = entries.filter(({ n }) => n >= floor).map(({ n, key, value }) => `${n} ${key} ${value.length}`);
    return `${topic} ${entries.at(-1)?.n} ${floor} ${bytes}: ${left.join(", ")}`;
  });
  const places = [...groups].map(([id, { through, paused }]) => `${id} ${through} ${paused}`);
  return [...all.sort(), ...places.sort()].join("\n");
}
