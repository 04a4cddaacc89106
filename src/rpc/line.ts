// One connection between two nodes that carries calls both ways. Each of its ends asks and answers, as if each way had a
// connection of its own.
//
// L1. All frames of a message are of one way: the first tells which. An asker's are HELLO, CALL, CANCEL, PING, SETTLED, BYE.
// L2. Whoever cannot get rid of answers reads no more calls, and reads answers still: two nodes that wait for each other go on.
// L3. It ends when neither end asks any more. When it breaks, or one end finds it silent or not readable, it ends both ways.

import { askingKinds, firstKind, frameKind, MessageWriter, pack } from "../wire/index.ts";
import type { Pipe, PipeEnd } from "./pipe.ts";

/** Calls that wait to be read, at most. A node that has more of them and takes no answers is not to be had. */
const mostHeldBytes = 64 * 1024 * 1024;

/** `none`: nothing was asked this way yet. `over`: nor will be. */
type Way = { readonly kind: "none" | "over" } | { readonly kind: "open"; readonly end: PipeEnd };

const none: Way = { kind: "none" };
const over: Way = { kind: "over" };

export class Line implements PipeEnd {
  readonly #pipe: Pipe;
  readonly #begin: (pipe: Pipe) => PipeEnd;
  /** Calls from here, and calls from there. */
  #asking: Way = none;
  #answering: Way = none;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #paused = false;

  /** `begin` answers what the other end asks. */
  constructor(pipe: Pipe, begin: (pipe: Pipe) => PipeEnd) {
    this.#pipe = pipe;
    this.#begin = begin;
  }

  /** Whether calls may go out over it: none did yet. */
  get unused(): boolean {
    return this.#asking.kind === "none";
  }

  /** Carries calls from here, too. Only while `unused`. */
  ask(open: (pipe: Pipe) => PipeEnd): void {
    this.#asking = { kind: "open", end: open({ ...this.#way(), leave: (why) => this.#leave(why) }) };
  }

  /** Expects calls from the other end; without this, from its first one on. */
  answer(): PipeEnd {
    if (this.#answering.kind === "open") return this.#answering.end;
    const end = this.#begin({
      ...this.#way(),
      pause: () => void (this.#paused = true),
      resume: () => this.#resume(),
    });
    this.#answering = { kind: "open", end };
    return end;
  }

  message(bytes: Uint8Array): void {
    const kind = firstKind(bytes);
    if (kind === frameKind.bye) return this.#left();
    // Answers to one who asked nothing are for the answering side to refuse.
    const isAnswer = kind !== undefined && !askingKinds.has(kind) && this.#asking.kind !== "none";
    if (!isAnswer) return this.#asked(bytes);
    if (this.#asking.kind === "open") this.#asking.end.message(bytes);
  }

  drained(): void {
    for (const way of [this.#asking, this.#answering]) if (way.kind === "open") way.end.drained();
  }

  closed(why: string): void {
    const ways = [this.#asking, this.#answering];
    this.#asking = this.#answering = over;
    this.#held = [];
    for (const way of ways) if (way.kind === "open") way.end.closed(why);
  }

  #way(): Pipe {
    const pipe = this.#pipe;
    return {
      send: (message) => pipe.send(message),
      unsentBytes: () => pipe.unsentBytes(),
      pause() {},
      resume() {},
      close: (why) => this.#close(why),
    };
  }

  #close(why: string): void {
    this.#pipe.close(why);
    this.closed(why);
  }

  #asked(bytes: Uint8Array): void {
    if (this.#answering.kind === "over") return;
    const end = this.answer();
    if (!this.#paused) return end.message(bytes);
    this.#held.push(bytes); // L2
    this.#heldBytes += bytes.length;
    if (this.#heldBytes > mostHeldBytes) this.#close("it asks more and more, and takes no answers");
  }

  #resume(): void {
    this.#paused = false;
    while (!this.#paused && this.#held.length > 0 && this.#answering.kind === "open") {
      const bytes = this.#held.shift()!;
      this.#heldBytes -= bytes.length;
      this.#answering.end.message(bytes);
    }
  }

  /** Nothing more is asked from here (L3). */
  #leave(why: string): void {
    if (this.#asking.kind === "over") return;
    this.#asking = over;
    if (this.#answering.kind !== "open") return this.#close(why);
    const writer = new MessageWriter();
    writer.packed(pack([frameKind.bye]));
    this.#pipe.send(writer.take());
  }

  /** Nothing more is asked from there. */
  #left(): void {
    const before = this.#answering;
    this.#answering = over;
    this.#held = [];
    if (before.kind === "open") before.end.closed("the other end asks nothing any more");
    if (this.#asking.kind !== "open") this.#close("neither end asks anything any more");
  }
}
