// How the NATS engine is told where its journals are: options, and their form as an address,
// `nats://user:password@a:4222,b:4222,c:4222/space?replicas=3`. Nothing here repeats what it was given: it may hold a password.

import { SheafError, type Millis } from "../../base/index.ts";

export type NatsOptions = {
  /** "host" or "host:port" of some servers of one NATS cluster. */
  readonly servers: readonly string[];
  /** Sets this Sheaf cluster's streams and subjects apart from others': [a-z0-9-], 1 to 32 characters. "sheaf" when left out. */
  readonly space?: string | undefined;
  /** How many journal streams a new cluster gets, 1 to 16; 4 when left out. Written down when it is created. */
  readonly streams?: number | undefined;
  /** Copies of each journal: what new streams get, and the fewest that existing ones may have. Under 3 is for development. */
  readonly replicas?: number | undefined;
  readonly maxRecordBytes?: number | undefined;
  /** How long an append or a look is tried before its outcome is unknown. */
  readonly patienceMs?: Millis | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly token?: string | undefined;
  /** File with a user's JWT and seed. */
  readonly credentialsFile?: string | undefined;
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** Demands TLS, whatever the server offers. */
  readonly tls?: boolean | undefined;
  /** "http://host:port" of every server's monitoring, where `sync_interval` can be learned. Not learned when left out. */
  readonly monitors?: readonly string[] | undefined;
  /** Whether servers that the given ones tell of are connected to as well; true when left out. */
  readonly discover?: boolean | undefined;
  /** A connection is given up when its server answers neither of two pings, this far apart. 2 s when left out. */
  readonly pingMs?: Millis | undefined;
};

const usage = (says: string): SheafError =>
  new SheafError("USAGE", `the NATS address ${says}`, { hint: "nats://host:4222,host:4222,host:4222" });

const files = { creds: "credentialsFile", ca: "caFile", cert: "certFile", key: "keyFile" } as const;
const counts = ["replicas", "streams"] as const;

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw usage("has a broken % sign");
  }
}

/** Throws USAGE for a space that could mean more than itself in a subject. */
export function checkedSpace(space: string): string {
  if (/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/.test(space)) return space;
  throw usage("names a space that is not 1 to 32 of a-z, 0-9 and -");
}

const addresses = (text: string): readonly string[] =>
  text.split(",").map((one) => {
    if (/^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?$/.test(one)) return one;
    throw usage("has a host that is none");
  });

/** The options that an address stands for. Throws USAGE. */
export function natsAddress(url: string): NatsOptions {
  const parts = /^(nats|tls):\/\/(?:([^@/?#]*)@)?([^/?#@]+)(?:\/([^?#]*))?(?:\?([^#]*))?$/.exec(url);
  if (!parts) throw usage("is not understood");
  const [, scheme, who, hosts, space, query] = parts;
  const options: Record<string, unknown> = { servers: addresses(hosts as string), tls: scheme === "tls" || undefined };
  if (space) options["space"] = checkedSpace(space);
  if (who !== undefined) {
    const [user, ...rest] = who.split(":");
    if (rest.length === 0) options["token"] = decoded(who);
    else Object.assign(options, { user: decoded(user as string), password: decoded(rest.join(":")) });
  }
  for (const [name, value] of new URLSearchParams(query ?? "")) {
    const count = counts.find((one) => one === name);
    if (count) options[count] = /^\d{1,2}$/.test(value) ? Number(value) : 0;
    else if (Object.hasOwn(files, name)) options[files[name as keyof typeof files]] = value;
    else if (name === "monitor") options["monitors"] = addresses(value).map((one) => `http://${one}`);
    else throw usage(`has a setting that is none of ${[...counts, ...Object.keys(files), "monitor"].join(", ")}`);
  }
  return options as NatsOptions;
}
