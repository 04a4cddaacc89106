// A client whose every call is booked: for callers who know nothing of the torture.

import type { AppContractShape, Client } from "../../src/model/index.ts";
import type { Tally, Voice } from "./tally.ts";

type Face = Record<string, (...given: readonly unknown[]) => Promise<unknown>>;

/** As many voices as calls were ever under way at a time; they take turns. */
export function bookedClient<A extends AppContractShape>(client: Client<A>, tally: Tally): Client<A> {
  const free: Voice[] = [];
  async function book(call: () => Promise<unknown>, withinMs: number | undefined): Promise<unknown> {
    const voice = free.shift() ?? tally.voice();
    let thrown: { readonly error: unknown } | undefined;
    const { output } = await tally.book(
      voice,
      () =>
        call().catch((error: unknown) => {
          thrown = { error };
          throw error;
        }),
      withinMs,
    );
    free.push(voice);
    if (thrown !== undefined) throw thrown.error;
    return output;
  }
  const booked = <F>(face: F): F =>
    new Proxy(face as Face, {
      get:
        (of, name: string) =>
        (...given: readonly unknown[]) =>
          book(() => of[name]!(...given), deadlineIn(given.at(-1))),
    }) as F;
  return {
    entity: (contract, key) => booked(client.entity(contract, key)),
    service: (contract) => booked(client.service(contract)),
    topic: (contract) => booked(client.topic(contract)),
    queue: (contract) => booked(client.queue(contract)),
  };
}

/** Of a call that has one of its own. */
const deadlineIn = (options: unknown): number | undefined =>
  typeof options === "object" && options !== null && "deadlineMs" in options ? Number(options.deadlineMs) : undefined;
