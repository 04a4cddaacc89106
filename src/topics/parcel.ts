// What one record is to send for a subscription: a message for each event, or, with a batch, one for several.
//
// P1. A batch has what was made of events of one line, in their order. What it has no room for begins another, behind it.

import { asSheafError, SheafError } from "../base/index.ts";
import type { Message } from "../journal/index.ts";
import type { BatchShape } from "../model/index.ts";
import { messageBytes } from "../shards/index.ts";
import { pack } from "../wire/index.ts";

export type Sent = Message & { readonly to: number };

/** What was made of one event. */
export type Made = {
  /** What is in one line is carried out in order. */
  readonly line: string;
  readonly event: string;
  /** Plain data; undefined for none. */
  readonly input: unknown;
  /** The message with that input, packed. */
  readonly seal: (input: Uint8Array) => Sent;
};

export type ParcelOptions = {
  readonly batch: BatchShape | undefined;
  /** Throws BAD_INPUT unless that is a valid input of a batch. */
  readonly whole: (inputs: readonly unknown[]) => void;
  readonly maxMessages: number;
  /** Of all messages, but for the first; and of one. */
  readonly maxBytes: number;
  readonly maxMessageBytes: number;
};

type Group = { readonly first: Made; readonly inputs: unknown[]; bytes: number };

const noInput = new Uint8Array(0);

export class Parcel {
  readonly #options: ParcelOptions;
  readonly #groups: Group[] = [];
  /** The last group of each line. */
  readonly #open = new Map<string, Group>();
  #bytes = 0;

  constructor(options: ParcelOptions) {
    this.#options = options;
  }

  /** Takes what was made of the next event. False when there is no room for it any more. Throws TOO_LARGE. */
  take(made: Made): boolean {
    const { batch, maxMessages, maxBytes, maxMessageBytes } = this.#options;
    const input = made.input === undefined ? noInput : pack(made.input);
    const alone = messageBytes(made.seal(input));
    if (alone > maxMessageBytes)
      throw new SheafError("TOO_LARGE", `what is made of an event is at most ${maxMessageBytes} bytes`);
    const open = this.#open.get(made.line);
    const joins = batch && open && open.inputs.length < batch.events && open.bytes + input.length <= batch.bytes;
    const bytes = joins ? input.length : alone;
    if (this.#groups.length > 0 && this.#bytes + bytes > maxBytes) return false;
    if (!joins && this.#groups.length >= maxMessages) return false;
    this.#bytes += bytes;
    if (joins) {
      open.inputs.push(made.input);
      open.bytes += input.length;
      return true;
    }
    const group = { first: made, inputs: [made.input], bytes: input.length };
    this.#groups.push(group);
    this.#open.set(made.line, group);
    return true;
  }

  /** In the order of the first event of each. Throws BAD_INPUT for a batch that is no valid input. */
  messages(): readonly Sent[] {
    return this.#groups.map((group) => this.#message(group));
  }

  #message({ first, inputs }: Group): Sent {
    const { batch, whole } = this.#options;
    if (!batch) return first.seal(first.input === undefined ? noInput : pack(first.input));
    if (inputs.length === 1) return first.seal(pack(inputs));
    try {
      whole(inputs);
    } catch (error) {
      throw at(error, first.event);
    }
    return first.seal(pack(inputs));
  }
}

/** The error as one that befell at that event. */
export function at(error: unknown, event: string): SheafError {
  const { code, message } = asSheafError(error);
  return new SheafError(code, message, { cause: event });
}
