// A request as an edge reads it, whoever carried it here: a socket of node:http, a web-standard Request, a simulation. It is read
// piece by piece, so that a carrier builds only what somebody looks at.

import { SheafError } from "../base/index.ts";
import type { Cancellation } from "../rpc/index.ts";

export interface Incoming {
  readonly method: string;
  /** Path and query as sent, percent-encoding kept; begins with a slash and has no fragment. */
  readonly url: string;
  /** Host and port as the client named them. */
  readonly authority: string;
  /** Aborts when the client goes away before it has its answer. */
  readonly signal: Cancellation;
  /** A header's value by its name in lower case. Values of one that was sent several times are joined by ", ", none is dropped. */
  header(name: string): string | undefined;
  /** The body, once. Rejects with TOO_LARGE as soon as more than `max` bytes came, with MALFORMED when it broke off. */
  read(max: number): Promise<Uint8Array>;
}

export type Answer = {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: string | undefined;
  /** Instead of a body, what follows piece by piece, for as long as it gives any. It is asked for the next piece once the one before
   *  has left, or nearly; the signal aborts when the client goes away. */
  readonly stream?: ((gone: Cancellation) => AsyncIterable<string>) | undefined;
};

export const tooLarge = (max: number): SheafError => new SheafError("TOO_LARGE", `the body is over ${max} bytes`);
export const brokenOff = (cause?: unknown): SheafError => new SheafError("MALFORMED", "the body broke off", { cause });
