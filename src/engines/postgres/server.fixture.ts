// A PostgreSQL server of a test file's own: a cluster made by initdb in a temporary folder, reached by a Unix socket in that
// folder, run by this process and gone with it. Without a port there is nothing to collide with.

import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, chownSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import pg from "pg";
import { findPostgres, postgresHint } from "../../../scripts/postgres.mjs";

export type Server = {
  /** Folder of its socket. */
  readonly dir: string;
  /** The address of a database, as the superuser. */
  url(database?: string): string;
  /** Runs statements as the superuser. */
  sql(text: string, values?: readonly unknown[], database?: string): Promise<readonly Record<string, unknown>[]>;
  /** `immediate` is as a crash: what is under way is lost, and the log is replayed at the next start. */
  stop(how: "fast" | "immediate"): Promise<void>;
  /** Starts it again, with more settings when given. */
  start(settings?: Readonly<Record<string, string>>): Promise<void>;
  /** Stops it and removes its folder. */
  destroy(): Promise<void>;
};

const port = 5432;

const programs = findPostgres() as { readonly initdb: string; readonly postgres: string } | undefined;
if (programs === undefined && process.env["CI"] !== undefined)
  throw new Error(`there is no PostgreSQL to test with; run: ${postgresHint}`);

/** A test that needs a server: left out where there is none, which CI never is. */
export const serverTest = (name: string, run: () => Promise<void>): void =>
  void test(name, { skip: programs === undefined && `there is no PostgreSQL; run: ${postgresHint}` }, run);

/** One server for a whole test file, started when it is first asked for. */
export function serverOfThisFile(settings: Readonly<Record<string, string>> = {}): () => Promise<Server> {
  let server: Promise<Server> | undefined;
  after(async () => (await server)?.destroy());
  return () => (server ??= startServer(settings));
}

/** The server refuses to run as root: then it runs as somebody who may do nothing else. */
function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const idOf = (flag: string, user: string): number => Number(execFileSync("id", [flag, user], { stdio: "pipe" }));
  try {
    return { uid: idOf("-u", "postgres"), gid: idOf("-g", "postgres") };
  } catch {
    return { uid: idOf("-u", "nobody"), gid: idOf("-g", "nobody") };
  }
}

/** The program as that user, and ended when this process is killed: no test leaves a server behind. */
function command(as: { uid: number; gid: number } | undefined, words: readonly string[]): [string, string[]] {
  const who = as ? [`--reuid=${as.uid}`, `--regid=${as.gid}`, "--clear-groups"] : [];
  return ["setpriv", [...who, "--pdeathsig", "QUIT", ...words]];
}

/** A socket's path is at most about a hundred bytes, so the folder is right below the system's. */
export async function startServer(settings: Readonly<Record<string, string>> = {}): Promise<Server> {
  if (!programs) throw new Error(`there is no PostgreSQL; run: ${postgresHint}`);
  const { initdb, postgres } = programs;
  const dir = mkdtempSync(join(tmpdir(), "sheaf-pg-"));
  const as = unprivileged();
  if (as) chownSync(dir, as.uid, as.gid);
  const folder = join(dir, "data");
  const env = { ...process.env, LC_ALL: "C" };
  const asked = ["-D", folder, "-U", "sheaf", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"];
  execFileSync(initdb, asked, { ...as, env, cwd: dir, stdio: "pipe" });
  let child: ChildProcess | undefined;

  async function start(more: Readonly<Record<string, string>> = {}): Promise<void> {
    const lines = Object.entries(more).map(([name, value]) => `${name} = '${value}'\n`);
    appendFileSync(join(folder, "postgresql.conf"), lines.join(""));
    const started = spawn(...command(as, [postgres, "-D", folder, "-k", dir, "-p", String(port)]), {
      env,
      cwd: dir,
      stdio: ["ignore", "ignore", "pipe"],
    });
    child = started;
    let said = "";
    await new Promise<void>((resolve, reject) => {
      started.stderr.setEncoding("utf8").on("data", (text: string) => {
        said = `${said}${text}`.slice(-4000);
        if (said.includes("ready to accept")) resolve();
      });
      started.once("exit", () => reject(new Error(`the server did not start:\n${said}`)));
      started.once("error", reject);
    });
    started.stderr.removeAllListeners("data").resume();
  }
  async function stop(how: "fast" | "immediate"): Promise<void> {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill(how === "fast" ? "SIGINT" : "SIGQUIT");
    await gone;
  }
  const url = (database = "postgres"): string => `postgres://sheaf@localhost/${database}?host=${dir}&port=${port}`;

  await start({
    listen_addresses: "",
    shared_buffers: "32MB",
    max_connections: "100",
    log_min_messages: "log",
    ...settings,
  });
  return {
    dir,
    url,
    async sql(text, values = [], database = "postgres") {
      const client = new pg.Client({ connectionString: url(database) });
      await client.connect();
      try {
        const { rows } = await client.query<Record<string, unknown>>(text, [...values]);
        return rows;
      } finally {
        await client.end();
      }
    },
    stop,
    start,
    async destroy() {
      await stop("immediate");
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
