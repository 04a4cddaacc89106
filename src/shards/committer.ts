// Group commit for all shards of a node: what became ready in one turn goes to the engine as one `append`, with at most
// one record per shard, and as one `barrier` for the shards where somebody only waits. While barriers are under way, who
// comes to wait gathers for the next.

import { asSheafError } from "../base/index.ts";
import type { Append, AppendResult } from "../journal/index.ts";
import { within } from "./pause.ts";
import type { Ground, Shard } from "./shard.ts";

/** One, and one more so that an answer that is lost holds up nobody. */
const mostBarriers = 2;

const unanswered: AppendResult = { kind: "unknown", error: undefined };

export class Committer {
  readonly #ground: Pick<Ground, "host" | "limits" | "engine" | "meters">;
  readonly #ready = new Set<Shard>();
  #scheduled = false;
  #answered = true;
  #probing = false;
  #barriers = 0;
  /** Shards where somebody waits for a barrier that may not be asked for yet. */
  readonly #later = new Set<Shard>();

  constructor(ground: Pick<Ground, "host" | "limits" | "engine" | "meters">) {
    this.#ground = ground;
  }

  /** Whether what was asked last was answered. When not, the engine is asked for something small. */
  isAnswered(): boolean {
    if (!this.#answered && !this.#probing) void this.#probe();
    return this.#answered;
  }

  async #probe(): Promise<void> {
    const { host, limits, engine } = this.#ground;
    this.#probing = true;
    this.#answered = await within(host.clock, limits.appendPatienceMs, engine.barrier([0])).then(
      () => true,
      () => false,
    );
    this.#probing = false;
  }

  ready(shard: Shard): void {
    this.#ready.add(shard);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#ground.host.clock.turn(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = false;
    const shards: Shard[] = [];
    const batch: Append[] = [];
    const looks: { shard: Shard; looked: NonNullable<ReturnType<Shard["look"]>> }[] = [];
    for (const shard of [...this.#ready].sort((a, b) => a.number - b.number)) {
      const append = shard.take();
      if (append) {
        shards.push(shard);
        batch.push(append);
        continue;
      }
      if (this.#barriers >= mostBarriers) {
        this.#later.add(shard);
        continue;
      }
      const looked = shard.look();
      if (looked) looks.push({ shard, looked });
    }
    this.#ready.clear();
    if (batch.length > 0) this.#append(shards, batch);
    if (looks.length > 0) void this.#look(looks);
  }

  /** After `appendPatienceMs` the answer is not waited for any more: unknown, whatever comes later (F5). */
  #append(shards: readonly Shard[], batch: readonly Append[]): void {
    const { host, limits, engine, meters } = this.#ground;
    const sentAt = host.clock.tick();
    const flights = shards.map((shard) => shard.flight);
    let answered = false;
    const land = (results: readonly AppendResult[]): void => {
      if (answered) return;
      answered = true;
      patience.cancel();
      this.#answered = results.some(({ kind }) => kind !== "unknown");
      meters.appendSeconds.record((host.clock.tick() - sentAt) / 1000);
      shards.forEach((shard, i) => {
        const result = results[i] ?? unanswered;
        meters.appends[result.kind].add();
        if (shard.flight === flights[i]) shard.landed(result);
      });
    };
    const patience = host.clock.after(limits.appendPatienceMs, () => {
      host.log.warn("the engine is slow: an append is treated as unknown", {
        shards: batch.length,
        afterMs: limits.appendPatienceMs,
      });
      land([]);
    });
    engine.append(batch).then(land, () => land([]));
  }

  async #look(looks: readonly { shard: Shard; looked: NonNullable<ReturnType<Shard["look"]>> }[]): Promise<void> {
    const { host, limits, engine, meters } = this.#ground;
    meters.barriers.add();
    this.#barriers++;
    try {
      const heads = await within(
        host.clock,
        limits.appendPatienceMs,
        engine.barrier(looks.map(({ shard }) => shard.number)),
      );
      this.#answered = true;
      looks.forEach(({ shard, looked }, i) => {
        const head = heads[i];
        shard.seen(looked, head ?? asSheafError(new Error("the engine gave no head"), "ENGINE_UNAVAILABLE"));
      });
    } catch (error) {
      this.#answered = false;
      const failure = asSheafError(error, "ENGINE_UNAVAILABLE");
      for (const { shard, looked } of looks) shard.seen(looked, failure);
    } finally {
      this.#barriers--;
      for (const shard of this.#later) this.ready(shard);
      this.#later.clear();
    }
  }
}
