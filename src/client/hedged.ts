// Dials one of several gateways: the first to answer is taken. The next is dialled as soon as one fails, or has not answered for
// a while, since a gateway that stands still fails late (as "Happy Eyeballs" does, RFC 8305).
//
// H1. Exactly one of `opened` and `failed` is said, unless the whole is given up first. All other attempts are closed.

import type { Millis, SheafError } from "../base/index.ts";
import type { Clock, Timer } from "../host/index.ts";
import type { Pipe, PipeEnd } from "../rpc/index.ts";
import type { ClientHost } from "./host.ts";

/** What RFC 8305 recommends. */
const NEXT_MS: Millis = 250;

export type HedgedEnd = {
  /** `url` is one of those given. */
  opened(pipe: Pipe, url: string): PipeEnd;
  /** Of the attempts, the last that failed. */
  failed(error: SheafError): void;
};

/** Dials these in this order. Returns what gives up. */
export function hedged(
  host: { readonly clock: Clock } & Pick<ClientHost, "dial">,
  urls: readonly string[],
  end: HedgedEnd,
): () => void {
  const attempts = new Map<string, () => void>();
  let next = 0;
  let over = false;
  let timer: Timer | undefined;

  const stop = (): void => {
    over = true;
    timer?.cancel();
    for (const abort of attempts.values()) abort();
  };
  const failed = (url: string, error: SheafError): void => {
    attempts.delete(url);
    if (over) return;
    const isLast = next === urls.length && attempts.size === 0;
    if (!isLast && error.retry !== "never") return next < urls.length ? dial() : undefined;
    stop();
    end.failed(error);
  };
  const dial = (): void => {
    timer?.cancel();
    const url = urls[next++]!;
    let settled = false;
    attempts.set(url, () => {});
    const abort = host.dial(url, {
      opened(pipe) {
        settled = true;
        attempts.delete(url);
        stop();
        return end.opened(pipe, url);
      },
      failed(error) {
        settled = true;
        failed(url, error);
      },
    });
    if (settled) return;
    attempts.set(url, abort);
    if (next < urls.length) timer = host.clock.after(NEXT_MS, dial);
  };
  dial();
  return stop;
}
