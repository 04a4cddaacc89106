// Chooses between the socket and HTTP: the socket wherever it connects. HTTP takes over only when the socket never did and
// the gateway answers over HTTP all the same, as behind a proxy that refuses upgrades; the socket is tried again later.

import { asSheafError, type Millis, SheafError } from "../base/index.ts";
import type { Call, Calls, Reply } from "../rpc/index.ts";
import { pack, unpack } from "../wire/index.ts";
import type { ClientHost } from "./host.ts";

export type AutomaticOptions = {
  readonly host: ClientHost;
  readonly socket: Calls;
  /** Resolves when the socket is open, rejects when an attempt failed. */
  connected(): Promise<void>;
  readonly http: Calls;
  /** Addresses that answer when the gateway is there. */
  readonly probes: readonly string[];
};

const AGAIN_MS: Millis = 60_000;
const PROBE_MS: Millis = 2_000;

/** `meanwhile`: what carries calls until the choice is made; they wait for it where there is nothing. */
type Choice =
  | { readonly kind: "open" }
  | { readonly kind: "choosing"; readonly chosen: Promise<Calls>; readonly meanwhile: Calls | undefined }
  | { readonly kind: "socket" }
  | { readonly kind: "http"; readonly since: number };

export function automatic(options: AutomaticOptions): Calls {
  const { host, socket, http } = options;
  let choice: Choice = { kind: "open" };

  async function choose(): Promise<Calls> {
    try {
      await options.connected();
      choice = { kind: "socket" };
      return socket;
    } catch {
      const answers = await Promise.all(options.probes.map((url) => isThere(url, host)));
      choice = answers.includes(true) ? { kind: "http", since: host.clock.tick() } : { kind: "open" };
      return choice.kind === "http" ? http : socket;
    }
  }

  return {
    call(call) {
      if (choice.kind === "socket") return socket.call(call);
      if (choice.kind === "http") {
        if (host.clock.tick() - choice.since > AGAIN_MS)
          choice = { kind: "choosing", chosen: choose(), meanwhile: http };
        return http.call(call);
      }
      if (choice.kind === "open") choice = { kind: "choosing", chosen: choose(), meanwhile: undefined };
      if (choice.meanwhile) return choice.meanwhile.call(call);
      try {
        return onceChosen(frozenOf(call), choice.chosen, host);
      } catch (error) {
        const { code, message } = asSheafError(error);
        return Promise.reject(new SheafError(code === "TOO_LARGE" ? code : "BAD_INPUT", message, { cause: error }));
      }
    },
  };
}

/** The call as it is now: its maker may change the input before the choice is made. */
const frozenOf = (call: Call): Call => (call.input === undefined ? call : { ...call, input: unpack(pack(call.input)) });

/** Choosing may take longer than the call has. */
function onceChosen(call: Call, chosen: Promise<Calls>, host: ClientHost): Promise<Reply> {
  return new Promise((resolve, reject) => {
    let over = false;
    const settle = (then: () => void): void => {
      if (over) return;
      over = true;
      timer.cancel();
      call.signal?.removeEventListener("abort", cancelled);
      then();
    };
    const late = (): void =>
      settle(() => reject(new SheafError("UNREACHABLE", "no connection could be made: no answer")));
    const cancelled = (): void =>
      settle(() => reject(new SheafError("CANCELLED", undefined, { outcome: "not-applied" })));
    const timer = host.clock.after(Math.max(0, call.deadline - host.clock.tick()), late);
    call.signal?.addEventListener("abort", cancelled);
    void chosen.then((calls) => settle(() => resolve(calls.call(call))));
  });
}

async function isThere(url: string, host: ClientHost): Promise<boolean> {
  const given = new AbortController();
  const timer = host.clock.after(PROBE_MS, () => given.abort());
  try {
    const response = await host.fetch(url, { signal: given.signal });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  } finally {
    timer.cancel();
  }
}
