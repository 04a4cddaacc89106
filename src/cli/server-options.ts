// What `start` and `dev` were asked for, checked and complete: plain data, so that it can be handed to a child process.

import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Limits, SheafError } from "../base/index.ts";
import { checkNodeName } from "../security/index.ts";
import { type Context, parseCount, parseSpan } from "./context.ts";
import { limitsOf } from "./limit-flags.ts";
import type { AskedApart } from "../node/index.ts";
import { maxSessionShards } from "../rpc/index.ts";

/** As the command line gives them. */
export type ServerFlags = {
  readonly data?: string;
  readonly port?: string;
  readonly adminPort?: string;
  readonly host: string;
  readonly cluster?: string;
  readonly shards?: string;
  readonly apart?: readonly string[];
  readonly encryptionKeyFile?: string;
  readonly engine?: string;
  readonly nodes?: string;
  readonly name?: string;
  readonly zone?: string;
  readonly weight?: string;
  readonly roles?: string;
  readonly copies?: string;
  readonly peerHost?: string;
  readonly peerPort?: string;
  readonly advertise?: string;
  readonly join?: string;
  readonly limit?: readonly string[];
  readonly grace?: string;
  readonly insecure?: boolean;
  readonly create?: boolean;
};

export type Port = { readonly number: number; /** Named by the user: no other will do. */ readonly explicit: boolean };

/** How a node meets the others of its cluster, and where it is in it. */
export type MeetingOptions = {
  /** Undefined: what its folder remembers, or else one made up. */
  readonly name: string | undefined;
  /** Folder of the cluster's certificate authority, for nodes that have it within reach. */
  readonly authority: string;
  /** Without certificates, for nodes of one machine whose callers need no keys either. */
  readonly plain: boolean;
  /** `HOST:PORT#TOKEN` */
  readonly join: string | undefined;
  readonly host: string;
  readonly port: number;
  readonly advertise: string | undefined;
  readonly zone: string | undefined;
  readonly weight: number | undefined;
  /** What the nodes host; everything when undefined. */
  readonly roles: readonly string[] | undefined;
  readonly copies: number | undefined;
};

export type ServerOptions = {
  readonly mode: "dev" | "start";
  readonly app: string;
  /** The node's own folder. */
  readonly data: string;
  /** Folder of what the nodes that one command runs have together; `data` of the first of them. */
  readonly home: string;
  /** Address of the engine. */
  readonly engine: string;
  /** Folder of the embedded engine; undefined for another. */
  readonly engineFolder: string | undefined;
  /** Undefined for a node that is alone. */
  readonly meeting: MeetingOptions | undefined;
  /** Another process of ours keeps this one running. */
  readonly supervised: boolean;
  readonly host: string;
  readonly port: Port;
  readonly adminPort: Port;
  readonly cluster: string | undefined;
  readonly shards: number | undefined;
  readonly apart: readonly AskedApart[] | undefined;
  /** Hexadecimal. */
  readonly encryptionKey: string | undefined;
  /** Those that differ from the defaults. */
  readonly limits: Partial<Limits>;
  /** Every caller is let in. */
  readonly insecure: boolean;
  /** How long calls are still taken after it was asked to stop, while `/readyz` says that it is not ready. */
  readonly graceMs: number;
  readonly create: boolean;
};

const loopback = /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/;

