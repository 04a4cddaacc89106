// Whom other nodes named as the owners of shards, where this node has read no newer claim itself. It only saves tries: whoever is
// asked in error refuses, and the journal alone says who may write.
//
// H1. A newer epoch is believed before an older one, and the journal before a name of the same epoch.
// H2. Who was named and says that it is not the owner is not asked again for a name of that epoch, or of one before.

import {
  amended,
  asSheafError,
  type Epoch,
  type Owner,
  type Shard as ShardNumber,
  type SheafError,
} from "../base/index.ts";
import type { Call, Reply } from "../rpc/index.ts";

/** What a node has read of a shard's journal. */
export type Read = {
  readonly number: ShardNumber;
  readonly fold: { readonly owner: string | undefined; readonly epoch: Epoch };
};

export class Owners {
  readonly #self: string;
  readonly #shardOf: (call: Call) => Read | undefined;
  readonly #isThere: (node: string) => boolean;
  readonly #named = new Map<ShardNumber, { readonly node: string | undefined; readonly epoch: Epoch }>();

  constructor(
    { id, shards }: { readonly id: string; readonly shards: { of(type: string, key: string): Read } },
    isThere: (node: string) => boolean,
  ) {
    this.#self = id;
    this.#shardOf = ({ target }) => (target.kind === "procedure" ? undefined : shards.of(target.entity, target.key));
    this.#isThere = isThere;
  }

  /** Who is said to have claimed the shard since what was read here. */
  newer({ number, fold }: Read): string | undefined {
    const named = this.#named.get(number);
    return named && named.epoch > fold.epoch && named.node !== this.#self ? named.node : undefined;
  }

  /** A node that was asked is not the owner, and may have named another. Whether that is news. */
  refused(call: Call, by: string, named: Owner | undefined): boolean {
    const shard = this.#shardOf(call);
    if (!shard) return false;
    const { number, fold } = shard;
    const known = this.#named.get(number);
    if (
      named &&
      named.node !== by &&
      this.#isThere(named.node) &&
      named.epoch > Math.max(known?.epoch ?? 0, fold.epoch)
    ) {
      this.#named.set(number, named);
      return true;
    }
    if (known?.node === by) this.#named.set(number, { node: undefined, epoch: known.epoch }); // H2
    return false;
  }

  /** Carries calls out as `here` does, and names the owner where that says NOT_OWNER. */
  naming(here: (call: Call) => Promise<Reply>): (call: Call) => Promise<Reply> {
    return (call) =>
      here(call).catch((error: unknown) => {
        throw this.#withName(call, error);
      });
  }

  #withName(call: Call, refusal: unknown): SheafError {
    const failure = asSheafError(refusal);
    const shard = failure.code === "NOT_OWNER" ? this.#shardOf(call) : undefined;
    if (!shard) return failure;
    const { owner: read, epoch } = shard.fold;
    const newer = this.newer(shard);
    const node = newer ?? read;
    if (node === undefined || node === this.#self || !this.#isThere(node)) return failure;
    return amended(failure, {
      owner: { node, epoch: newer === undefined ? epoch : this.#named.get(shard.number)!.epoch },
    });
  }
}
