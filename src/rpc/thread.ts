// What a handler has seen through the calls that it made, so that the next one sees no less, on whichever node it is answered.

import type { Call, Reply } from "./call.ts";
import type { Sessions } from "./session-token.ts";

/** The session of one handler. Without `tokens` (a node alone, where every answer is the owner's) it is its caller's. */
export class Thread {
  readonly #tokens: Sessions | undefined;
  session: string | undefined;

  constructor(call: Call, tokens: Sessions | undefined) {
    this.#tokens = tokens;
    this.session = tokens === undefined ? call.session : (call.session ?? "");
  }

  saw({ session }: Reply): void {
    if (session === undefined || this.#tokens === undefined) return;
    this.session = this.#tokens.join(this.session ?? "", session);
  }
}
