// Takes events from callers into the log of their topic, at a shard that is owned here: each once for its operation.
//
// B1. An event is told to be published when it is durable, and a repeat of its operation is told the same (F7).

import { asSheafError, bytesEqual, type Limits, SheafError, type Tick } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { Op } from "../journal/index.ts";
import { type CompiledApp, topicType } from "../model/index.ts";
import { type Call, CallMeters, Deadlines, fingerprintOf, type Reply, scopedId, type Sessions } from "../rpc/index.ts";
import type { Shard, Shards } from "../shards/index.ts";
import { pack } from "../wire/index.ts";

export type PublicationsOptions = {
  readonly host: Host;
  readonly limits: Limits;
  readonly shards: Shards;
  readonly app: () => CompiledApp;
  readonly tokens: () => Sessions | undefined;
};

type Open = { readonly deadline: Tick; readonly giveUp: () => void };
type Original = { readonly fingerprint: Uint8Array; readonly published: Promise<void> };

const noReply = new Uint8Array(0);

export class Publications {
  readonly #options: PublicationsOptions;
  readonly #meters: CallMeters;
  readonly #open = new Set<Open>();
  /** Events on their way, by the id of their operation. */
  readonly #originals = new Map<string, Original>();
  readonly #deadlines: Deadlines;

  constructor(options: PublicationsOptions) {
    this.#options = options;
    this.#meters = new CallMeters(options.host.meter, "publish");
    this.#deadlines = new Deadlines(options.host.clock, (now) => this.#expire(now));
  }

  get inFlight(): number {
    return this.#open.size;
  }

  close(): void {
    this.#deadlines.stop();
  }

  async publish(call: Call): Promise<Reply> {
    try {
      const reply = await this.#publish(call);
      this.#meters.answered();
      return reply;
    } catch (error) {
      const refusal = asSheafError(error);
      this.#meters.refused(refusal.code);
      throw refusal;
    }
  }

  async #publish(call: Call): Promise<Reply> {
    const { shards, host, limits } = this.#options;
    const { topic, key, schema, value } = this.#read(call);
    const shard = shards.of(topicType, keyOf(call));
    shard.serving();
    if (call.deadline <= host.clock.tick()) throw new SheafError("DEADLINE", undefined, { outcome: "not-applied" });
    if (call.signal?.aborted) throw new SheafError("CANCELLED", undefined, { outcome: "not-applied" });
    const op = this.#opOf(call);
    if (op && this.#isKnown(shard, op)) return { output: undefined, replayed: true };
    if (op) {
      const original = this.#originals.get(op.id);
      if (original && !bytesEqual(original.fingerprint, op.fingerprint)) throw new SheafError("IDEMPOTENCY_MISMATCH");
      if (original) {
        await this.#within(call, original.published);
        return { output: undefined, replayed: true };
      }
    }
    if (shard.full || this.#open.size >= limits.maxInFlight)
      throw new SheafError("OVERLOADED", "too much waits for the engine or the local store", { retryAfterMs: 100 });
    const causes = call.session ? this.#options.tokens()?.read(call.session) : undefined;
    const published = new Promise<void>((resolve, reject) =>
      shard.note(
        { kind: "published", topic, key, events: [{ schema, value }], ...(op && !host.faults.mutant("T5") && { op }) },
        (error) => (error ? reject(error) : resolve()),
        causes,
      ),
    );
    if (op) {
      this.#originals.set(op.id, { fingerprint: op.fingerprint, published });
      const forget = (): void => void this.#originals.delete(op.id);
      published.then(forget, forget);
    }
    await this.#within(call, published);
    return { output: undefined };
  }

  /** What is to be published: valid, for a topic that there is, under the key that the topic gives it. */
  #read(call: Call): { topic: string; key: string; schema: number; value: Uint8Array } {
    const path = keyOf(call);
    const name = path.slice(0, path.indexOf("/"));
    const topic = this.#options.app().topics.get(name);
    if (!topic) {
      const names = [...this.#options.app().topics.keys()].join(", ") || "none";
      throw new SheafError("UNKNOWN_TARGET", `there is no topic "${name}"`, { hint: `topics: ${names}` });
    }
    const event = topic.event(call.input);
    const key = topic.key(event);
    if (path !== `${name}/${key}`)
      throw new SheafError("BAD_INPUT", `an event of ${name} has another key when it is validated than before`);
    const value = pack(event);
    const { maxStateBytes } = this.#options.limits;
    if (value.length > maxStateBytes)
      throw new SheafError("TOO_LARGE", `an event of ${name} is at most ${maxStateBytes} bytes`);
    return { topic: name, key, schema: topic.contract.event.version, value };
  }

  #opOf({ op, principal, target, input }: Call): Op | undefined {
    if (!op || target.kind !== "command") return undefined;
    if (op.id.length > this.#options.limits.maxOperationIdLength)
      throw new SheafError("BAD_INPUT", "the idempotency key is too long");
    const { issuedAt, settled, open } = op;
    if (issuedAt !== undefined)
      return { id: op.id, fingerprint: noReply, issuedAt, settled, ...(open && { open }), reply: noReply };
    const id = scopedId(principal.id, target.entity, target.key, target.name, op.id);
    const fingerprint = op.fingerprint ?? fingerprintOf(this.#options.host.crypto, input);
    return { id, fingerprint, issuedAt, settled, reply: noReply };
  }

  #isKnown(shard: Shard, { id, issuedAt, fingerprint }: Op): boolean {
    const known = shard.fold.operations.find(id, issuedAt, this.#options.host.clock.now());
    if (known && !bytesEqual(known.fingerprint, fingerprint)) throw new SheafError("IDEMPOTENCY_MISMATCH");
    return known !== undefined;
  }

  /** Until the deadline of the call: what was accepted then may yet become durable. */
  #within(call: Call, published: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const open: Open = {
        deadline: call.deadline,
        giveUp: () => {
          this.#open.delete(open);
          reject(new SheafError("DEADLINE", undefined, { outcome: "unknown" }));
        },
      };
      this.#open.add(open);
      this.#deadlines.add(call.deadline);
      published.then(
        () => void (this.#open.delete(open), resolve()),
        (error: unknown) => void (this.#open.delete(open), reject(error as Error)),
      );
    });
  }

  #expire(now: Tick): Tick {
    let next = Infinity;
    for (const open of this.#open) {
      if (open.deadline <= now) open.giveUp();
      else if (open.deadline < next) next = open.deadline;
    }
    return next;
  }
}

function keyOf({ target }: Call): string {
  if (target.kind === "procedure") throw new SheafError("UNKNOWN_TARGET");
  return target.key;
}
