// Plain HTTP callers behind what a load balancer does: it asks every gateway's /readyz all the time, sends to those that said
// yes, and goes to the next where no connection could be made. It repeats nothing that may have arrived.

import { setTimeout as sleep } from "node:timers/promises";

export interface Balanced {
  /** How calls failed. */
  readonly failures: readonly string[];
  /** Calls answered so far, by gateway. */
  readonly answered: ReadonlyMap<string, number>;
  /** Resolves when that gateway was last heard to be ready, or not. */
  heard(gateway: string, ready: boolean): Promise<void>;
  /** Resolves when one more call of each caller, begun after now, was answered. */
  turn(): Promise<void>;
  /** Stops, and compares what is there with what was acknowledged. What is wrong, a line each. */
  verify(): Promise<readonly string[]>;
}

const pollEveryMs = 20;

/** One caller for each key, which adds one after another, until the test ends. */
export function startBalanced(
  t: { after(fn: () => void): void },
  gateways: readonly string[],
  keys: readonly string[],
): Balanced {
  const ready = new Map(gateways.map((gateway) => [gateway, true]));
  const answered = new Map(gateways.map((gateway) => [gateway, 0]));
  const acknowledged = new Map(keys.map((key) => [key, 0]));
  const failures: string[] = [];
  let stopping = false;
  let next = 0;
  let isOver = false;
  t.after(() => void (stopping = isOver = true));

  const poll = async (gateway: string): Promise<void> => {
    while (!stopping) {
      const ok = await fetch(`${gateway}/readyz`).then(
        async (response) => (await response.text(), response.ok),
        () => false,
      );
      ready.set(gateway, ok);
      await sleep(pollEveryMs);
    }
  };
  /** Undefined: no connection was made. */
  const ask = async (gateway: string, path: string, init?: RequestInit): Promise<Response | undefined> => {
    try {
      return await fetch(`${gateway}/entities/counter/${path}`, init);
    } catch (error) {
      if ((error as { cause?: { code?: string } }).cause?.code === "ECONNREFUSED") return undefined;
      throw error;
    }
  };
  const send = async (path: string, init?: RequestInit): Promise<Response> => {
    while (!isOver) {
      const able = gateways.filter((gateway) => ready.get(gateway));
      const gateway = able[next++ % able.length];
      const response = gateway === undefined ? undefined : await ask(gateway, path, init);
      if (gateway !== undefined && response !== undefined) {
        answered.set(gateway, (answered.get(gateway) ?? 0) + 1);
        return response;
      }
      await sleep(pollEveryMs);
    }
    throw new Error("the test is over");
  };
  const init = { method: "POST", body: '{"by":1,"memo":""}', headers: { "content-type": "application/json" } };
  const work = async (key: string): Promise<void> => {
    while (!stopping) {
      try {
        const response = await send(`${key}/add`, init);
        const text = await response.text();
        if (response.status === 200) acknowledged.set(key, (acknowledged.get(key) ?? 0) + 1);
        else failures.push(`${key}: ${response.status} ${text}`);
      } catch (error) {
        failures.push(`${key}: ${String((error as { cause?: unknown }).cause ?? error)}`);
      }
    }
  };
  const works = [...keys.map(work), ...gateways.map(poll)];
  return {
    failures,
    answered,
    async heard(gateway, says) {
      while (!isOver && ready.get(gateway) !== says) await sleep(pollEveryMs);
    },
    async turn() {
      for (const key of keys) {
        // One may have begun before now.
        const enough = (acknowledged.get(key) ?? 0) + 2;
        while (!isOver && (acknowledged.get(key) ?? 0) < enough && failures.length === 0) await sleep(pollEveryMs);
      }
    },
    async verify() {
      stopping = true;
      await Promise.all(works);
      const wrong: string[] = [];
      for (const [key, count] of acknowledged) {
        const response = await send(`${key}/total`);
        const { total } = (await response.json()) as { total: number };
        if (total !== count) wrong.push(`${key}: ${total}, and ${count} were acknowledged`);
      }
      return wrong;
    },
  };
}
