// Takes messages of other shards into the agenda of a shard that is owned here: each once, in the order of their lane.

import { asSheafError, type Limits, type Shard as ShardNumber, SheafError } from "../base/index.ts";
import type { Message } from "../journal/index.ts";
import { topicType } from "../model/index.ts";
import type { Call, Reply, Sessions } from "../rpc/index.ts";
import { eventOf, isJobType, jobOf, type Shard, type Shards } from "../shards/index.ts";

/** What the inboxes of shards are called by, as if they were entities: so calls to them go where the shard is owned. */
export const inboxEntity = "sheaf.inbox";

/** Messages of one lane: numbered upwards from `first`, behind the one numbered `after`. */
export type Frame = {
  readonly from: ShardNumber;
  readonly after: number;
  readonly first: number;
  readonly messages: readonly (readonly [string, string, string, Uint8Array, readonly string[]])[];
};

export type InboxOptions = {
  readonly limits: Limits;
  readonly shards: Shards;
  readonly tokens: () => Sessions | undefined;
};

export class Inbox {
  readonly #options: InboxOptions;
  /** What is being accepted, by lane: what comes again meanwhile waits for it. */
  readonly #accepting = new Map<string, Promise<unknown>>();

  constructor(options: InboxOptions) {
    this.#options = options;
  }

  /** Resolves, once that is durable, with the number of the last message that the shard has of this lane. */
  async accept(call: Call): Promise<Reply> {
    const { target } = call;
    if (target.kind !== "command") throw new SheafError("UNKNOWN_TARGET");
    const shard = this.#options.shards.of(target.entity, target.key);
    shard.serving();
    const frame = frameOf(call.input);
    const lane = `${shard.number}.${frame.from}`;
    while (this.#accepting.has(lane)) await this.#accepting.get(lane);
    shard.serving();
    const accepting = this.#accept(shard, frame, call).finally(() => this.#accepting.delete(lane));
    this.#accepting.set(
      lane,
      accepting.catch(() => {}),
    );
    return { output: await accepting };
  }

  async #accept(shard: Shard, { from, after, first, messages }: Frame, call: Call): Promise<number> {
    const { agenda, generation } = shard.fold;
    const { faults } = shard.ground.host;
    const place = agenda.known(from, after, first, generation > 1);
    const known = faults.mutant(place === undefined ? "D6" : "D1") ? 0 : place;
    if (known === undefined || known >= messages.length) {
      await new Promise<void>((resolve, reject) => shard.settled((error) => (error ? reject(error) : resolve())));
      return agenda.through(from);
    }
    if (shard.full)
      throw new SheafError("OVERLOADED", "too much waits for the engine or the local store", { retryAfterMs: 100 });
    // What waits here for other shards does not count: two that wait for each other would wait for ever.
    const room = agenda.room(this.#options.limits, false);
    if (room <= 0)
      throw new SheafError("OVERLOADED", `shard ${shard.number} has as many messages and timers waiting as it may`, {
        retryAfterMs: 1000,
      });
    const fresh = messages.slice(known, known + room);
    const note = {
      kind: "accepted",
      from,
      after: known > 0 ? first + known - 1 : after,
      first: first + known,
      messages: fresh.map(([type, key, command, input, by]): Message => ({ type, key, command, input, by })),
    } as const;
    const causes = call.session ? this.#options.tokens()?.read(call.session) : undefined;
    const noted = new Promise<void>((resolve, reject) =>
      shard.note(note, (error) => (error ? reject(asSheafError(error)) : resolve()), causes),
    );
    if (faults.mutant("D2")) noted.catch(() => {});
    else await noted;
    return first + known + fresh.length - 1;
  }
}

/** Throws MALFORMED for what no outbox sends. */
function frameOf(input: unknown): Frame {
  const { from, after, first, messages } = (input ?? {}) as Partial<Frame>;
  const numbers = [from, after, first].every((n) => Number.isSafeInteger(n));
  const whole =
    Array.isArray(messages) &&
    messages.length > 0 &&
    messages.every(
      ([type, key, command, bytes, by]) =>
        [type, key, command].every((name) => typeof name === "string") &&
        bytes instanceof Uint8Array &&
        Array.isArray(by) &&
        by.every((name) => typeof name === "string"),
    );
  if (!numbers || !whole) throw new SheafError("MALFORMED", "these are no messages");
  // Bytes that look into a frame of the connection would not outlive it.
  const kept = (messages as Frame["messages"]).map(
    ([type, key, command, bytes, by]) => [type, key, command, bytes.slice(), by] as const,
  );
  if (!kept.every(([type, key, command, bytes, by]) => isReadable({ type, key, command, input: bytes, by })))
    throw new SheafError("MALFORMED", "these hold no events or jobs");
  return { from: from!, after: after!, first: first!, messages: kept };
}

/** Can every copy of the shard read what it holds? */
function isReadable(message: Message): boolean {
  try {
    if (message.type === topicType) {
      const { schema, value } = eventOf(message);
      return Number.isSafeInteger(schema) && value instanceof Uint8Array;
    }
    if (!isJobType(message.type)) return true;
    const { due = NaN, input, job } = jobOf(message, "", 0);
    return Number.isFinite(due + job.priority) && input instanceof Uint8Array && typeof job.name === "string";
  } catch {
    return false;
  }
}
