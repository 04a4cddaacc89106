// One connection to the server, pipelined: what is asked is sent at once, and answered in order.
//
// L1. Each statement is a transaction of its own. pg resolves it at ReadyForQuery, which the server sends after the commit,
//     not at CommandComplete, which it sends before.
// L2. Once a statement is over its time the connection is dropped, and with it everything asked on it: what a lost answer
//     belongs to could no longer be told.
// L3. A commit whose wait for a synchronous standby was cut short is reported by the server as done, with a warning
//     (PROMISES: it is kept here and nowhere else). Such a statement is unknown.

import { Socket } from "node:net";
import pg from "pg";
import { type Millis, SheafError } from "../../base/index.ts";
import type { Address } from "./address.ts";
import { asConnectError, asStatementError } from "./pg-error.ts";
import { type Session, whyRefused } from "./server-check.ts";

/** Prepared once per connection. */
export type Statement = { readonly name: string; readonly text: string };
export type Value = Buffer | string | number | boolean | null;

export type Link = {
  /** Rows by column name: int8 comes as text. Rejects with a SheafError that says what became of the statement. */
  ask<Row>(statement: Statement | string, values: readonly Value[], patienceMs: Millis): Promise<readonly Row[]>;
  readonly session: Session;
  /** How many statements await their answer. */
  waiting(): number;
  /** Calls `fn` once the connection is gone, at once when it is already. */
  onEnd(fn: () => void): void;
  onNotification(fn: (payload: string) => void): void;
  /** Says goodbye once all is answered. */
  end(): Promise<void>;
};

type Asked = { doubtful: boolean };

/** Statements are planned once, perhaps while tables are empty and reading them whole is cheapest: they never are. */
const setSession = `SELECT set_config('client_encoding', 'UTF8', false), set_config('bytea_output', 'hex', false),
  set_config('search_path', $1, false), set_config('statement_timeout', $2, false), set_config('lock_timeout', '0', false),
  set_config('default_transaction_isolation', 'read committed', false), set_config('jit', 'off', false),
  set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false),
  set_config('application_name', 'sheaf', false),
  set_config('synchronous_commit',
    CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)`;
/** Asked apart from the setting: through a proxy that pools transactions another session may answer. */
const getSession = `SELECT current_setting('server_version_num')::int AS version, current_setting('fsync') AS fsync,
  current_setting('full_page_writes') AS full_page_writes, current_setting('synchronous_commit') AS synchronous_commit,
  pg_is_in_recovery() AS standby, current_setting('transaction_read_only') AS read_only`;

/** Connects, sets the session up and looks whether the server is sound. Rejects ENGINE_REFUSED or ENGINE_UNAVAILABLE; then
 *  nothing was sent that could matter. */
export async function dial(address: Address, patienceMs: Millis): Promise<Link> {
  const socket = new Socket();
  const client = new pg.Client({
    connectionString: address.connectionString,
    pipeline: true,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    stream: () => socket,
  });
  const impatience = setTimeout(() => socket.destroy(new Error("no connection in time")), patienceMs);
  client.on("error", () => {}); // Every statement hears of it, and `onEnd`.
  try {
    await client.connect();
    const ask = asker(client, socket);
    // The server gives a statement up a little before it is given up here: then its answer is certain.
    await ask(setSession, [address.schema, String(Math.ceil(patienceMs * 0.9))], patienceMs);
    const [session] = await ask<Session>(getSession, [], patienceMs);
    const why = whyRefused(session as Session);
    if (why) throw why;
    return linkOf(client, socket, ask, session as Session);
  } catch (error) {
    socket.destroy();
    throw asConnectError(error, address.shown);
  } finally {
    clearTimeout(impatience);
  }
}

type Ask = Link["ask"] & { readonly asked: readonly Asked[] };

function asker(client: pg.Client, socket: Socket): Ask {
  const asked: Asked[] = [];
  client.on("notice", ({ code, severity }) => {
    if (code === "01000" && severity !== "NOTICE" && asked[0]) asked[0].doubtful = true;
  });
  async function ask<Row>(
    statement: Statement | string,
    values: readonly Value[],
    patienceMs: Millis,
  ): Promise<readonly Row[]> {
    const mine: Asked = { doubtful: false };
    const config = typeof statement === "string" ? { text: statement } : statement;
    let answered = false;
    const overdue = (): void =>
      void (answered || socket.destroy(new Error(`no answer within ${Math.round(patienceMs)} ms`)));
    // After a stall of this process the answer may be there, unread: it is read first.
    const impatience = setTimeout(() => setImmediate(overdue), patienceMs);
    asked.push(mine);
    try {
      const { rows } = await client.query<Record<string, unknown>>({ ...config, values: [...values] });
      if (mine.doubtful) throw new Error("the server committed without its synchronous standby");
      return rows as readonly Row[];
    } catch (error) {
      throw asStatementError(error);
    } finally {
      answered = true;
      clearTimeout(impatience);
      asked.splice(asked.indexOf(mine), 1);
    }
  }
  return Object.assign(ask, { asked });
}

function linkOf(client: pg.Client, socket: Socket, ask: Ask, session: Session): Link {
  let ended = false;
  const ends: (() => void)[] = [];
  const end = (): void => {
    ended = true;
    for (const fn of ends.splice(0)) fn();
  };
  client.on("error", end);
  client.on("end", end);
  socket.on("close", end);
  return {
    ask,
    session,
    waiting: () => ask.asked.length,
    onEnd(fn) {
      if (ended) fn();
      else ends.push(fn);
    },
    onNotification: (fn) => void client.on("notification", ({ payload }) => fn(payload ?? "")),
    async end() {
      if (!ended) await client.end();
      socket.destroy();
    },
  };
}

/** Refuses a proxy that gives each transaction another session: what was set on one connection is then seen on the
 *  other, or not seen at all. Both connections must be open. */
export async function checkNotPooled(one: Link, other: Link, patienceMs: Millis): Promise<void> {
  const mark = (link: Link, name: string): Promise<readonly unknown[]> =>
    link.ask("SELECT set_config('sheaf.session', $1, false)", [name], patienceMs);
  const marked = async (link: Link): Promise<unknown> => {
    const [row] = await link.ask<{ name: unknown }>(
      "SELECT current_setting('sheaf.session', true) AS name",
      [],
      patienceMs,
    );
    return row?.name;
  };
  await mark(one, "one");
  await mark(other, "other");
  if ((await marked(one)) === "one" && (await marked(other)) === "other") return;
  throw new SheafError("ENGINE_REFUSED", "a proxy that pools transactions stands before this PostgreSQL server", {
    hint: "connect to the server itself, or set the proxy to pool sessions (PgBouncer: pool_mode = session)",
  });
}
