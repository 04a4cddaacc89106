// Answers of queries, kept while the state that they follow from is the newest here: a record that changes the entity makes
// them useless at once, at an owner when it is durable and at a follower when it is applied.
//
// K1. Kept is only what follows from the state, the key and the input: nothing of a handler that looked at its caller, the
//     time or the dice, wrote to the log, made a call, or took longer than one step.
// K2. An answer is given again only for the same code, journal generation and version of the entity.
// K3. Consistency and age are those of the copy at the moment of the question: a strong read has had its barrier before.

import type { Generation, Limits, Version } from "../base/index.ts";
import type { Counter, Host } from "../host/index.ts";
import type { CompiledEntity } from "../model/index.ts";
import { pack, unpack } from "../wire/index.ts";
import type { Ask } from "./query.ts";

/** What is asked, and of which state. */
export type Place = {
  readonly name: string;
  readonly code: CompiledEntity;
  readonly generation: Generation;
  readonly version: Version;
};
/** `packed` is absent where there is no output. */
type Answer = { readonly output: unknown; readonly packed: Uint8Array | undefined };
type Kept = Place & { readonly packed: Uint8Array | undefined; readonly bytes: number };

/** Inputs and answers over these are not worth their room. */
const maxInputBytes = 1024;
const maxAnswerBytes = 256 * 1024;
/** What an answer takes besides its own bytes. */
const overheadBytes = 200;

export class QueryCache {
  readonly #maxBytes: number;
  /** The least recently used first. */
  readonly #kept = new Map<string, Kept>();
  readonly #hits: Counter;
  readonly #misses: Counter;
  #bytes = 0;

  /** A planted defect: answers outlive the states that they follow from. */
  readonly #ageless: boolean;

  constructor({ queryCacheBytes }: Pick<Limits, "queryCacheBytes">, { meter, faults }: Pick<Host, "meter" | "faults">) {
    this.#maxBytes = queryCacheBytes;
    this.#ageless = faults.mutant("C10");
    const count = (result: string): Counter =>
      meter.counter("sheaf_query_cache_total", "Queries looked up among the answers kept, by result.", { result });
    this.#hits = count("hit");
    this.#misses = count("miss");
  }

  /** Where the answer to a question would be, of an entity at this version; undefined when none is kept. */
  place({ entity, operation, key, input, shard }: Ask, version: Version | undefined): Place | undefined {
    if (version === undefined) return undefined;
    const about = textOf(input);
    if (about === undefined) return undefined;
    const name = `${entity.contract.name}\0${operation.name}\0${about.length}\0${about}${key}`;
    return { name, code: entity, generation: shard.fold.generation, version };
  }

  find(place: Place): Answer | undefined {
    const kept = this.#kept.get(place.name);
    const same = this.#ageless || (kept?.version === place.version && kept.generation === place.generation);
    if (!kept || !same || kept.code !== place.code) {
      this.#misses.add();
      return undefined;
    }
    this.#hits.add();
    this.#kept.delete(place.name);
    this.#kept.set(place.name, kept);
    return { output: kept.packed && unpack(kept.packed), packed: kept.packed };
  }

  /** Keeps an answer, and gives it back packed: nobody who gets it later shares it with whom it goes to now. */
  keep(place: Place, output: unknown): Uint8Array | undefined {
    const packed = output === undefined ? undefined : pack(output);
    const bytes = (packed?.length ?? 0) + 2 * place.name.length + overheadBytes;
    this.#forget(place.name);
    if (bytes > Math.min(maxAnswerBytes, this.#maxBytes)) return packed;
    this.#kept.set(place.name, { ...place, packed, bytes });
    this.#bytes += bytes;
    for (const name of this.#kept.keys()) {
      if (this.#bytes <= this.#maxBytes) break;
      this.#forget(name);
    }
    return packed;
  }

  #forget(name: string): void {
    this.#bytes -= this.#kept.get(name)?.bytes ?? 0;
    this.#kept.delete(name);
  }
}

/** The input in one string; undefined for one that is too large, or that a schema has made into more than plain data. */
function textOf(input: unknown): string | undefined {
  if (input === undefined) return "";
  try {
    const packed = pack(input);
    return packed.length <= maxInputBytes ? String.fromCharCode(...packed) : undefined;
  } catch {
    return undefined;
  }
}
