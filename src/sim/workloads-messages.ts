// What callers do in the gate with commands that nobody waits for, and what must be true afterwards (PROMISES §4.4, W4 by messages,
// W9 timers).

import { type Millis, type Shard, shardOf } from "../base/index.ts";
import { inboxEntity } from "../entities/index.ts";
import { type Decoded, follow, type Message, noTip, type RecordCodec, type Tip } from "../journal/index.ts";
import { system } from "../security/index.ts";
import { unpack } from "../wire/index.ts";
import { Alarm, type Payment, purseCents, Tally, Wallet } from "./gate-app.ts";
import { calmly, openCalls, perClient, type Stage, type Workload } from "./stage.ts";
import { checkLanes, placed, WorkAudit } from "./work-audit.ts";
import { codecOf, type World } from "./world.ts";

const lookEveryMs: Millis = 12;
/** After so long in a healed world nothing is on its way any more. */
const patienceMs: Millis = 3_000;

/** Is told every record that is not void, from the first of each journal on. */
type Reader = (shard: Shard, decoded: Decoded) => void;

/** Reads the journals while they are written, so that it has seen them whole however soon they are trimmed. */
export class Watch {
  readonly problems: string[] = [];
  readonly audits: WorkAudit[];
  readonly #world: World;
  readonly #reader: Reader | undefined;
  readonly #tips: Tip[];
  readonly #cents = new Map<string, number>();
  readonly #slow = new Map<string, number>();
  #codec: RecordCodec | undefined;
  #over = false;

  constructor(world: World, reader?: Reader) {
    this.#world = world;
    this.#reader = reader;
    const { shards } = world.options;
    this.audits = Array.from({ length: shards }, (_, shard) => new WorkAudit(shard));
    this.#tips = this.audits.map(() => noTip);
  }

  async run(): Promise<void> {
    while (!this.#over) {
      await this.look();
      await this.#world.sleep(lookEveryMs);
    }
  }

  end(): void {
    this.#over = true;
  }

  async look(): Promise<void> {
    this.#codec ??= await codecOf(this.#world);
    if (this.#codec) for (const audit of this.audits) await this.#read(audit, this.#codec);
  }

  async #read(audit: WorkAudit, codec: RecordCodec): Promise<void> {
    const { shard } = audit;
    const { entries } = await this.#world.shared.read(shard, this.#tips[shard]!.seq + 1, 512);
    for (const { seq, record } of entries) {
      const decoded = codec.decode(record, { shard, seq });
      const verdict = follow(this.#tips[shard]!, decoded);
      if (verdict.kind === "corrupt") return void this.problems.push(`shard ${shard}: ${verdict.why}`);
      this.#tips[shard] = verdict.tip;
      if (verdict.kind === "void") continue;
      this.#weigh(audit, decoded);
      this.#reader?.(shard, decoded);
      audit.apply(decoded);
    }
  }

  /** In every commit, what a wallet loses is what it sends, and what it gains is what had been sent to it. */
  #weigh(audit: WorkAudit, { header: { seq }, payload }: Decoded): void {
    if (payload.kind !== "batch") return;
    for (const commit of payload.commits) {
      if (commit.type !== "wallet" || commit.state === undefined) continue;
      const before = this.#cents.get(commit.key) ?? purseCents;
      const { cents } = unpack(commit.state) as { cents: number };
      this.#cents.set(commit.key, cents);
      const done = commit.work?.done;
      const taken = done === undefined ? undefined : audit.chores.get(placed(done))?.message;
      if (taken && paymentOf(taken)?.slow === true) this.#slow.set(commit.key, (this.#slow.get(commit.key) ?? 0) + 1);
      const came = taken ? centsOf(taken) : 0;
      const went = (commit.work?.messages ?? []).reduce((sum, message) => sum + centsOf(message), 0);
      if (cents + went !== before + came)
        this.problems.push(
          `shard ${audit.shard}, record ${seq}: ${commit.command} of ${commit.key} had ${before}, was sent ${came}, sent ${went} and has ${cents}`,
        );
    }
  }

  /** What is still to be done, dead letters left aside. */
  open(): string[] {
    return this.audits.flatMap(({ shard, outgoing, chores }) => {
      const live = [...chores.values()].filter(({ due }) => due !== undefined).map(({ ref }) => ref);
      if (live.length + outgoing === 0) return [];
      return [`shard ${shard} has ${outgoing} messages on their way and still to do: ${live.slice(0, 3).join(", ")}`];
    });
  }

