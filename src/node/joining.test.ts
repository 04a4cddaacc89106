// One node that joins a cluster in odd ways: what it says of itself, and an engine that loses requests.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Engine, memoryEngine, type Registry } from "../journal/index.ts";
import { app, service, type ServiceImplementation } from "../model/index.ts";
import { memoryStore } from "../shards/index.ts";
import { type SimHost, simHost } from "../sim/sim-host.ts";
import { unpackMemberRecord } from "../cluster/index.ts";
import { type Meeting, type Node, startNode } from "./index.ts";
import { code, counter } from "./world.fixture.ts";

type Joining = {
  readonly meeting?: Partial<Meeting>;
  readonly services?: readonly ServiceImplementation[];
  readonly registry?: (kept: Registry) => Registry;
};

/** The only node of its cluster. `run` lets virtual time pass until the promise settles, a minute at most. */
function joining({ meeting = {}, services = [], registry = (kept) => kept }: Joining) {
  const host: SimHost = simHost({});
  const kept = memoryEngine({ clock: host.clock });
  const engine: Engine = { ...kept, registry: registry(kept.registry) };
  const run = async <T>(promise: Promise<T>): Promise<T> => {
    let settled = false;
    const done = (): void => void (settled = true);
    promise.then(done, done);
    await host.schedule.run({ done: () => settled, until: host.schedule.now() + 60_000 });
    return settled ? promise : Promise.reject(new Error("it has not settled within a minute"));
  };
  const pass = (ms: number): Promise<void> => run(new Promise<void>((resolve) => void host.clock.after(ms, resolve)));
  const start = (): Promise<Node> =>
    startNode({
      host,
      engine,
      store: memoryStore(),
      app: app("tests", { entities: [counter], services }),
      cluster: "tests",
      shards: 2,
      create: true,
      meeting: { name: "a", address: "a:1", dial: () => () => {}, listen: () => () => {}, ...meeting },
    });
  return { host, engine, kept, run, pass, start };
}

test("joining: a node that the others could not read refuses to start, and says why", async () => {
  const long = "x".repeat(600);
  for (const meeting of [{ name: long }, { zone: long }, { address: long }, { weight: -1 }, { weight: NaN }]) {
    const { run, start } = joining({ meeting });
    await assert.rejects(run(start()), code("USAGE"));
  }
  const services = Array.from({ length: 400 }, (_, i) =>
    service(`service-number-${i}`, { procedures: { say: {} } }).implement({ say: () => {} }),
  );
  const { run, start } = joining({ services });
  await assert.rejects(run(start()), code("USAGE"));
});

test("joining: a node whose word to the registry was lost goes on telling that it is there", async () => {
  for (const lost of ["put", "list"] as const) {
    let losing = false;
    const { kept, run, pass, start } = joining({
      registry: (registry) => ({
        ...registry,
        [lost]: (...args: never[]) =>
          losing
            ? ((losing = false), new Promise(() => {}))
            : (registry[lost] as (...all: never[]) => unknown)(...args),
      }),
    });
    const node = await run(start());
    const beat = async (): Promise<number> => unpackMemberRecord((await run(kept.registry.list())).get(node.id)!)!.beat;
    losing = true;
    await pass(20_000);
    const before = await beat();
    await pass(1000);
    assert.ok((await beat()) > before, `${lost}: no more beats`);
    await run(node.stop());
  }
});
