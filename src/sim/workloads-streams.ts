// What readers of streams meet in the gate: each follows a topic through the gateways of several nodes, and goes on elsewhere with the
// id of the last event that it has, as a browser does (PROMISES §4.4, W8 topics).

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { keyIn, type Millis } from "../base/index.ts";
import { app, entity, topic } from "../model/index.ts";
import { groupMark, placesOf } from "../gateway/index.ts";
import type { Decoded } from "../journal/index.ts";
import { Cancel } from "../rpc/index.ts";
import { unpack } from "../wire/index.ts";
import { Carrier } from "./carrier.ts";
import type { Random } from "./random.ts";
import { simCrypto } from "./sim-crypto.ts";
import { calmly, openCalls, perClient, type Stage, type Workload } from "./stage.ts";
import { TopicAudit } from "./topic-audit.ts";
import { Watch } from "./workloads-messages.ts";
import type { World } from "./world.ts";

const plain = <T>(): StandardSchemaV1<T, T> => ({
  "~standard": { version: 1, vendor: "sheaf-sim", validate: (value) => ({ value: value as T }) },
});
type Post = { readonly id: string; readonly to: string };
const Posts = topic("posts", { event: plain<Post>(), key: ({ to }) => to });
const Wires = topic("wires", { event: plain<Post>() });
const Desk = entity("desk", {
  state: plain<{ said: number }>(),
  commands: { say: { input: plain<string>() } },
  queries: { look: { output: plain<number>(), consistency: "strong" } },
  events: { said: plain<string>() },
});
const desk = Desk.implement({
  initial: () => ({ said: 0 }),
  say({ state, input, emit }) {
    state.said++;
    emit("said", input);
  },
  look: ({ state }) => state.said,
});
export const streamsApp = app("streams", { entities: [desk], topics: [Posts, Wires] });
const topics = ["posts", "wires", "desk.said"] as const;

/** A gateway sends a sign of life three times in this time; whoever hears none goes elsewhere. */
const silenceMs: Millis = 15_000;
/** After so long in a healed world everything has been read: readers whose connections died silently wait for a sign of life. */
const patienceMs: Millis = 60_000;
const lookEveryMs: Millis = 20;

type Got = { readonly shard: number; readonly n: number; readonly id: string };

const fieldsOf = (part: string): ReadonlyMap<string | undefined, string> =>
  new Map(part.split("\n").map((line) => [line.split(": ", 1)[0], line.slice(line.indexOf(": ") + 2)]));

function inTime<T>(world: World, promise: Promise<T>): Promise<T> {
  const late = world.sleep(silenceMs).then(() => Promise.reject<T>(new Error("no sign of life")));
  late.catch(() => undefined);
  return Promise.race([promise, late]);
}

/** Somebody who reads a stream as the standard of Server-Sent Events has it. */
class Reader {
  readonly topic: string;
  readonly from: "beginning" | "now";
  readonly got: Got[] = [];
  /** When it was told where it begins. */
  openedAt = Infinity;
  readonly #stage: Stage;
  readonly #carrier: Carrier;
  readonly #random: Random;
  #place: string | undefined;
  #over = false;
  #gone = new Cancel();

  constructor(stage: Stage, carrier: Carrier, topic: string, from: "beginning" | "now", name: string) {
    this.topic = topic;
    this.from = from;
    this.#stage = stage;
    this.#carrier = carrier;
    this.#random = stage.world.random.fork(name);
  }

  end(): void {
    this.#over = true;
    this.#gone.abort(undefined);
  }

