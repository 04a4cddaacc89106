// What `start` and `dev` were asked for, checked and complete: plain data, so that it can be handed to a child process.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { type Limits, SheafError } from "../base/index.ts";
import { type Context, parseCount } from "./context.ts";
import { limitsOf } from "./limit-flags.ts";
import { maxSessionShards } from "../rpc/index.ts";

/** As the command line gives them. */
export type ServerFlags = {
  readonly data: string;
  readonly port?: string;
  readonly adminPort?: string;
  readonly host: string;
  readonly cluster?: string;
  readonly shards?: string;
  readonly encryptionKeyFile?: string;
  readonly engine?: string;
  readonly nodes?: string;
  readonly limit?: readonly string[];
  readonly insecure?: boolean;
  readonly create?: boolean;
};

export type Port = { readonly number: number; /** Named by the user: no other will do. */ readonly explicit: boolean };

export type ServerOptions = {
  readonly mode: "dev" | "start";
  readonly app: string;
  readonly data: string;
  readonly host: string;
  readonly port: Port;
  readonly adminPort: Port;
  readonly cluster: string | undefined;
  readonly shards: number | undefined;
  /** Hexadecimal. */
  readonly encryptionKey: string | undefined;
  /** Those that differ from the defaults. */
  readonly limits: Partial<Limits>;
  /** Every caller is let in. */
  readonly insecure: boolean;
  readonly create: boolean;
};

const loopback = /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/;

export function serverOptions(context: Context, mode: "dev" | "start", app: string, flags: ServerFlags): ServerOptions {
  if (flags.nodes !== undefined && parseCount(flags.nodes, "--nodes", 1, 1024) > 1) {
    throw new SheafError("USAGE", "this release runs one node per cluster", {
      hint: "Leave --nodes out; several nodes come with the cluster release.",
    });
  }
  const host = flags.host;
  // dev lets everybody in, so it never listens where others can reach it.
  const insecure = mode === "dev" || flags.insecure === true;
  if (insecure && !loopback.test(host)) {
    const what = mode === "dev" ? "sheaf dev lets every caller in, so it" : "--insecure lets every caller in, so it";
    throw new SheafError("USAGE", `${what} listens on a loopback address only, not on ${host}`, {
      hint:
        mode === "dev"
          ? "Use sheaf start to serve other machines."
          : "Add --host 127.0.0.1, or leave --insecure out and make keys with sheaf key create.",
    });
  }
  const data = dataFolder(context, flags);
  return {
    mode,
    app,
    data,
    host,
    port: port(flags.port ?? context.env["SHEAF_PORT"], 4000, "--port"),
    adminPort: port(flags.adminPort ?? context.env["SHEAF_ADMIN_PORT"], 4001, "--admin-port"),
    cluster: flags.cluster,
    shards: flags.shards === undefined ? undefined : parseCount(flags.shards, "--shards", 1, maxSessionShards),
    encryptionKey: encryptionKey(context, flags.encryptionKeyFile),
    limits: limitsOf(context, flags.limit ?? []),
    insecure,
    create: mode === "dev" || flags.create === true,
  };
}

function port(text: string | undefined, usual: number, option: string): Port {
  if (text === undefined || text === "") return { number: usual, explicit: false };
  return { number: parseCount(text, option, 0, 65_535), explicit: true };
}

/** The embedded engine keeps its file in the data folder; `--engine sqlite:DIR` is another way to name that folder. */
function dataFolder(context: Context, flags: ServerFlags): string {
  const { engine } = flags;
  if (engine === undefined) return resolve(context.cwd, flags.data);
  const kind = /^([a-z]+):/.exec(engine)?.[1];
  if (kind === "sqlite") return resolve(context.cwd, engine.slice("sqlite:".length));
  const later =
    kind === "postgres" || kind === "postgresql" || kind === "nats" || ["postgres", "nats"].includes(engine);
  const message = later ? `the ${kind ?? engine} engine is not in this release` : `"${engine}" names no engine`;
  throw new SheafError("USAGE", message, { hint: "The embedded engine is sqlite:DIR, and the default." });
}

/** 32 bytes from the file or the environment, as hexadecimal. */
function encryptionKey(context: Context, file: string | undefined): string | undefined {
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
