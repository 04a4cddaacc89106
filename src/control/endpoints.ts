// Services outside of the cluster: their addresses on the cluster's own shards, registered by operators and found by every node.
//
// D1. A change is effective everywhere within `cacheMs` of being acknowledged.
// D2. When addresses cannot be looked up, those that were last known are used: they are addresses, not permissions.

import { nearest, SheafError, type Millis, type Tick } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import type { Calls } from "../rpc/index.ts";
import type { Principal } from "../security/index.ts";
import { Endpoint, mostUrls } from "./endpoint-entity.ts";
import { system } from "../security/index.ts";
import type { Search } from "./keys.ts";

export type EndpointView = {
  readonly name: string;
  readonly urls: readonly string[];
  readonly private: boolean;
  readonly changedBy: string;
};

export type EndpointOptions = {
  /** Of the service. */
  readonly name: string;
  readonly url: string;
  /** It may be of a private network or of this machine, and without TLS. */
  readonly private: boolean;
};

export interface Endpoints {
  /** Adds an address of a service. UNKNOWN_TARGET for a service that the application does not call outside, BAD_INPUT for an
   *  address that none may have, or that is one too many. */
  add(by: Principal, options: EndpointOptions): Promise<EndpointView>;
  /** Removes an address, or all of them. NOT_FOUND when there is none. */
  remove(by: Principal, name: string, url: string | undefined): Promise<void>;
  list(after: string | undefined, limit: number): Promise<readonly EndpointView[]>;
}

/** Where a service is. */
export type Registered = Pick<EndpointView, "urls" | "private">;

type Ports = { readonly host: Pick<Host, "clock" | "log">; readonly calls: Calls };

const cacheMs: Millis = 3_000;
const lookupMs: Millis = 2_000;
const commandMs: Millis = 10_000;
const mostUrlLength = 512;
const names = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;

const asker =
  ({ host: { clock }, calls }: Ports) =>
  async (kind: "command" | "query", key: string, name: string, input: unknown, ms: Millis): Promise<unknown> => {
    const target = { kind, entity: Endpoint.name, key, name };
    return (await calls.call({ target, input, principal: system, deadline: clock.tick() + ms })).output;
  };

export type BookPorts = Ports & {
  readonly search: Search;
  /** Services that the application declares as external, as it is now; any when absent. */
  readonly declared?: (() => readonly string[]) | undefined;
};

/** Throws UNKNOWN_TARGET with the names that may have been meant. */
function checkDeclared(name: string, declared: readonly string[]): void {
  if (declared.includes(name)) return;
  throw new SheafError("UNKNOWN_TARGET", `the application here declares no outside service "${name}"`, {
    hint:
      declared.length === 0
        ? "It declares none: name its contract under external of app()."
        : `It declares ${nearest(name, declared).join(", ")}.`,
  });
}

/** What operators do with endpoints. */
export function endpointBook(ports: BookPorts): Endpoints {
  const ask = asker(ports);
  const { log } = ports.host;
  return {
    async add(by, options) {
      const { name, url } = checkedEndpoint(options);
      if (ports.declared) checkDeclared(name, ports.declared());
      try {
        await ask("command", name, "add", { url, private: options.private, by: by.id }, commandMs);
      } catch (error) {
        if (error instanceof SheafError && error.error === "FULL")
          throw new SheafError("BAD_INPUT", `${name} has ${mostUrls} addresses, and may have no more`, {
            cause: error,
          });
        throw error;
      }
      log.info("an address of an outside service was added", { service: name, url, by: by.id });
      return { name, ...((await ask("query", name, "get", undefined, lookupMs)) as Omit<EndpointView, "name">) };
    },
    async remove(by, name, url) {
      try {
        await ask("command", name, "remove", { url: url ?? "", by: by.id }, commandMs);
      } catch (error) {
        if (error instanceof SheafError && error.error === "UNKNOWN")
          throw new SheafError("NOT_FOUND", `${name} has no such address`, {
            hint: "see: sheaf endpoint ls",
            cause: error,
          });
        throw error;
      }
      log.info("an address of an outside service was removed", { service: name, url: url ?? "all", by: by.id });
    },
    async list(after, limit) {
      const found = await ports.search(Endpoint.name, "", after, limit);
      return found.map(({ key, state }) => ({ name: key, ...(state as Omit<EndpointView, "name">) }));
    },
  };
}

/** Throws BAD_INPUT unless it is the name of a service and an address that one may have: nothing in it but scheme, host, port and path,
 *  and TLS unless it is private. Where the name of the host leads is looked at when it is called. */
export function checkedEndpoint({ name, url: given, private: open }: EndpointOptions): { name: string; url: string } {
  const refuse = (path: string, message: string): never => {
    throw new SheafError("BAD_INPUT", `not an address of a service: ${message}`, {
      issues: [{ path: [path], message }],
    });
  };
  if (!names.test(name)) refuse("name", 'the name of a service: 1 to 64 letters, digits, "_" and "-"');
  const url = given.length <= mostUrlLength && URL.canParse(given) ? new URL(given) : undefined;
  if (!url || (url.protocol !== "https:" && url.protocol !== "http:"))
    return refuse("url", `an http or https URL of up to ${mostUrlLength} characters`);
  if (url.protocol === "http:" && !open) refuse("url", "https, unless it is a private address (--private)");
  if (url.username !== "" || url.password !== "")
    refuse("url", "no user and no password: everybody who may look would see them");
  if (url.search !== "" || url.hash !== "" || /[?#]$/.test(given))
    refuse("url", "no query and no fragment: the procedure is added to the path");
  return { name, url: url.href.replace(/\/+$/, "") };
}

/** Looks up where a service is; undefined when nowhere. Rejects with what the look-up met when nothing was known before, and with
 *  DEADLINE when it takes longer than whoever asks has time. */
export function endpointFinder(ports: Ports): (name: string, deadline: Tick) => Promise<Registered | undefined> {
  const ask = asker(ports);
  const { clock, log } = ports.host;
  const known = new Map<string, { readonly since: Tick; readonly found: Promise<Registered> }>();
  return async (name, deadline) => {
    const before = known.get(name);
    if (before && clock.tick() - before.since < cacheMs) return some(await inTime(before.found, deadline, clock));
    const found = ask("query", name, "get", undefined, lookupMs).catch((error: unknown) => {
      if (!before) throw error;
      log.warn("the addresses of an outside service cannot be looked up; those last known are used", { service: name });
      return before.found;
    }) as Promise<Registered>;
    const entry = { since: clock.tick(), found };
    known.set(name, entry);
    found.catch(() => known.get(name) === entry && known.delete(name));
    if (!before) return some(await inTime(found, deadline, clock));
    // Time is left to call at the address last known (D2).
    const half = (clock.tick() + deadline) / 2;
    return some(await inTime(found, half, clock).catch(() => before.found));
  };
}

/** Settles as the look-up does, or rejects with DEADLINE: nothing has been sent by then. */
function inTime<T>(found: Promise<T>, deadline: Tick, clock: Host["clock"]): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = (): void => reject(new SheafError("DEADLINE", undefined, { outcome: "not-applied" }));
    const timer = clock.after(Math.max(0, deadline - clock.tick()), late);
    found.then(
      (value) => (timer.cancel(), resolve(value)),
      (error: Error) => (timer.cancel(), reject(error)),
    );
  });
}

const some = (found: Registered): Registered | undefined => (found.urls.length > 0 ? found : undefined);