  async run(): Promise<void> {
    const { world } = this.#stage;
    while (!this.#over) {
      this.#gone = new Cancel();
      await this.#connect().catch(() => undefined);
      this.#gone.abort(undefined);
      await world.sleep(this.#random.float() * 20);
    }
  }

  async #connect(): Promise<void> {
    const { world } = this.#stage;
    const headers: Record<string, string> = this.#place === undefined ? {} : { "last-event-id": this.#place };
    const url = `/topics/${this.topic}/events?from=${this.from}`;
    const asked = this.#carrier.ask(this.#random.pick(world.machines), { url, headers }, this.#gone);
    const { status, pieces } = await inTime(world, asked);
    if (status !== 200) return;
    let text = "";
    for (;;) {
      const next = await inTime(world, pieces.next());
      if (next.done === true || this.#over) return;
      const parts = (text + next.value).split("\n\n");
      text = parts.pop() ?? "";
      for (const part of parts) this.#take(part);
      const isCalm = world.weather.enabled.size === 0;
      // It is slow, or goes elsewhere for no reason.
      if (!isCalm && this.#random.chance(0.2)) await world.sleep(this.#random.float() * 20);
      if (!isCalm && this.#random.chance(0.1)) return;
    }
  }

  #take(part: string): void {
    const fields = new Map(
      part.split("\n").map((line) => [line.split(": ", 1)[0], line.slice(line.indexOf(": ") + 2)]),
    );
    const id = fields.get("id");
    if (id === undefined) return;
    this.#place = id;
    this.openedAt = Math.min(this.openedAt, this.#stage.world.schedule.now());
    const data = fields.get("data");
    if (data === undefined) return;
    const event = JSON.parse(data) as { readonly id: string; readonly data: Post | string };
    const [, shard, n] = event.id.split("/");
    const { data: value } = event;
    this.got.push({ shard: Number(shard), n: Number(n), id: typeof value === "string" ? value : value.id });
  }
}

/** A hold of a shard, and who had events of it. */
type Holds = Map<string, Consumer>;

/** One of several who share a topic: it says what it is done with, or dies, or does nothing for a while. */
class Consumer {
  readonly #stage: Stage;
  readonly #carrier: Carrier;
  readonly #random: Random;
  readonly #state: Kept;
  #over = false;
  #gone = new Cancel();

  constructor(stage: Stage, carrier: Carrier, state: Kept, name: string) {
    this.#stage = stage;
    this.#carrier = carrier;
    this.#state = state;
    this.#random = stage.world.random.fork(name);
  }

  end(): void {
    this.#over = true;
    this.#gone.abort(undefined);
  }

  async run(): Promise<void> {
    const { world } = this.#stage;
    while (!this.#over) {
      this.#gone = new Cancel();
      await this.#connect().catch(() => undefined);
      this.#gone.abort(undefined);
      await world.sleep(this.#random.float() * 60);
    }
  }

  async #connect(): Promise<void> {
    const { world } = this.#stage;
    const machine = this.#random.pick(world.machines);
    const url = `/topics/posts/events?group=${crew}`;
    const { status, pieces } = await inTime(world, this.#carrier.ask(machine, { url }, this.#gone));
    if (status !== 200) return;
    const last = new Map<number, number>();
    let text = "";
    for (;;) {
      const next = await inTime(world, pieces.next());
      if (next.done === true || this.#over) return;
      const parts = (text + next.value).split("\n\n");
      text = parts.pop() ?? "";
      const calm = world.weather.enabled.size === 0;
      for (const part of parts) {
        const fields = fieldsOf(part);
        const [id, data] = [fields.get("id"), fields.get("data")];
        if (id === undefined || data === undefined) continue;
        this.#process(JSON.parse(data) as Told, id, last);
        if (calm || this.#random.chance(0.6)) await this.#done(id);
      }
      if (!calm && this.#random.chance(0.1)) return;
      if (!calm && this.#random.chance(0.1)) await world.sleep(this.#random.float() * 300);
    }
  }

  #process({ id: name, data }: Told, id: string, last: Map<number, number>): void {
    const { world } = this.#stage;
    const [shard = 0, n = 0] = name.split("/").slice(1).map(Number);
    const { shards } = world.options;
    const since = placesOf(simCrypto(this.#random), groupMark("posts", crew), 2 * shards, id)[shards + shard]!;
    const { wrong, holds, processed } = this.#state;
    const hold = `${shard} ${since}`;
    const holder = holds.get(hold) ?? this;
    holds.set(hold, holder);
    if (since === 0 || holder !== this) wrong.push(`two consumers had shard ${shard} since ${since}`);
    processed.add(`${shard} ${n}`);
    // In one hold it goes on where it is; a new one may begin before it.
    const key = shard * 2 ** 40 + since;
    if (n <= (last.get(key) ?? 0)) wrong.push(`a consumer got ${n} of shard ${shard} behind ${last.get(key)}`);
    last.set(key, n);
    void data;
  }

  async #done(id: string): Promise<void> {
    const { world } = this.#stage;
    const carriage = {
      method: "POST",
      url: `/topics/posts/groups/${crew}`,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ id }),
    } as const;
    const gone = new Cancel();
    await inTime(world, this.#carrier.ask(this.#random.pick(world.machines), carriage, gone)).catch(() => undefined);
    gone.abort(undefined);
  }
}

const crew = "crew";
const consumers = 3;
type Told = { readonly id: string; readonly data: Post | string };

type Kept = {
  readonly watch: Watch;
  readonly audits: readonly TopicAudit[];
  readonly readers: readonly Reader[];
  readonly consumers: Consumer[];
  readonly holds: Holds;
  /** Shards and numbers of the events that consumers have had. */
  readonly processed: Set<string>;
  readonly wrong: string[];
  /** When each event was begun to be published. */
  readonly sent: Map<string, { readonly begun: Millis }>;
};
const kept = new WeakMap<World, Kept>();

async function publish(stage: Stage, { sent }: Kept, id: string): Promise<void> {
  const { world, random, keys, clients } = stage;
  const client = random.pick(clients);
  const topic = random.pick(topics);
  sent.set(id, { begun: world.schedule.now() });
  const post = { id, to: random.pick(keys) };
  if (topic === "desk.said") await client.entity(Desk, post.to).say(id, { idempotencyKey: id });
  else await client.topic(topic === "posts" ? Posts : Wires).publish(post, { idempotencyKey: id });
}

export const streams: Workload = {
  async run(stage) {
    const { world, random } = stage;
    const { shards } = world.options;
    const carrier = new Carrier(world, streamsApp);
    const audits = Array.from({ length: shards }, (_, shard) => new TopicAudit(shard, shards, [], [crew]));
    const watch = new Watch(world, (shard, decoded) => {
      audits[shard]!.apply(decoded);
      wrong.push(...skipped(audits[shard]!, decoded, processed));
    });
    const [processed, wrong] = [new Set<string>(), [] as string[]];
    const readers = topics.flatMap((topic) =>
      (["beginning", "now"] as const).map((from) => new Reader(stage, carrier, topic, from, `${topic} ${from}`)),
    );
    const state: Kept = {
      watch,
      audits,
      readers,
      consumers: [],
      holds: new Map(),
      processed,
      wrong,
      sent: new Map(),
    };
    for (let n = 0; n < consumers; n++) state.consumers.push(new Consumer(stage, carrier, state, `consumer ${n}`));
    kept.set(world, state);
    for (const consumer of state.consumers) void world.sleep(random.float() * 50).then(() => consumer.run());
    void watch.run();
    for (const reader of readers) void world.sleep(random.float() * 50).then(() => reader.run());
    await perClient({ ...stage, rounds: 3 * stage.rounds }, (_, index, round) =>
      publish(stage, state, `${index}.${round}`),
    );
  },
  async check(stage) {
    const { world } = stage;
    const state = kept.get(world)!;
    const client = calmly(world);
    for (let shard = 0; shard < world.options.shards; shard++) {
      state.sent.set(`last ${shard}`, { begun: world.schedule.now() });
      await client.entity(Desk, keyIn("desk", shard, world.options.shards)).say(`last ${shard}`);
    }
    const problems = [...openCalls(world), ...(await settle(world, state))];
    for (const one of [...state.readers, ...state.consumers]) one.end();
    state.watch.end();
    return [...problems, ...state.readers.flatMap((reader) => compare(reader, state))];
  },
};

/** Waits until every reader has all that there is. */
async function settle(world: World, state: Kept): Promise<string[]> {
  const until = world.schedule.now() + patienceMs;
  for (;;) {
    await state.watch.look();
    const found = [...state.watch.found(), ...state.audits.flatMap(({ problems }) => problems)];
    found.push(...state.wrong);
    const open = [...state.readers.flatMap((reader) => missing(reader, state)), ...undone(state)];
    if (found.length > 0 || open.length === 0 || world.schedule.now() >= until) return [...found, ...open];
    await world.sleep(lookEveryMs);
  }
}

/** The group moves past nothing that none of its consumers has had. */
function skipped({ shard, logs }: TopicAudit, { payload }: Decoded, processed: ReadonlySet<string>): string[] {
  const notes = payload.kind === "batch" ? (payload.notes ?? []) : [];
  const through = notes.findLast((note) => note.kind === "moved")?.through ?? 0;
  const before = logs.get("posts")?.entries.filter(({ n }) => n <= through && !processed.has(`${shard} ${n}`)) ?? [];
  return before.map(({ n }) => `the group went past ${n} of shard ${shard}, which no consumer has had`);
}

/** In the end the group has been through all that there is. */
const undone = ({ audits }: Kept): string[] =>
  audits.flatMap((audit) => {
    const { n = 0 } = audit.logs.get("posts")?.entries.at(-1) ?? {};
    const through = audit.place(crew, "posts")?.through ?? 0;
    return through < n ? [`the group is at ${through} of shard ${audit.shard}, which goes to ${n}`] : [];
  });

const says = ({ topic, from }: Reader): string => `the reader of ${topic} from ${from}`;
const idOf = (value: Uint8Array): string => {
  const event = unpack(value) as Post | string;
  return typeof event === "string" ? event : event.id;
};

/** What it was to get and has not got. */
function missing(reader: Reader, { audits, sent }: Kept): string[] {
  if (reader.openedAt === Infinity) return [`${says(reader)} was told nothing`];
  const has = new Set(reader.got.map(({ id }) => id));
  const all = audits.flatMap(({ logs }) => (logs.get(reader.topic)?.entries ?? []).map(({ value }) => idOf(value)));
  return all.flatMap((id) => {
    const begun = sent.get(id)?.begun ?? Infinity;
    if (has.has(id) || (reader.from === "now" && begun < reader.openedAt)) return [];
    return [`${says(reader)} did not get ${id}`];
  });
}

/** Each event once, as it was logged, and those of a shard in order. */
function compare(reader: Reader, { audits }: Kept): string[] {
  const last = new Map<number, number>();
  return reader.got.flatMap(({ shard, n, id }) => {
    const before = last.get(shard) ?? 0;
    last.set(shard, n);
    const entry = audits[shard]?.logs.get(reader.topic)?.entries.find((one) => one.n === n);
    const problems = n > before ? [] : [`${says(reader)} got ${n} of shard ${shard} behind ${before}`];
    if (!entry || idOf(entry.value) !== id) problems.push(`${says(reader)} got ${n} of shard ${shard}, which is none`);
    return problems;
  });
}
