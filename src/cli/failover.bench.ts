// How long callers wait when a node is killed: three nodes as processes of this machine, callers that never stop, and kill -9 of
// the owner of a key, over and over. A time is from the kill to the first answer of a call for that key that began after it.
//
//   node src/cli/failover.bench.ts [--kills 20] [--engine embedded|postgres|nats|URL] [--freeze]
//
// With --freeze the owner is stopped where it stands, and killed when its keys are served elsewhere. For `postgres` and `nats` it starts a server, or three, of its own.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { quantile } from "./bench-rounds.ts";
import { startCallers, startCluster } from "./cluster.fixture.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "20" },
    engine: { type: "string", default: "embedded" },
    freeze: { type: "boolean", default: false },
  },
});
const folder = mkdtempSync(join(tmpdir(), "sheaf-failover-"));
const cleanups: (() => void | Promise<void>)[] = [() => rmSync(folder, { recursive: true, force: true })];

async function engineFlags(): Promise<readonly string[]> {
  if (values.engine === "embedded") return [];
  if (values.engine === "postgres") {
    const { startServer } = await import("../engines/postgres/server.fixture.ts");
    const server = await startServer();
    cleanups.unshift(() => server.destroy());
    return ["--engine", server.url()];
  }
  if (values.engine === "nats") {
    const { natsCluster } = await import("../engines/nats/nats-cluster.fixture.ts");
    const servers = await natsCluster();
    cleanups.unshift(() => servers.end());
    return ["--engine", `nats://${servers.addresses.join(",")}`];
  }
  return ["--engine", values.engine];
}

const engine = await engineFlags();
const lasting = { after: (fn: () => void) => void cleanups.unshift(fn) };
const cluster = await startCluster(lasting, folder, 3, engine);
const keys = Array.from({ length: 8 }, (_, n) => `k${n}`);
const callers = startCallers(lasting, cluster.gateways, keys);
const times: number[] = [];
for (let kill = 0; kill < Number(values.kills); kill++) {
  const key = keys[kill % keys.length]!;
  await callers.next(key);
  const owner = await cluster.ownerOf(key);
  const back = cluster.heard(({ event, name }) => event === "ready" && name === owner.name);
  process.kill(owner.pid, values.freeze ? "SIGSTOP" : "SIGKILL");
  times.push(await callers.next(key));
  if (values.freeze) process.kill(owner.pid, "SIGKILL");
  process.stderr.write(`${owner.name} ${Math.round(times.at(-1)!)} ms\n`);
  await back;
}
const wrong = await callers.verify();
await cluster.stop();
for (const cleanup of cleanups) await cleanup();
const at = (share: number): number => Math.round(quantile(times, share));
const { length: failed } = callers.failures;
const figures = {
  engine: values.engine,
  kills: times.length,
  p50: at(0.5),
  p90: at(0.9),
  p99: at(0.99),
  answered: callers.answered,
  failed,
};
process.stdout.write(`${JSON.stringify({ ...figures, wrong, failures: callers.failures.slice(0, 5) })}\n`);
