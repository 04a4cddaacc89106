// API keys on the cluster's own shards: made, revoked and listed for operators, and looked up for the gateways.
//
// C1. A revocation is effective everywhere within `cacheMs` of being acknowledged: what a gateway remembers of a key is that old at most,
//     counted from before the look-up began. On the gateway that revoked it, at once.
// C2. When a look-up fails nobody is let in; the refusal says that nothing was applied.

import { asSheafError, SheafError, type Instant, type Millis, type Tick } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { Calls } from "../rpc/index.ts";
import {
  judgeKey,
  keyIdOf,
  mintKey,
  roles as knownRoles,
  type Authentication,
  type Authenticator,
  type Credentials,
  type KeyRecord,
  type Principal,
  system,
} from "../security/index.ts";
import { Key } from "./key-entity.ts";

/** What an operator sees of a key. */
export type KeyView = {
  readonly id: string;
  readonly name: string;
  readonly roles: readonly string[];
  readonly createdAt: Instant;
  readonly createdBy: string;
  readonly expiresAt: Instant | null;
  readonly revokedAt: Instant | null;
  /** To the minute; null when never used. */
  readonly lastUsedAt: Instant | null;
};

export type NewKeyOptions = {
  readonly name: string;
  readonly roles: readonly string[];
  readonly expiresAt?: Instant | null | undefined;
};

/** Finds keys: entities of a type in key order, after `after`. */
export type Search = (
  type: string,
  prefix: string,
  after: string | undefined,
  limit: number,
) => Promise<readonly { readonly key: string; readonly state: unknown }[]>;

export type KeysOptions = { readonly host: Host; readonly calls: Calls; readonly search: Search };

export interface Keys extends Authenticator {
  /** Makes a key. `key` is its text, which is nowhere else and is never shown again. BAD_INPUT for unknown roles or an odd name. */
  create(by: Principal, options: NewKeyOptions): Promise<{ readonly id: string; readonly key: string }>;
  /** Revokes a key for good; again does nothing. NOT_FOUND when there is none of that id. */
  revoke(by: Principal, id: string): Promise<void>;
  list(after: string | undefined, limit: number): Promise<readonly KeyView[]>;
}

/** How old what a gateway remembers of a key may be; leaves a look-up two seconds within the promised five. */
export const cacheMs: Millis = 3_000;
const lookupMs: Millis = 2_000;
const commandMs: Millis = 10_000;
const touchEveryMs: Millis = 60_000;
const maxRemembered = 10_000;

type Remembered = { readonly since: Tick; readonly record: Promise<KeyRecord> };
type StoredKey = KeyRecord & Omit<KeyView, "id">;

function checkOptions(options: NewKeyOptions): void {
  const issues = [];
  if (!/^[^\p{Cc}]{1,100}$/u.test(options.name)) issues.push({ path: ["name"], message: "1 to 100 characters" });
  if (options.roles.length === 0) issues.push({ path: ["roles"], message: "at least one role" });
  options.roles.forEach((role, i) => {
    if (!knownRoles.includes(role)) issues.push({ path: ["roles", i], message: `one of ${knownRoles.join(", ")}` });
  });
  if (issues.length > 0) throw new SheafError("BAD_INPUT", "the key cannot be made", { issues });
}

export function apiKeys({ host, calls, search }: KeysOptions): Keys {
  const { clock, crypto, dice, log } = host;
  const remembered = new Map<string, Remembered>();
  const touched = new Map<string, Tick>();

  const ask = async (
    kind: "command" | "query",
    id: string,
    name: string,
    input: unknown,
    ms: Millis,
  ): Promise<unknown> => {
    const target = { kind, entity: Key.name, key: id, name };
    return (await calls.call({ target, input, principal: system, deadline: clock.tick() + ms })).output;
  };

  const lookUp = (id: string): Promise<KeyRecord> => {
    const found = remembered.get(id);
    if (found !== undefined && clock.tick() - found.since < cacheMs) return found.record;
    const record = ask("query", id, "get", undefined, lookupMs) as Promise<KeyRecord>;
    const mine: Remembered = { since: clock.tick(), record };
    const forget = (): void => void (remembered.get(id) === mine && remembered.delete(id));
    // Guesses are not remembered, so they cannot crowd out keys that exist; failures are not remembered either.
    record.then(({ hash }) => hash === "" && forget(), forget);
    remembered.delete(id);
    remembered.set(id, mine);
    bound(remembered);
    return record;
  };

  /** Notes the use of a key at most once a minute, waiting for nothing: losing one costs a minute's precision. */
  const touch = (id: string): void => {
    const last = touched.get(id);
    if (last !== undefined && clock.tick() - last < touchEveryMs) return;
    touched.delete(id);
    touched.set(id, clock.tick());
    bound(touched);
    ask("command", id, "touch", Math.floor(clock.now()), commandMs).catch((error: unknown) =>
      log.debug("a key's use was not noted", { key: id, cause: error }),
    );
  };

  const authenticate = async ({ bearer }: Credentials): Promise<Authentication> => {
    if (bearer === undefined) return { ok: false, reason: "missing" };
    const id = keyIdOf(bearer, crypto);
    if (id === undefined) return { ok: false, reason: "malformed" };
    const record = await lookUp(id).catch((error: unknown) => {
      throw new SheafError("NOT_READY", "the key could not be checked now", { cause: asSheafError(error) });
    });
    const verdict = judgeKey(record, bearer, clock.now(), crypto);
    if (verdict !== "good") return { ok: false, reason: verdict };
    touch(id);
    return { ok: true, principal: { id: `key:${id}`, roles: record.roles } };
  };

  return {
    authenticate,
    async create(by, options) {
      checkOptions(options);
      const { id, text, hash } = mintKey(dice, crypto);
      const { name, roles, expiresAt = null } = options;
      await ask("command", id, "create", { hash, name, roles: [...roles], by: by.id, expiresAt }, commandMs);
      log.info("an API key was made", { key: id, name, roles, by: by.id });
      return { id, key: text };
    },
    async revoke(by, id) {
      try {
        await ask("command", id, "revoke", undefined, commandMs);
      } catch (error) {
        if (error instanceof SheafError && error.error === "UNKNOWN")
          throw new SheafError("NOT_FOUND", "there is no key of that id", { cause: error });
        throw error;
      } finally {
        remembered.delete(id);
      }
      log.info("an API key was revoked", { key: id, by: by.id });
    },
    async list(after, limit) {
      const found = await search(Key.name, "", after, limit);
      return found.map(({ key, state }) => {
        const { hash: _, ...view } = state as StoredKey;
        return { id: key, ...view };
      });
    },
  };
}

function bound(map: Map<string, unknown>): void {
  for (const oldest of map.keys()) {
    if (map.size <= maxRemembered) return;
    map.delete(oldest);
  }
}
