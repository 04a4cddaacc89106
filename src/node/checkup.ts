// What one node can tell of its own health for `sheaf doctor`: how long its engine takes, which nodes it reaches, whose clock
// differs, when its certificates end. Measured when asked.

import type { Checkup } from "../admin/index.ts";
import { type Instant, type Millis, toHex } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { CompiledApp } from "../model/index.ts";
import { pack } from "../wire/index.ts";
import type { Placed } from "./membership.ts";

/** A digest of what the app offers: two nodes that run the same code tell the same. */
export function fingerprint({ crypto }: Pick<Host, "crypto">, { entities, services }: CompiledApp): string {
  const entityParts = [...entities].map(([name, { contract, operations }]) => [
    name,
    contract.state.version,
    [...operations].map(([operation, { kind }]) => `${kind} ${operation}`).sort(byText),
  ]);
  const serviceParts = [...services].map(([name, { operations }]) => [name, [...operations.keys()].sort(byText)]);
  const shape = [entityParts, serviceParts].map((parts) => parts.sort(([a], [b]) => byText(String(a), String(b))));
  return toHex(crypto.sha256(pack(shape))).slice(0, 12);
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

type Reading = Pick<Checkup, "clockSkewMs" | "clockWithinMs">;

/** How far a clock is ahead of this node's, from a reading of it: the middle of when it can have been taken, and how far off
 *  that may be. */
export function skewOf(reading: Instant, askedAt: Instant, answeredAt: Instant): Reading {
  const within = (answeredAt - askedAt) / 2;
  return { clockSkewMs: reading - (askedAt + within), clockWithinMs: within };
}

const timedAsks = 3;

/** Of a few readings the one that was the quickest to get. Rejects as `read` does. */
export async function readClock(clock: Host["clock"], read: () => Promise<Instant>): Promise<Reading> {
  let best: Reading | undefined;
  for (let ask = 0; ask < timedAsks; ask++) {
    const askedAt = clock.now();
    const skew = skewOf(await read(), askedAt, clock.now());
    if (best === undefined || skew.clockWithinMs < best.clockWithinMs) best = skew;
  }
  return best ?? { clockSkewMs: 0, clockWithinMs: 0 };
}

/** Of this node. Its clock is compared with nothing here: whoever asks does that. */
export async function checkupHere(parts: Placed): Promise<Checkup> {
  const { options, membership, compiled, id } = parts;
  const { host, engine, process, meeting } = options;
  const askedAt = host.clock.now();
  const facts = await engine.describe().then(
    (told) => ({ told, error: null }),
    (error: unknown) => ({ told: {}, error: String(error) }),
  );
  const answeredAt = host.clock.now();
  const told: Readonly<Record<string, string | number | boolean>> = facts.told;
  const numberOf = (name: string): Millis | null => (typeof told[name] === "number" ? told[name] : null);
  const clockMs = numberOf("clockMs");
  const engineSkew = clockMs === null ? undefined : skewOf(clockMs, askedAt, answeredAt);
  return {
    node: id,
    name: meeting?.name ?? id,
    app: parts.app.name,
    fingerprint: fingerprint(host, compiled),
    insecure: process?.insecure === true,
    certificates: process?.certificates?.() ?? null,
    clockSkewMs: 0,
    clockWithinMs: 0,
    engineError: facts.error,
    engineSyncMs: numberOf("syncMs") ?? numberOf("commitMs"),
    engineSkewMs: engineSkew?.clockSkewMs ?? null,
    engineSkewWithinMs: engineSkew?.clockWithinMs ?? null,
    reaches: (membership?.view.members ?? [])
      .filter(({ member, why }) => member.id !== id && why !== "left" && why !== "superseded")
      .map(({ member }) => ({
        node: member.id,
        name: member.name,
        peer: member.peer,
        link: membership?.peers.get(member.id)?.state ?? "silent",
      })),
  };
}
