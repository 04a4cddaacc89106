// A caller's giving up, for calls that hardly ever are given up.

import type { Cancellation, CancelListener } from "./call.ts";

/** What an AbortController and its signal are in one, for at most a few listeners, and only for this event. */
export class Cancel implements Cancellation {
  aborted = false;
  reason: unknown;
  #first: CancelListener | undefined;
  #more: CancelListener[] | undefined;

  /** As with an AbortSignal, one that comes too late hears nothing. Each hears it once. */
  addEventListener(_type: "abort", listener: CancelListener): void {
    if (this.aborted || this.#first === listener || this.#more?.includes(listener)) return;
    if (this.#first === undefined) this.#first = listener;
    else (this.#more ??= []).push(listener);
  }

  removeEventListener(_type: "abort", listener: CancelListener): void {
    if (this.#first === listener) this.#first = this.#more?.shift();
    else if (this.#more) this.#more = this.#more.filter((other) => other !== listener);
  }

  abort(reason: unknown): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    const listeners = [this.#first, ...(this.#more ?? [])];
    this.#first = undefined;
    this.#more = undefined;
    for (const listener of listeners) {
      if (typeof listener === "function") listener();
      else listener?.handleEvent();
    }
  }
}

/** A true signal, for what takes no less. */
export function abortSignal(cancellation: Cancellation): AbortSignal {
  if (cancellation instanceof AbortSignal) return cancellation;
  const controller = new AbortController();
  if (cancellation.aborted) controller.abort(cancellation.reason);
  else cancellation.addEventListener("abort", () => controller.abort(cancellation.reason), { once: true });
  return controller.signal;
}
