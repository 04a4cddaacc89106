// The pins of the cluster as this node knows them. They are kept by a system entity, in the journal; the registry, which
// every node reads anyway, tells all others of a change.
//
// Q1. The highest version that was seen stands. A registry that tells less, or was emptied, is told again.

import { asSheafError, type Millis, type Shard, SheafError } from "../base/index.ts";
import { noPins, packPins, type Pins, pinsKey, unpackPins } from "../cluster/index.ts";
import { Pins as PinsEntity, pinsEntityKey } from "../control/index.ts";
import { system } from "../security/index.ts";
import type { Host } from "../host/index.ts";
import { type Engine, maxRegistryBytes } from "../journal/index.ts";
import type { Call, Reply } from "../rpc/index.ts";

const askMs: Millis = 5_000;
const insistMs: Millis = 1_000;

export type PinBoardOptions = {
  readonly host: Pick<Host, "clock" | "log">;
  readonly registry: Engine["registry"];
  /** Carries a call out, wherever that may be. */
  readonly call: (call: Call) => Promise<Reply>;
  readonly closed: () => boolean;
  changed(): void;
};

export class PinBoard {
  readonly #options: PinBoardOptions;
  #pins: Pins = noPins;

  constructor(options: PinBoardOptions) {
    this.#options = options;
  }

  get pins(): Pins {
    return this.#pins;
  }

  /** Pins the shard to the node of that name, or to none. Resolves when that is durable. Rejects TOO_LARGE when so many
   *  pins could not be told to all. */
  async set(shard: Shard, node: string | undefined): Promise<void> {
    const wished = new Map(this.#pins.nodes);
    if (node === undefined) wished.delete(shard);
    else wished.set(shard, node);
    if (packPins({ version: Number.MAX_SAFE_INTEGER, nodes: wished }).length > maxRegistryBytes)
      throw new SheafError("TOO_LARGE", "so many shards are pinned to so many nodes that no more can be", {
        hint: "let placement have some back: sheaf shard unpin, sheaf shard rebalance",
      });
    this.#learn(await this.#ask("pin", { shard, node: node ?? "" }));
    await this.#tell();
  }

  /** What the registry holds. */
  listed(records: ReadonlyMap<string, Uint8Array>): void {
    const bytes = records.get(pinsKey);
    const found = bytes && unpackPins(bytes);
    this.#learn(found);
    if ((found?.version ?? 0) < this.#pins.version) void this.#tell();
  }

  /** Reads what the entity holds, once, however often that takes: a registry that was emptied tells nothing. */
  async load(): Promise<void> {
    const { host, closed } = this.#options;
    while (!closed()) {
      try {
        return this.#learn(await this.#ask("all", undefined));
      } catch (error) {
        host.log.debug("the pins cannot be read yet", { reason: asSheafError(error).message });
        await new Promise<void>((resolve) => void host.clock.after(insistMs, resolve));
      }
    }
  }

  #learn(found: Pins | undefined): void {
    if (found === undefined || found.version <= this.#pins.version) return;
    this.#pins = found;
    this.#options.changed();
  }

  async #tell(): Promise<void> {
    const { registry, host } = this.#options;
    try {
      await registry.put(pinsKey, packPins(this.#pins));
    } catch (error) {
      // It is told again with the next look at the registry.
      host.log.debug("the registry does not take the pins", { reason: asSheafError(error).message });
    }
  }

  async #ask(name: "pin" | "all", input: unknown): Promise<Pins> {
    const kind = name === "pin" ? ("command" as const) : ("query" as const);
    const target = { kind, entity: PinsEntity.name, key: pinsEntityKey, name };
    const deadline = this.#options.host.clock.tick() + askMs;
    const { output } = await this.#options.call({ target, input, principal: system, deadline });
    const { version, nodes } = output as { readonly version: number; readonly nodes: readonly string[] };
    return { version, nodes: new Map(nodes.flatMap((node, shard) => (node === "" ? [] : [[shard, node] as const]))) };
  }
}
