// Takes exact numbers of bytes from chunks that may be cut anywhere.

import { concat } from "../base/index.ts";
import { corrupt } from "./sealing.ts";

export class FrameInput {
  readonly #chunks: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
    this.#chunks = Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
  }

  /** The next `length` bytes behind `before`, in one array. Throws CORRUPT when the chunks end before that. */
  async take(length: number, before: Uint8Array = new Uint8Array(0)): Promise<Uint8Array> {
    const parts = [before];
    let missing = length;
    while (missing > 0) {
      if (this.#rest.length === 0 && !(await this.#pull())) throw corrupt("the snapshot is cut short");
      const part = this.#rest.subarray(0, missing);
      parts.push(part);
      missing -= part.length;
      this.#rest = this.#rest.subarray(part.length);
    }
    return concat(parts);
  }

  /** Whether nothing but empty chunks is left. */
  async ended(): Promise<boolean> {
    while (this.#rest.length === 0) if (!(await this.#pull())) return true;
    return false;
  }

  /** Lets go of the chunks' source. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  async #pull(): Promise<boolean> {
    const next: IteratorResult<Uint8Array, unknown> = await this.#chunks.next();
    if (next.done === true) return false;
    this.#rest = next.value;
    return true;
  }
}