  /** Waits until nothing is under way. */
  async settle(withinMs = patienceMs): Promise<string[]> {
    const until = this.#world.schedule.now() + withinMs;
    for (;;) {
      await this.look();
      const open = this.open();
      if (open.length === 0) return [];
      if (this.problems.length > 0 || this.#world.schedule.now() >= until) return open;
      await this.#world.sleep(lookEveryMs);
    }
  }

  /** Slow payments to this wallet that were taken, and those that never will be. */
  slow(key: string): { readonly done: number; readonly dead: number } {
    const left = this.audits.flatMap(({ chores }) => [...chores.values()]);
    const dead = left.filter(({ message }) => message.key === key && paymentOf(message)?.slow === true).length;
    return { done: this.#slow.get(key) ?? 0, dead };
  }

  found(): string[] {
    return [...this.problems, ...this.audits.flatMap(({ problems }) => problems), ...checkLanes(this.audits)];
  }
}

const paymentOf = ({ type, input }: Message): Payment | undefined =>
  type === "wallet" ? (unpack(input) as Payment) : undefined;
const centsOf = (message: Message): number => paymentOf(message)?.cents ?? 0;

const watches = new WeakMap<World, Watch>();

async function watched(stage: Stage, run: () => Promise<void>): Promise<void> {
  const watch = new Watch(stage.world);
  watches.set(stage.world, watch);
  void watch.run();
  await run();
}

/** What a sender would send that has lost a message: to be refused. */
async function leap({ world, random }: Stage): Promise<void> {
  const { shards } = world.options;
  const machine = random.pick(world.machines);
  const state = machine.state();
  if (state.kind !== "up" || shards < 2) return;
  const from = random.below(shards);
  const to = (from + 1 + random.below(shards - 1)) % shards;
  const through = watches.get(world)!.audits[to]!.marks.get(from)?.through ?? 2 ** 20;
  let n = 0;
  while (shardOf(inboxEntity, `k${n}`, shards) !== to) n++;
  const after = through + 50 + random.below(50);
  const call = state.node.call({
    target: { kind: "command", entity: inboxEntity, key: `k${n}`, name: "accept" },
    input: { from, after, first: after + 1, messages: [["tally", "stray", "add", new Uint8Array(0), ["stray"]]] },
    principal: system,
    deadline: state.host.clock.tick() + 50,
  });
  await Promise.race([call.catch(() => undefined), world.sleep(60)]);
}

/** W4 by messages: who pays leaves the money for whom it is for, in one commit. */
export const transfers: Workload = {
  run: (stage) =>
    watched(stage, async () => {
      const { random, keys } = stage;
      await perClient(stage, async (client) => {
        if (random.chance(0.05)) return leap(stage);
        const on = Array.from({ length: random.chance(0.3) ? 1 + random.below(3) : 0 }, () => random.pick(keys));
        const failsMs = random.chance(0.2) ? random.below(40) : 0;
        const cents = 1 + random.below(60);
        const slow = random.chance(0.2);
        await client.entity(Wallet, random.pick(keys)).pay({ to: random.pick(keys), cents, on, failsMs, slow });
      });
    }),
  async check({ world, keys }) {
    const watch = watches.get(world)!;
    const client = calmly(world);
    // A shard whose only node was fenced is served again once somebody asks for it.
    for (const key of keys) {
      await client.entity(Wallet, key).look();
      await client.entity(Tally, `of-${key}`).read();
    }
    const problems = [...openCalls(world), ...(await watch.settle()), ...watch.found()];
    watch.end();
    const dead = watch.audits.flatMap(({ chores }) => [...chores.values()]).map(({ message }) => message);
    let total = dead.reduce((sum, message) => sum + centsOf(message), 0);
    for (const key of keys) {
      const { cents, taken } = await client.entity(Wallet, key).look();
      total += cents;
      if (cents < 0) problems.push(`${key} is overdrawn by ${-cents}`);
      problems.push(...outOfOrder(key, taken));
    }
    if (total !== keys.length * purseCents)
      problems.push(`the wallets hold ${total} and not ${keys.length * purseCents}, dead letters included`);
    problems.push(...(await miscounted(world, keys, watch)));
    return problems;
  },
};

/** Payments of one wallet to another are taken in the order in which they were sent, each once; one that is tried again after
 *  others is a dead letter, and there are none that are. */
function outOfOrder(key: string, taken: readonly string[]): string[] {
  const last = new Map<string, number>();
  return taken.flatMap((one) => {
    const [from = "", n] = one.split(" ");
    const before = last.get(from) ?? 0;
    last.set(from, Number(n));
    return Number(n) > before ? [] : [`${key} took payment ${n} of ${from} after its payment ${before}`];
  });
}

/** What slow payments have called counts once for each, however often they were tried. */
async function miscounted(world: World, keys: readonly string[], watch: Watch): Promise<string[]> {
  const client = calmly(world);
  const problems: string[] = [];
  for (const key of keys) {
    const arrived = watch.slow(key);
    const counted = await client.entity(Tally, `of-${key}`).read();
    if (counted < arrived.done || counted > arrived.done + arrived.dead)
      problems.push(`calls of ${arrived.done} payments to ${key}, and of ${arrived.dead} dead ones, count ${counted}`);
  }
  return problems;
}

/** W9: timers that are set, set again and taken back ring once, never early. */
export const alarms: Workload = {
  run: (stage) =>
    watched(stage, async () => {
      const { random, keys } = stage;
      let n = 0;
      await perClient({ ...stage, rounds: 2 * stage.rounds }, async (client) => {
        const face = client.entity(Alarm, random.pick(keys));
        const id = `a${random.below(3)}`;
        if (random.chance(0.2)) return face.drop(id);
        const ms = random.chance(0.2) ? 0 : random.below(80);
        const again = random.chance(0.3) ? 1 + random.below(3) : 0;
        await face.set({ id, n: ++n, ms, again, quiet: random.chance(0.2) });
      });
    }),
  async check(stage) {
    const { world } = stage;
    const watch = watches.get(world)!;
    const wrong = await wrongRings(stage);
    const problems = [...openCalls(world), ...(wrong.length > 0 ? wrong : await watch.settle()), ...watch.found()];
    watch.end();
    if (problems.length > 0) return problems;
    const client = calmly(world);
    for (const key of stage.keys)
      for (const [id, { n }] of Object.entries((await client.entity(Alarm, key).look()).set))
        problems.push(`alarm ${key}: ${id} ${n} never rang`);
    return [...problems, ...(await wrongRings(stage))];
  },
};

async function wrongRings({ world, keys }: Stage): Promise<string[]> {
  const client = calmly(world);
  const problems: string[] = [];
  for (const key of keys) {
    const { rung, wrong } = await client.entity(Alarm, key).look();
    problems.push(...wrong.slice(0, 3).map((says) => `alarm ${key}: ${says}`));
    if (new Set(rung).size !== rung.length) problems.push(`alarm ${key}: one rang twice of ${rung.join(", ")}`);
  }
  return problems;
}
