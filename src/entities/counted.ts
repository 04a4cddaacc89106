// A caller's answer that is counted as well.

import type { SheafError } from "../base/index.ts";
import type { CallMeters, Reply } from "../rpc/index.ts";
import type { Answer } from "./attempt.ts";

/** Tells the caller, and the meters. */
export class Counted implements Answer {
  readonly #meters: CallMeters;
  readonly #resolve: (reply: Reply) => void;
  readonly #reject: (error: SheafError) => void;

  constructor(meters: CallMeters, resolve: (reply: Reply) => void, reject: (error: SheafError) => void) {
    this.#meters = meters;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  resolve(reply: Reply): void {
    this.#meters.answered();
    this.#resolve(reply);
  }

  reject(error: SheafError): void {
    this.#meters.refused(error.code);
    this.#reject(error);
  }
}
