// What a handler has seen through the calls that it made, so that the next one sees no less, on whichever node it is answered,
// and so that whoever sees what it did can see its causes.

import { amended, asSheafError, joinSeen, nothingSeen, type Seen, type SheafError } from "../base/index.ts";
import type { Call, Reply } from "./call.ts";
import type { Sessions } from "./session-token.ts";

/** The session of one handler. Without `tokens` (a node alone, where every answer is the owner's) it is its caller's. */
export class Thread {
  readonly #tokens: Sessions | undefined;
  /** Its caller keeps a session. */
  readonly #kept: boolean;
  #token: string | undefined;
  #seen: Seen | undefined;

  constructor({ session }: Call, tokens: Sessions | undefined) {
    this.#tokens = tokens;
    this.#kept = session !== undefined;
    this.#token = tokens === undefined ? session : (session ?? "");
  }

  /** For calls that the handler makes. */
  get session(): string | undefined {
    if (this.#token === undefined && this.#seen !== undefined) this.#token = this.#tokens?.make(this.#seen);
    return this.#token;
  }

  get seen(): Seen {
    return (this.#seen ??= this.#tokens?.read(this.#token ?? "") ?? nothingSeen);
  }

  /** For its caller, if that keeps a session. */
  get told(): string | undefined {
    return this.#kept ? this.session : undefined;
  }

  /** Passes on the answer to a call that the handler made. A refused call has shown something, too. */
  async hear(answer: Promise<Reply>): Promise<unknown> {
    let reply: Reply;
    try {
      reply = await answer;
    } catch (thrown) {
      const error = asSheafError(thrown);
      this.#learn(error);
      throw error;
    }
    this.#learn(reply);
    return reply.output;
  }

  #learn({ session }: { readonly session?: string | undefined }): void {
    if (session !== undefined && this.#tokens !== undefined) this.saw(this.#tokens.read(session));
  }

  /** What the handler has looked at itself: the calls that it makes from now on may come of it. */
  saw(more: Seen): void {
    if (this.#tokens === undefined) return;
    const before = this.seen;
    this.#seen = joinSeen(before, more);
    if (this.#seen !== before) this.#token = undefined;
  }

  /** The error that the handler ends with, as its caller gets it. */
  refused(error: SheafError): SheafError {
    const session = this.#tokens && this.told;
    return session === undefined || session === "" ? error : amended(error, { session });
  }
}
