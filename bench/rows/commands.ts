// S2 and the hot key: a durable command from a `connect()` client in another process, 1,000 keys or one, acknowledged after it is
// durable, on each engine.

import { works } from "../../src/cli/bench.ts";
import type { Contender } from "../contender.ts";
import { rawDurable, sqliteCommit, subjectAppend, unnestAppend } from "../limits.ts";
import { embedded, ours } from "../ours.ts";
import { rateCheck, timeCheck } from "../outcome.ts";
import { type Beside, peer } from "../peer.ts";
import type { EngineName, Row } from "../row.ts";
import {
  emptyDatabase,
  ensureRedis,
  groundOf,
  natsGround,
  type Postgres,
  postgresServer,
  startRedis,
  startRestate,
  startRivet,
} from "../servers.ts";
import type { Work } from "../ours.ts";

const levels = [1, 64, 512];
const keys = 1000;
const write: Work = (client, n) => works.write.once(client, n, keys);

const inDatabase = (postgres: Postgres) => async (): Promise<Beside> => {
  const { url, pids, stop } = await emptyDatabase(postgres);
  return { given: url, pids, stop };
};
const dbos = (postgres: Postgres): Contender => peer("DBOS on PostgreSQL", "dbos", inDatabase(postgres));
const update = (postgres: Postgres): Contender =>
  peer("PostgreSQL, UPDATE each", "postgres-update", inDatabase(postgres));
const redis = peer("Redis, appendfsync always", "redis", startRedis);
const restate = peer("Restate", "restate", startRestate);
const rivetkit = peer("rivetkit", "rivetkit", startRivet);

async function withPostgres<T>(run: (postgres: Postgres) => Promise<T>): Promise<T> {
  const postgres = await postgresServer();
  try {
    return await run(postgres);
  } finally {
    await postgres.server.destroy();
  }
}

export const embeddedCommands: Row = {
  id: "S2-embedded",
  title: "durable command, 1,000 keys, embedded engine, one node",
  run: ({ sideBySide, note }) =>
    withPostgres(async (postgres) => {
      const us = ours("Sheaf, embedded", () => embedded, {}, write);
      const hasRedis = ensureRedis();
      if (!hasRedis) note("there is no redis-server and it could not be installed");
      const slow = [dbos(postgres), restate, rivetkit];
      const others = [rawDurable, us, ...(hasRedis ? [redis] : []), update(postgres), sqliteCommit, ...slow];
      const figures = await sideBySide(others, levels);
      const at = (to: Contender, inFlight: number): { ours: string; to: string; inFlight: number } => ({
        ours: us.name,
        to: to.name,
        inFlight,
      });
      const checks = [64, 512].flatMap((inFlight) => [
        rateCheck(figures, at(rawDurable, inFlight), 0.35),
        rateCheck(figures, at(redis, inFlight), 0.75),
        rateCheck(figures, at(update(postgres), inFlight), 5),
        ...slow.map((one) => rateCheck(figures, at(one, inFlight), 50)),
      ]);
      return { figures, checks: [...checks, timeCheck(figures, at(sqliteCommit, 1), 2)] };
    }),
};

export const postgresCommands: Row = {
  id: "S2-postgres",
  title: "durable command, 1,000 keys, PostgreSQL, three nodes",
  run: ({ sideBySide }) =>
    withPostgres(async (postgres) => {
      const us = ours("Sheaf, PostgreSQL", () => emptyDatabase(postgres), { nodes: 3 }, write);
      const [limit, plain, durable] = [unnestAppend(postgres), update(postgres), dbos(postgres)];
      const figures = await sideBySide([limit, us, plain, durable], levels);
      const at = (to: Contender): { ours: string; to: string; inFlight: number } => ({
        ours: us.name,
        to: to.name,
        inFlight: 512,
      });
      const checks = [
        rateCheck(figures, at(limit), 0.5),
        rateCheck(figures, at(plain), 3),
        rateCheck(figures, at(durable), 50),
      ];
      return { figures, checks };
    }),
};

export const natsCommands: Row = {
  id: "S2-nats",
  title: "durable command, 1,000 keys, NATS JetStream R3, three nodes",
  async run({ sideBySide }) {
    const us = ours("Sheaf, NATS", natsGround, { nodes: 3 }, write);
    const figures = await sideBySide([subjectAppend, us], levels);
    const compared = { ours: us.name, to: subjectAppend.name, inFlight: 512 };
    return { figures, checks: [rateCheck(figures, compared, 0.8)] };
  },
};

const onHotKey = (engine: EngineName): Contender =>
  ours(`Sheaf, ${engine}`, groundOf(engine), { nodes: engine === "embedded" ? 1 : 3 }, works.hot.once);

export const hotKey: Row = {
  id: "hot-key",
  title: "durable command, all on one entity",
  async run({ sideBySide }) {
    const all = (["embedded", "postgres", "nats"] as const).map(onHotKey);
    const figures = await sideBySide(all, [1, 512]);
    const rate = (name: string, inFlight: number): number | undefined =>
      figures.find((figure) => figure.name === name && figure.inFlight === inFlight)?.opsPerSec;
    const many = all.map(({ name }) => {
      const [one, full] = [rate(name, 1), rate(name, 512)];
      const value = one && full && full / one;
      return {
        says: `${name}: commands in the time of one, 512 in flight`,
        value,
        bound: "at least",
        target: 50,
      } as const;
    });
    const name = all[0]?.name ?? "";
    const plain = {
      says: `${name}, per second, 512 in flight`,
      value: rate(name, 512),
      bound: "at least",
      target: 20_000,
    };
    return { figures, checks: [{ ...plain, bound: "at least" }, ...many] };
  },
};