/** The options of each node that the command is to run: one, or as many as `--nodes` says. */
export function serverOptions(
  context: Pick<Context, "cwd" | "env">,
  mode: "dev" | "start",
  app: string,
  flags: ServerFlags,
): readonly [ServerOptions, ...ServerOptions[]] {
  const host = flags.host;
  // dev lets everybody in, so it never listens where others can reach it.
  const insecure = mode === "dev" || flags.insecure === true;
  if (insecure && !loopback.test(host)) throw openToOthers(mode, host);
  const engine = engineOf(context, flags);
  const nodes = flags.nodes === undefined ? 1 : parseCount(flags.nodes, "--nodes", 1, mostNodes);
  const data = resolve(context.cwd, flags.data ?? engine.folder ?? usualFolder);
  const first: ServerOptions = {
    mode,
    app,
    data,
    home: data,
    engine: engine.url ?? `sqlite:${data}`,
    engineFolder: engine.url === undefined ? data : engine.folder,
    meeting: undefined,
    supervised: mode === "dev" || nodes > 1,
    host,
    port: port(flags.port ?? context.env["SHEAF_PORT"], 4000, "--port"),
    adminPort: port(flags.adminPort ?? context.env["SHEAF_ADMIN_PORT"], 4001, "--admin-port"),
    cluster: flags.cluster,
    shards: flags.shards === undefined ? undefined : parseCount(flags.shards, "--shards", 1, maxSessionShards),
    apart: flags.apart?.map(apartFrom),
    encryptionKey: encryptionKey(context, flags.encryptionKeyFile),
    limits: limitsOf(context, flags.limit ?? []),
    insecure,
    graceMs: graceOf(mode, host, flags.grace),
    create: mode === "dev" || flags.create === true,
  };
  const isAlone = nodes === 1 && first.engineFolder === data && meetingFlags.every((name) => flags[name] === undefined);
  if (isAlone) return [first];
  const meeting = meetingOptions(first, flags, nodes);
  const [, ...more] = Array.from({ length: nodes }, (_, i) => i + 1);
  return [nodeOf(first, meeting, 1, nodes), ...more.map((number) => nodeOf(first, meeting, number, nodes))];
}

/** Where others reach the gateway, something that looks at `/readyz` now and then is likely to send them there. */
const usualGraceMs = 5_000;

function graceOf(mode: "dev" | "start", host: string, given: string | undefined): number {
  if (given !== undefined) return parseSpan(given, "--grace");
  return mode === "dev" || loopback.test(host) ? 0 : usualGraceMs;
}

/** The node of that number among those that one command runs. The first has the folder and the ports that were named. */
function nodeOf(first: ServerOptions, meeting: MeetingOptions, number: number, nodes: number): ServerOptions {
  const hasWholeFolder = first.engineFolder === first.data;
  const name =
    nodes === 1 || (meeting.name === undefined && !hasWholeFolder)
      ? meeting.name
      : `${meeting.name ?? "node"}-${number}`;
  const next = ({ number: port, explicit }: Port): Port =>
    number === 1 || port === 0
      ? { number: port, explicit }
      : { number: (port + 2 * (number - 1)) % 65_536, explicit: false };
  return {
    ...first,
    data: number === 1 ? first.data : join(first.data, `node-${number}`),
    port: next(first.port),
    adminPort: next(first.adminPort),
    meeting: { ...meeting, name },
  };
}

/** What makes even a single node one among others. */
const meetingFlags = [
  "name",
  "zone",
  "weight",
  "roles",
  "copies",
  "peerHost",
  "peerPort",
  "advertise",
  "join",
] as const;
export const usualFolder = ".sheaf";
const mostNodes = 64;

function meetingOptions(first: ServerOptions, flags: ServerFlags, nodes: number): MeetingOptions {
  const { engineFolder, home, insecure } = first;
  const host = flags.peerHost ?? "127.0.0.1";
  if (nodes > 1 && flags.join !== undefined) {
    throw new SheafError("USAGE", "a join token lets in one node", {
      hint: "Leave --nodes out, and start one node per token.",
    });
  }
  if (nodes > 1 && flags.peerPort !== undefined && flags.peerPort !== "0") {
    throw new SheafError("USAGE", "one port cannot be that of several nodes", {
      hint: "Leave --peer-port or --nodes out.",
    });
  }
  return {
    name: flags.name === undefined ? undefined : checkNodeName(flags.name),
    authority: join(engineFolder ?? home, "ca"),
    plain: engineFolder === undefined && insecure && loopback.test(host) && flags.join === undefined,
    join: flags.join,
    host,
    port: flags.peerPort === undefined ? 0 : parseCount(flags.peerPort, "--peer-port", 0, 65_535),
    advertise: flags.advertise,
    zone: flags.zone,
    weight: flags.weight === undefined ? undefined : parseCount(flags.weight, "--weight", 0, 1_000_000),
    roles: flags.roles?.split(",").map((role) => role.trim()),
    copies: flags.copies === undefined ? undefined : parseCount(flags.copies, "--copies", 1, 16),
  };
}

