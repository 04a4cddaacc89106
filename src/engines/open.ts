// An engine by its address, as `--engine` takes it. Drivers of other servers are loaded only when their scheme is asked for.

import { SheafError } from "../base/index.ts";
import type { Engine } from "../journal/index.ts";
import { embeddedEngine } from "./sqlite/index.ts";

export type EngineOptions = {
  readonly maxRecordBytes?: number | undefined;
  /** How long an append is waited for, in milliseconds. */
  readonly patienceMs?: number | undefined;
  /** Told of damage that stops no call yet. */
  readonly report?: ((error: SheafError) => void) | undefined;
  /** Told what the embedded engine did to go on, such as that it killed a process which stood still with the lock. */
  readonly warn?: ((says: string) => void) | undefined;
};

/** One row per scheme; several may name the same engine. */
const schemes: Readonly<Record<string, (url: string, options: EngineOptions) => Promise<Engine>>> = {
  sqlite: (url, options) => embeddedEngine({ dir: directoryIn(url), ...options }),
  postgres,
  postgresql: postgres,
  nats,
  tls: nats,
};

/** Opens the engine at `url`: `sqlite:DIR`, `postgres://…` or `nats://a,b,c`. Rejects USAGE when the address is not understood,
 *  ENGINE_REFUSED when its driver is not installed, and with what the engine itself rejects with. No error repeats the address, which may hold a password. */
export async function openEngine(url: string, options: EngineOptions = {}): Promise<Engine> {
  const scheme = /^([a-z]+):/.exec(url)?.[1] ?? "";
  const open = Object.hasOwn(schemes, scheme) ? schemes[scheme] : undefined;
  if (open) return open(url, options);
  const known = Object.keys(schemes).map((name) => `${name}:`);
  throw new SheafError("USAGE", "the engine's address is not understood", {
    hint: `an address begins with one of ${known.join(", ")}`,
  });
}

async function postgres(url: string, options: EngineOptions): Promise<Engine> {
  const { postgresEngine } = await import("./postgres/index.ts");
  return postgresEngine({ url, ...options });
}

async function nats(url: string, options: EngineOptions): Promise<Engine> {
  const { natsAddress, natsEngine } = await import("./nats/index.ts");
  return natsEngine({ ...natsAddress(url), ...options });
}

function directoryIn(url: string): string {
  const dir = url.slice(url.indexOf(":") + 1).replace(/^\/\/(?=\/)/, "");
  if (dir === "") throw new SheafError("USAGE", "the engine's address names no folder", { hint: "sqlite:DIR" });
  return dir;
}
