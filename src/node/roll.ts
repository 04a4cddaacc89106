// What the registry says of who is there, as far as this node has read it, and what the node itself says there.
//
// R1. What is read at each look is what changed since the look before, and what was asked for: a quiet cluster costs the same
//     however large it is.
// R2. What a node says of itself is told to all when it changes, and when a look does not find it. In between it is renewed, for
//     those who ask for it.
// R3. Whoever is asked for and not found is not there.

import { bytesEqual } from "../base/index.ts";
import { type Member, type MemberRecord, packMemberRecord, unpackMemberRecord } from "../cluster/index.ts";
import type { Registry } from "../journal/index.ts";

/** Carries an answer, unless that takes too long. */
type Soon = <T>(answer: Promise<T>) => Promise<T>;

export type RollCall = {
  /** All that is known to be there, by id. */
  readonly records: ReadonlyMap<string, MemberRecord>;
  /** Those of whom it was read now. */
  readonly looked: ReadonlySet<string>;
  /** All that was read now: of members, and of others that were asked for. */
  readonly read: ReadonlyMap<string, Uint8Array>;
};

export class Roll {
  readonly #registry: Registry;
  readonly #me: string;
  readonly #soon: Soon;
  readonly #records = new Map<string, MemberRecord>();
  #cursor: string | undefined;
  #beat = 0;
  /** What was told last, without the beat; undefined when it is to be told again. */
  #told: Uint8Array | undefined;

  constructor(registry: Registry, me: string, soon: Soon = (answer) => answer) {
    this.#registry = registry;
    this.#me = me;
    this.#soon = soon;
  }

  /** Says that this node is there, what it is, and whom it cannot hear. */
  async tell(member: Member, accuses: readonly string[]): Promise<void> {
    const said = packMemberRecord({ member, beat: 0, accuses });
    const bytes = packMemberRecord({ member, beat: ++this.#beat, accuses });
    if (this.#told && bytesEqual(this.#told, said)) return this.#soon(this.#registry.renew(this.#me, bytes));
    this.#told = undefined;
    await this.#soon(this.#registry.put(this.#me, bytes));
    this.#told = said;
  }

  /** Reads what has changed, and what stands under these keys. */
  async look(keys: readonly string[]): Promise<RollCall> {
    const { cursor, told, found } = await this.#soon(this.#registry.look(this.#cursor, keys));
    this.#cursor = cursor;
    for (const key of keys) if (!found.has(key)) this.#records.delete(key);
    const read = new Map([...told, ...found]);
    for (const [key, bytes] of read) {
      const record = unpackMemberRecord(bytes);
      if (record) this.#records.set(key, record);
      else this.#records.delete(key);
    }
    if (!found.has(this.#me)) this.#told = undefined;
    return { records: this.#records, looked: new Set(found.keys()), read };
  }
}