function openToOthers(mode: "dev" | "start", host: string): SheafError {
  const what = mode === "dev" ? "sheaf dev lets every caller in, so it" : "--insecure lets every caller in, so it";
  return new SheafError("USAGE", `${what} listens on a loopback address only, not on ${host}`, {
    hint:
      mode === "dev"
        ? "Use sheaf start to serve other machines."
        : "Add --host 127.0.0.1, or leave --insecure out and make keys with sheaf key create.",
  });
}

/** `order` or `order+cart:16`: entities that share shards, and how many shards they have. */
function apartFrom(text: string): AskedApart {
  const [names = "", shards, ...more] = text.split(":");
  if (more.length > 0) throw new SheafError("USAGE", `--apart takes ENTITY[+ENTITY…][:SHARDS], not ${text}`);
  return {
    entities: names.split("+").map((name) => name.trim()),
    ...(shards !== undefined && { shards: parseCount(shards, "--apart", 1, maxSessionShards) }),
  };
}

/** As people call it; never its address, which may hold a password. */
export function engineName({ engine }: ServerOptions): string {
  const scheme = engine.slice(0, engine.indexOf(":"));
  return scheme === "sqlite" ? "embedded" : scheme.startsWith("postgres") ? "PostgreSQL" : "NATS";
}

function port(text: string | undefined, usual: number, option: string): Port {
  if (text === undefined || text === "") return { number: usual, explicit: false };
  return { number: parseCount(text, option, 0, 65_535), explicit: true };
}

/** Undefined: the embedded engine in the data folder. No error repeats the address: it may hold a password. */
export function engineOf(
  context: Pick<Context, "cwd" | "env">,
  flags: Pick<ServerFlags, "engine">,
): { readonly url: string | undefined; readonly folder: string | undefined } {
  const url = flags.engine ?? (context.env["SHEAF_ENGINE"] || undefined);
  if (url === undefined) return { url, folder: undefined };
  const scheme = /^([a-z]+):./.exec(url)?.[1];
  if (scheme === "sqlite") {
    const folder = resolve(context.cwd, url.slice("sqlite:".length).replace(/^\/\/(?=\/)/, ""));
    return { url: `sqlite:${folder}`, folder };
  }
  if (scheme !== undefined && ["postgres", "postgresql", "nats", "tls"].includes(scheme))
    return { url, folder: undefined };
  throw new SheafError("USAGE", "--engine is the address of an engine", {
    hint: "sqlite:DIR, postgres://USER@HOST/DATABASE, or nats://HOST:4222,HOST:4222",
  });
}

/** 32 bytes from the file or the environment, as hexadecimal. */
export function encryptionKey(context: Pick<Context, "cwd" | "env">, file: string | undefined): string | undefined {
  let text = context.env["SHEAF_ENCRYPTION_KEY"];
  if (file !== undefined) {
    try {
      text = readFileSync(resolve(context.cwd, file), "utf8");
    } catch (error) {
      throw new SheafError("USAGE", `--encryption-key-file cannot be read: ${(error as Error).message}`);
    }
  }
  if (text === undefined || text === "") return undefined;
  const trimmed = text.trim();
  const bytes = /^[0-9a-fA-F]{64}$/.test(trimmed) ? Buffer.from(trimmed, "hex") : Buffer.from(trimmed, "base64");
  if (bytes.length === 32 && /^[A-Za-z0-9+/=_-]+$/.test(trimmed)) return bytes.toString("hex");
  throw new SheafError("USAGE", "an encryption key is 32 bytes, as 64 hexadecimal digits or as base64", {
    hint: "Make one: openssl rand -hex 32 > sheaf.key",
  });
}
