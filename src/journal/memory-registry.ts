// The registry of the memory engine: what is there now, and how it was some changes ago.
//
// Each put is numbered, and an entry carries the number of its last one: what was put since a look are those with higher numbers.
// Numbers of another registry mean nothing here: a cursor names the registry that it is of.

import type { RegistryLook } from "./engine.ts";

type Entry = { readonly value: Uint8Array; readonly told: number };

/** Older states that can still be shown. */
const rememberedChanges = 16;
let made = 0;

export class MemoryRegistry {
  readonly #entries: Map<string, Entry>;
  /** What stood under the key before each of the last changes, the newest last. */
  #before: { readonly key: string; readonly entry: Entry | undefined }[] = [];
  readonly #name = ++made;
  #told = 0;

  constructor(entries: ReadonlyMap<string, Entry> = new Map()) {
    this.#entries = new Map(entries);
    for (const { told } of entries.values()) this.#told = Math.max(this.#told, told);
  }

  copy(): MemoryRegistry {
    return new MemoryRegistry(this.#entries);
  }

  put(key: string, value: Uint8Array): void {
    this.#change(key, { value, told: ++this.#told });
  }

  renew(key: string, value: Uint8Array): void {
    const entry = this.#entries.get(key);
    if (entry) this.#change(key, { ...entry, value });
  }

  delete(key: string): void {
    this.#change(key, undefined);
  }

  /** As `Registry.look`; `behind` shows it as it was that many changes ago, as far as that is remembered. */
  look(since: string | undefined, keys: readonly string[], behind: number): RegistryLook {
    const entries = this.#asOf(behind);
    const [name, known] = (since ?? "").split(".").map(Number);
    const from = name === this.#name ? (known ?? 0) : 0;
    const told = new Map<string, Uint8Array>();
    let last = from;
    for (const [key, entry] of entries) {
      if (entry.told <= from) continue;
      told.set(key, entry.value.slice());
      last = Math.max(last, entry.told);
    }
    const found = new Map<string, Uint8Array>();
    for (const key of keys) {
      const entry = entries.get(key);
      if (entry) found.set(key, entry.value.slice());
    }
    return { cursor: `${this.#name}.${last}`, told, found };
  }

  #change(key: string, entry: Entry | undefined): void {
    this.#before = [...this.#before.slice(1 - rememberedChanges), { key, entry: this.#entries.get(key) }];
    if (entry) this.#entries.set(key, entry);
    else this.#entries.delete(key);
  }

  #asOf(behind: number): ReadonlyMap<string, Entry> {
    if (behind <= 0) return this.#entries;
    const entries = new Map(this.#entries);
    for (const { key, entry } of this.#before.slice(-behind).toReversed()) {
      if (entry) entries.set(key, entry);
      else entries.delete(key);
    }
    return entries;
  }
}
