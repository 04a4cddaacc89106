// What readers of streams meet in the gate: each follows a topic through the gateways of several nodes, and goes on elsewhere with the
// id of the last event that it has, as a browser does (PROMISES §4.4, W8 topics).

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { keyIn, type Millis } from "../base/index.ts";
import { app, entity, topic } from "../model/index.ts";
import { Cancel } from "../rpc/index.ts";
import { unpack } from "../wire/index.ts";
import { Carrier } from "./carrier.ts";
import type { Random } from "./random.ts";
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
    const { status, pieces } = await this.#inTime(asked);
    if (status !== 200) return;
    let text = "";
    for (;;) {
      const next = await this.#inTime(pieces.next());
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

  #inTime<T>(promise: Promise<T>): Promise<T> {
    const late = this.#stage.world.sleep(silenceMs).then(() => Promise.reject<T>(new Error("no sign of life")));
    late.catch(() => undefined);
    return Promise.race([promise, late]);
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

type Kept = {
  readonly watch: Watch;
  readonly audits: readonly TopicAudit[];
  readonly readers: readonly Reader[];
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
    const audits = Array.from({ length: shards }, (_, shard) => new TopicAudit(shard, shards, []));
    const watch = new Watch(world, (shard, decoded) => audits[shard]!.apply(decoded));
    const readers = topics.flatMap((topic) =>
      (["beginning", "now"] as const).map((from) => new Reader(stage, carrier, topic, from, `${topic} ${from}`)),
    );
    const state: Kept = { watch, audits, readers, sent: new Map() };
    kept.set(world, state);
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
    for (const reader of state.readers) reader.end();
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
    const open = state.readers.flatMap((reader) => missing(reader, state));
    if (found.length > 0 || open.length === 0 || world.schedule.now() >= until) return [...found, ...open];
    await world.sleep(lookEveryMs);
  }
}

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
