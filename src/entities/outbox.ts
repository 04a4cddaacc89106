// Carries messages from shards that are owned here to the shards of their entities. One frame of a lane is under way at a time;
// what is not acknowledged is sent again, by whoever owns the shard then.

import { asSheafError, keyIn, type Limits, messageOf, type Millis, type Shard as ShardNumber } from "../base/index.ts";
import { system } from "../security/index.ts";
import type { Host } from "../host/index.ts";
import type { Calls, Sessions } from "../rpc/index.ts";
import { messageBytes, type Outgoing, type Shard } from "../shards/index.ts";
import { inboxEntity, type Frame } from "./inbox.ts";

export type OutboxOptions = {
  readonly host: Host;
  readonly limits: Limits;
  /** Of the cluster. */
  readonly shards: number;
  readonly calls: Calls;
  readonly tokens: () => Sessions | undefined;
};

const mostMessages = 512;
const frameBytes = 256 * 1024;
const answerMs: Millis = 5_000;
const firstPause: Millis = 25;
const longestPause: Millis = 2_000;

export class Outbox {
  readonly #options: OutboxOptions;
  /** Lanes that are being emptied, by both ends. */
  readonly #busy = new Set<string>();
  readonly #keys = new Map<ShardNumber, string>();
  #closed = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Sends what waits at a shard that is owned here. */
  wake(shard: Shard): void {
    const { agenda } = shard.fold;
    for (const to of agenda.destinations()) {
      const lane = `${shard.number}.${to}`;
      if (this.#busy.has(lane)) continue;
      const told = this.#told(shard, to);
      // That it was accepted could not be noted.
      if (agenda.waiting(to, 0, 1)[0]!.n <= told) shard.acknowledge(to, told);
      if (agenda.waiting(to, told, 1).length === 0) continue;
      this.#busy.add(lane);
      void this.#empty(shard, to).finally(() => {
        this.#busy.delete(lane);
        // What came at the very end, or to a later tenure.
        if (
          !this.#closed &&
          shard.held !== undefined &&
          shard.fold.agenda.waiting(to, this.#told(shard, to), 1).length > 0
        )
          this.wake(shard);
      });
    }
  }

  close(): void {
    this.#closed = true;
  }

  /** By agenda, so that a shard that is opened anew asks anew. */
  readonly #accepted = new WeakMap<object, Map<ShardNumber, number>>();

  #told({ fold: { agenda } }: Shard, to: ShardNumber): number {
    return this.#accepted.get(agenda)?.get(to) ?? 0;
  }

  #tell(shard: Shard, to: ShardNumber, through: number): void {
    const { agenda } = shard.fold;
    let told = this.#accepted.get(agenda);
    if (!told) this.#accepted.set(agenda, (told = new Map<ShardNumber, number>()));
    told.set(to, through);
    shard.acknowledge(to, through);
  }

  async #empty(shard: Shard, to: ShardNumber): Promise<void> {
    const { host, limits } = this.#options;
    const { held, fold } = shard;
    for (let failures = 0; !this.#closed && shard.held === held && shard.fold === fold;) {
      const frame = cut(fold.agenda.waiting(to, this.#told(shard, to), mostMessages), limits.maxBatchBytes);
      if (frame.length === 0) return;
      const last = frame.at(-1)!.n;
      if (host.faults.mutant("D4")) this.#tell(shard, to, last);
      try {
        const through = await this.#deliver(shard, to, frame);
        if (shard.fold !== fold) return;
        this.#tell(shard, to, Math.min(through, last));
        if (through >= frame[0]!.n) {
          failures = 0;
          continue;
        }
        host.log.error("messages are missing that another shard was to have", { shard: shard.number, to, through });
      } catch (error) {
        const { code } = asSheafError(error);
        host.log.debug("messages wait", { shard: shard.number, to, code, reason: messageOf(error) });
      }
      const pause = Math.min(longestPause, firstPause * 2 ** failures++) * (0.5 + host.dice.random() / 2);
      await new Promise<void>((resolve) => void host.clock.after(pause, resolve));
    }
  }

  /** Tells up to which message the other shard has accepted. */
  async #deliver(shard: Shard, to: ShardNumber, messages: readonly Outgoing[]): Promise<number> {
    const { host, calls, tokens } = this.#options;
    const [first] = messages as [Outgoing];
    const frame: Frame = {
      from: shard.number,
      after: first.after,
      first: first.n,
      messages: messages.map(({ message: { type, key, command, input, by } }) => [type, key, command, input, by]),
    };
    const { output } = await calls.call({
      target: { kind: "command", entity: inboxEntity, key: this.#keyOf(to), name: "accept" },
      input: frame,
      principal: system,
      session: tokens()?.make(shard.fold.seen),
      deadline: host.clock.tick() + answerMs,
    });
    return output as number;
  }

  /** A key that belongs to that shard. */
  #keyOf(shard: ShardNumber): string {
    let key = this.#keys.get(shard);
    if (key === undefined) this.#keys.set(shard, (key = keyIn(inboxEntity, shard, this.#options.shards)));
    return key;
  }
}

/** The front of what waits, as much as one frame takes, and a record of its receiver: numbers without a gap. */
function cut(waiting: readonly Outgoing[], maxBatchBytes: number): readonly Outgoing[] {
  let bytes = 0;
  let count = 0;
  for (const { n, message } of waiting) {
    if (count > 0 && n !== waiting[count - 1]!.n + 1) break;
    bytes += messageBytes(message);
    if (count > 0 && bytes > Math.min(frameBytes, maxBatchBytes)) break;
    if (++count === mostMessages) break;
  }
  return waiting.slice(0, count);
}
