// testApp(): an application on one node in the test's own process, on the memory engine and a clock that the test moves.

import type { Epoch, Instant, Limits, Millis, Seq, Shard, Version } from "../base/index.ts";
import type { AppShape, Client } from "../model/index.ts";
import { unpack } from "../wire/index.ts";
import type { LogLine } from "./sim-host.ts";
import { clientOf, codecOf, createWorld, type World } from "./world.ts";

export type TestAppOptions = {
  /** What the dice in handlers (`random`, `id`) roll; 1 by default. */
  readonly seed?: number | undefined;
  readonly shards?: number | undefined;
  readonly limits?: Partial<Limits> | undefined;
  /** Make Date.now, Math.random, setTimeout and the like throw while the application runs; false by default. */
  readonly strict?: boolean | undefined;
};

/** One commit as it stands in the journal. */
export type JournalItem = {
  readonly shard: Shard;
  readonly seq: Seq;
  readonly epoch: Epoch;
  readonly at: Instant;
  readonly entity: string;
  readonly key: string;
  readonly version: Version;
  readonly command: string;
  /** The state after it; undefined when a later commit of the same record holds it. */
  readonly state: unknown;
  readonly events: readonly { readonly name: string; readonly value: unknown }[];
};

export interface TestApp<A extends AppShape> extends Client<A["contract"]>, AsyncDisposable {
  /** The application's wall clock: it stands still until `advance` moves it. */
  now(): Instant;
  /** Moves the clock forward; whatever falls due meanwhile happens. */
  advance(ms: Millis): Promise<void>;
  /** Kills the node, as `kill -9` does. Calls are refused until `restart`. */
  crash(): void;
  /** Starts the node again on what it kept; stops it in good order first when it is running. */
  restart(): Promise<void>;
  /** Every commit that is in the journal, shard by shard in order. */
  journal(): Promise<readonly JournalItem[]>;
  readonly log: readonly LogLine[];
  /** Ends it. Nothing needs closing: it held no file, port or timer. */
  stop(): Promise<void>;
}

/**
 * Starts an application for tests: one node, memory engine, virtual time. Works in any test runner.
 *
 * @example
 * const test = await testApp(bank);
 * await test.entity(Account, "a").deposit({ cents: 5 });
 * test.crash();
 * await test.restart();
 * assert.equal(await test.entity(Account, "a").balance(), 5);
 *
 * A call that waits for a time of day or a deadline goes on when `advance` gets there; start it, advance, then await it.
 */
export async function testApp<A extends AppShape>(app: A, options: TestAppOptions = {}): Promise<TestApp<A>> {
  const { world, started } = createWorld(app, {
    nodes: 1,
    cluster: false,
    seed: options.seed ?? 1,
    faults: [],
    shards: options.shards ?? 4,
    limits: options.limits ?? {},
    mutants: [],
    encryptionKey: undefined,
    faultEveryMs: 1,
    strict: options.strict ?? false,
    direct: true,
  });
  const { driver, machines } = world;
  await driver.drive(started);
  const [machine] = machines as [World["machines"][number]];
  const stop = async (): Promise<void> => machine.crash();
  const restart = async (): Promise<void> => {
    if (machine.state().kind === "up") await machine.stop();
    await machine.start();
  };
  return {
    ...clientOf<A>(world, { deadlineMs: 10_000 }),
    now: () => world.now(),
    advance: driver.advance,
    crash: machine.crash,
    restart: () => driver.drive(restart()),
    journal: () => driver.drive(journalOf(world)),
    log: world.lines,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function journalOf(world: World): Promise<JournalItem[]> {
  const codec = await codecOf(world);
  const items: JournalItem[] = [];
  for (let shard = 0; codec !== undefined && shard < world.options.shards; shard++) {
    for (let from = 1; ;) {
      const { entries } = await world.shared.read(shard, from, 512);
      if (entries.length === 0) break;
      for (const { seq, record } of entries) {
        const { header, payload } = codec.decode(record, { shard, seq });
        from = seq + 1;
        if (payload.kind !== "batch") continue;
        for (const { type, key, version, command, state, events } of payload.commits) {
          const shown = events.map(({ name, value }) => ({ name, value: unpack(value) }));
          const { epoch, at } = header;
          items.push({
            shard,
            seq,
            epoch,
            at,
            entity: type,
            key,
            version,
            command,
            state: state && unpack(state),
            events: shown,
          });
        }
      }
    }
  }
  return items;
}
