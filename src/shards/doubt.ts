// Resolving a doubtful append (F5): only what stands at its place in the journal decides. Where nothing stands, the place
// is filled with the identical record, so that a stalled first copy that lands later is that same record or none. Where
// another owner has trimmed the place away, nobody can tell any more: the outcome is unknown.

import { asSheafError, SheafError } from "../base/index.ts";
import { pause, within } from "./pause.ts";
import type { Shard } from "./shard.ts";
import { behind, judge, sight } from "./tenure.ts";

/** Resolves when the append under way at this shard is decided and its callers know, or the shard was given up. */
export async function resolveDoubt(shard: Shard): Promise<void> {
  const { engine, codec, host, limits } = shard.ground;
  const patiently = <T>(answer: Promise<T>): Promise<T> => within(host.clock, limits.appendPatienceMs, answer);
  const { flight } = shard;
  if (!flight) return;
  const { append, record } = flight;
  const place = append.expected + 1;
  for (let attempt = 0; shard.flight === flight && shard.held !== undefined; attempt++) {
    try {
      const page = await patiently(engine.read(append.shard, place, 1));
      if (shard.flight !== flight) return;
      if (page.head.generation !== append.generation || page.head.seq < append.expected) {
        const [head] = await patiently(engine.barrier([append.shard]));
        if (shard.flight !== flight) return;
        const place = { generation: append.generation, epoch: append.epoch, seq: append.expected };
        if (head && sight(place, head).kind === "behind") return shard.quarantine(behind(append.shard));
        throw new SheafError("ENGINE_UNAVAILABLE", "the engine answered from an old copy");
      }
      const entry = page.entries[0];
      if (page.first > place) return shard.stepDown(page.head.epoch, [], new SheafError("OUTCOME_UNKNOWN"));
      const found = entry && {
        epoch: entry.epoch,
        hash: codec.decode(entry.record, { shard: append.shard, seq: place }).hash,
      };
      const verdict = judge(record.hash, found);
      if (verdict.kind === "lost") return shard.stepDown(verdict.to);
      if (verdict.kind === "applied") {
        shard.durable(flight);
        if (page.head.epoch > append.epoch) shard.stepDown(page.head.epoch);
        return;
      }
      const [result] = await patiently(engine.append([append]));
      if (shard.flight !== flight) return;
      if (result?.kind === "durable") return shard.durable(flight);
    } catch (error) {
      const failure = asSheafError(error, "ENGINE_UNAVAILABLE");
      if (failure.code === "CORRUPT" || failure.code === "WRONG_KEY") return shard.quarantine(failure);
      host.log.warn("cannot tell yet whether an append was kept", {
        shard: append.shard,
        reason: failure.message,
        attempt,
      });
    }
    await pause(host.clock, Math.min(1000, 5 * 2 ** Math.min(attempt, 8)));
  }
}
