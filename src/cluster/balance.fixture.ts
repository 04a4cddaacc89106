// Callers and endpoints on a clock that is moved by hand: calls begin at even intervals, and end as their endpoint does.

import type { Balance, Endpoint, Verdict } from "./balance.ts";

/** What an endpoint does with a call at a time: it ends like this, after so long. */
export type Behaviour = (at: number) => { readonly ms: number; readonly how?: Verdict };

export type Run = {
  readonly balance: Balance;
  readonly endpoints: readonly (Endpoint & { readonly does: Behaviour })[];
  readonly calls: number;
  readonly everyMs: number;
  readonly from?: number;
};

/** How many calls each endpoint got, and the most that it had at once. */
export type Told = { readonly sent: Record<string, number>; readonly most: Record<string, number> };

export function play({ balance, endpoints, calls, everyMs, from = 0 }: Run): Told {
  const sent: Record<string, number> = Object.fromEntries(endpoints.map(({ id }) => [id, 0]));
  const busy = { ...sent };
  const most = { ...sent };
  let open: { readonly at: number; readonly end: () => void }[] = [];
  const endUntil = (now: number): void => {
    const due = open.filter(({ at }) => at <= now).sort((a, b) => a.at - b.at);
    open = open.filter(({ at }) => at > now);
    for (const { end } of due) end();
  };
  for (let i = 0; i < calls; i++) {
    const now = from + i * everyMs;
    endUntil(now);
    const id = balance.pick("s", endpoints, new Set(), now);
    const endpoint = endpoints.find((one) => one.id === id);
    if (!id || !endpoint) throw new Error("nobody was picked");
    const { ms, how = { kind: "well" } } = endpoint.does(now);
    const told = balance.begin("s", id, now);
    sent[id] = (sent[id] ?? 0) + 1;
    busy[id] = (busy[id] ?? 0) + 1;
    most[id] = Math.max(most[id] ?? 0, busy[id]);
    const end = (): void => {
      busy[id] = (busy[id] ?? 0) - 1;
      told(how, now + ms);
    };
    open.push({ at: now + ms, end });
  }
  endUntil(Infinity);
  return { sent, most };
}

/** Draws that look even, the same in every run. */
export function dice(seed = 1): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
