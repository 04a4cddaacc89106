import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { Schedule, scheduleBook, type Schedules } from "../control/index.ts";
import {
  app,
  type AppShape,
  entity,
  schedule,
  type ScheduledRun,
  type ScheduleShape,
  service,
} from "../model/index.ts";
import { inCluster, nodeOf } from "./cluster.fixture.ts";
import { code, type World, world, type WorldOptions } from "./world.fixture.ts";

const Report = entity("report", {
  state: z.object({ made: z.array(z.tuple([z.number(), z.number(), z.boolean()])), by: z.string() }),
  commands: { make: { input: z.object({ at: z.number(), number: z.number(), asked: z.boolean() }) } },
  queries: {
    get: { output: z.object({ made: z.array(z.tuple([z.number(), z.number(), z.boolean()])), by: z.string() }) },
  },
});
const report = Report.implement({
  initial: () => ({ made: [], by: "" }),
  make({ state, input: { at, number, asked }, caller }) {
    state.made.push([at, number, asked]);
    state.by = caller.id;
  },
  get: ({ state: { made: all, by } }) => ({
    made: all.map(([at, n, asked]): [number, number, boolean] => [at, n, asked]),
    by,
  }),
});

type Definition = Parameters<typeof schedule>[1];
const toReport = (run: ScheduledRun): { key: string; input: ScheduledRun } => ({ key: "daily", input: run });
const nightly = (definition: Definition, map = toReport): ScheduleShape =>
  schedule("nightly", definition).into(Report, "make", map);
const shop = (...schedules: readonly ScheduleShape[]): AppShape => app("shop", { entities: [report], schedules });

const start = (given: AppShape, options: WorldOptions = {}): Promise<World> => world({ ...options, app: given });
const again = (from: World, given: AppShape): Promise<World> => start(given, { from });

const operator = { id: "op", roles: ["admin"] };
function bookOf({ node, host }: World): Schedules {
  return scheduleBook({
    host,
    calls: node,
    search: async (...given) => (await node.search(...given)).items,
    declared: () => (node.app.schedules ?? []).map(({ name }) => name),
  });
}

/** Waits until a wall clock without skew shows this time, or until so long has passed. */
async function passTo(w: World, at: number): Promise<void> {
  for (let left = at - w.host.clock.now(); left > 0; left = at - w.host.clock.now())
    await w.pass(Math.min(left, 300_000));
}

type Made = { readonly made: readonly (readonly [number, number, boolean])[]; readonly by: string };
async function made(w: World): Promise<Made> {
  // Whatever is under way arrives.
  await w.pass(20);
  const { output } = await w.ask("daily", "get", undefined, {
    target: { kind: "query", entity: "report", key: "daily", name: "get" },
  });
  return output as Made;
}
const times = async (w: World): Promise<number[]> => (await made(w)).made.map(([at]) => at);

const minute = 60_000;
const begin = Date.UTC(2026, 0, 1);
const every5 = { every: "5m" } as const;
const at5 = (n: number): number => begin + n * 5 * minute;
const viewOf = (w: World): ReturnType<Schedules["get"]> => w.run(bookOf(w).get("nightly"));

test("a schedule: each time that is due is run once, never early, under the name of Sheaf itself", async () => {
  const w = await start(shop(nightly(every5)));
  await passTo(w, at5(1) - 100);
  assert.deepEqual(await times(w), []);
  await passTo(w, at5(3) + 1000);
  assert.deepEqual(await made(w), {
    made: [
      [at5(1), 1, false],
      [at5(2), 2, false],
      [at5(3), 3, false],
    ],
    by: "sheaf",
  });
  const { name, state, next, last, runs, passedOver } = await viewOf(w);
  assert.deepEqual([name, state, next, last, runs, passedOver], ["nightly", "on", at5(4), at5(3), 3, 0]);
});

test("a schedule: a pattern is read in its time zone", async () => {
  const w = await start(shop(nightly({ cron: "30 5 * * *", zone: "Asia/Kolkata" })));
  assert.equal((await viewOf(w)).next, begin + 24 * 60 * minute);
});

test("a schedule: what comes to pass while no node runs is run by its policy when one does", async () => {
  for (const [missed, afterOne, afterThree] of [
    ["one", [at5(1)], [at5(1), at5(4)]],
    ["all", [at5(1)], [at5(1), at5(2), at5(3), at5(4)]],
    ["skip", [], []],
  ] as const) {
    const given = shop(nightly({ ...every5, missed }));
    const w1 = await start(given);
    await w1.run(w1.node.stop());
    await passTo(w1, at5(1) + 2 * minute);
    const w2 = await again(w1, given);
    assert.deepEqual(await times(w2), afterOne, missed);
    await w2.run(w2.node.stop());
    await passTo(w2, at5(4) + 2 * minute);
    const w3 = await again(w2, given);
    assert.deepEqual(await times(w3), afterThree, missed);
    const { runs, passedOver, next } = await viewOf(w3);
    assert.deepEqual([runs + passedOver, runs, next], [4, afterThree.length, at5(5)], missed);
  }
});

test("a schedule that skips: a run that is less than a minute late is none that was missed", async () => {
  const given = shop(nightly({ ...every5, missed: "skip" }));
  const w1 = await start(given);
  await w1.run(w1.node.stop());
  await passTo(w1, at5(3) + minute / 2);
  const w2 = await again(w1, given);
  assert.deepEqual(await times(w2), [at5(3)]);
  assert.equal((await viewOf(w2)).passedOver, 2);
});

test("a schedule that catches up: the last hundred of very many, in one go, each once", async () => {
  const given = shop(nightly({ every: "1s", missed: "all" }));
  const w1 = await start(given);
  await w1.run(w1.node.stop());
  await passTo(w1, begin + 400_500);
  const w2 = await again(w1, given);
  const all = await times(w2);
  assert.deepEqual(
    all.slice(0, 100),
    Array.from({ length: 100 }, (_, n) => begin + 301_000 + n * 1000),
  );
  assert.equal((await viewOf(w2)).passedOver, 100);
});

test("a clock that jumps ahead: what lies between is missed, and nothing runs twice when it comes back", async () => {
  const w = await start(shop(nightly(every5)));
  w.host.jump(16 * minute);
  await w.pass(1000);
  assert.deepEqual(await times(w), [at5(3)]);
  w.host.jump(-16 * minute);
  // The shard's time goes on from where it is.
  await w.pass(5 * minute);
  assert.deepEqual(await times(w), [at5(3), at5(4)]);
});

test("a run that fails: it is tried again and becomes a dead letter, and those after it run at their time", async () => {
  let isBroken = true;
  const map = (run: ScheduledRun): ReturnType<typeof toReport> => {
    if (run.number === 1 && isBroken) throw new Error("no such day");
    return toReport(run);
  };
  const w = await start(shop(nightly(every5, map)));
  await passTo(w, at5(2) + 1000);
  assert.deepEqual(await times(w), [at5(2)]);
  const { items } = await w.run(w.node.deadLetters("sheaf.schedule", undefined, 10));
  assert.deepEqual(
    items.map(({ key, command, attempts, cause }) => ({ key, command, attempts, cause })),
    [{ key: "nightly", command: "make", attempts: 5, cause: "HANDLER_FAILED: sheaf.schedule.make threw: no such day" }],
  );
  isBroken = false;
  await w.run(w.node.redrive(items[0]!.id));
  assert.deepEqual(await made(w), {
    made: [
      [at5(2), 2, false],
      [at5(1), 1, false],
    ],
    by: "sheaf",
  });
});

test("a run without a key, or with an input that does not fit: it is given up, and says why", async () => {
  const maps = [() => ({ key: "" }), () => ({ key: "daily", input: { at: "monday" } })] as never[];
  for (const [map, says] of [
    [maps[0], /an entity's key is a non-empty string/],
    [maps[1], /the input of report.make does not fit/],
  ] as const) {
    const w = await start(shop(nightly(every5, map)));
    await passTo(w, at5(1) + 2 * minute);
    const { items } = await w.run(w.node.deadLetters("sheaf.schedule", undefined, 10));
    assert.equal(items.length, 1);
    assert.match(items[0]?.cause ?? "", says);
  }
});

test("an operator: a run that is asked for is one beside those that are due", async () => {
  const w = await start(shop(nightly(every5)));
  await w.pass(1000);
  const run = await w.run(bookOf(w).run(operator, "nightly"));
  assert.deepEqual([run.number, run.asked], [1, true]);
  assert(run.at >= begin + 1000);
  await passTo(w, at5(1) + 1000);
  assert.deepEqual((await made(w)).made, [
    [run.at, 1, true],
    [at5(1), 2, false],
  ]);
});

test("an operator: nothing is begun while a schedule is paused, and nothing of that time is made up for", async () => {
  const w = await start(shop(nightly({ ...every5, missed: "all" })));
  await passTo(w, at5(1) + 1000);
  const paused = await w.run(bookOf(w).pause(operator, "nightly"));
  assert.deepEqual([paused.state, paused.next, paused.changedBy], ["paused", null, "op"]);
  await passTo(w, at5(3) + 1000);
  const w2 = await again((await w.run(w.node.stop()), w), w.node.app);
  assert.equal((await viewOf(w2)).state, "paused");
  const resumed = await w2.run(bookOf(w2).resume(operator, "nightly"));
  assert.deepEqual([resumed.state, resumed.next], ["on", at5(4)]);
  await passTo(w2, at5(4) + 1000);
  assert.deepEqual(await times(w2), [at5(1), at5(4)]);
});

test("an operator: schedules that there are not are said to be none", async () => {
  const w = await start(shop(nightly(every5)));
  await w.pass(10);
  const book = bookOf(w);
  const asks: readonly (() => Promise<unknown>)[] = [
    () => book.get("nighty"),
    () => book.run(operator, "nighty"),
    () => book.pause(operator, "nighty"),
    () => book.resume(operator, "nighty"),
  ];
  for (const ask of asks)
    await assert.rejects(w.run(ask()), (error: Error & { hint?: string }) => {
      assert.match(error.hint ?? "", /Nearest: nightly/);
      return code("NOT_FOUND")(error as never);
    });
  assert.deepEqual(
    (await w.run(book.list(undefined, 10))).map(({ name }) => name),
    ["nightly"],
  );
});

test("new code: a schedule takes its new times, keeps what is owed, and counts on", async () => {
  const w1 = await start(shop(nightly(every5)));
  await passTo(w1, at5(1) + 1000);
  w1.node.reload(shop(nightly({ every: "2m" })));
  await passTo(w1, begin + 6 * minute + 1000);
  assert.deepEqual((await made(w1)).made, [
    [at5(1), 1, false],
    [begin + 6 * minute, 2, false],
  ]);
  await w1.run(w1.node.stop());
  await passTo(w1, begin + 9 * minute);
  const w2 = await again(w1, shop(nightly({ every: "1h" })));
  assert.deepEqual(await times(w2), [at5(1), begin + 6 * minute, begin + 8 * minute]);
  assert.equal((await viewOf(w2)).next, begin + 60 * minute);
});

test("code without a schedule: it stops when it is due, is shown as gone, and goes on with the code that has it again", async () => {
  const w1 = await start(shop(nightly({ ...every5, missed: "all" })));
  await passTo(w1, at5(1) + 1000);
  w1.node.reload(shop());
  assert.deepEqual([(await viewOf(w1)).state, (await viewOf(w1)).next], ["gone", at5(2)]);
  await assert.rejects(w1.run(bookOf(w1).run(operator, "nightly")), code("NOT_FOUND"));
  await passTo(w1, at5(4) + 1000);
  assert.deepEqual(await times(w1), [at5(1)]);
  assert.deepEqual((await w1.run(w1.node.tasks("sheaf.schedule", 10))).items, []);
  w1.node.reload(shop(nightly({ ...every5, missed: "all" })));
  assert.deepEqual(await times(w1), [at5(1), at5(2), at5(3), at5(4)]);
  assert.deepEqual([(await viewOf(w1)).state, (await viewOf(w1)).next], ["on", at5(5)]);
});

test("older code: it does not set back what newer code has set", async () => {
  const w = await start(shop(nightly({ every: "2m" })));
  await w.pass(1000);
  const follow = (everyMs: number, ageMs: number): Promise<unknown> =>
    w.ask(
      "nightly",
      "follow",
      { cron: null, zone: null, everyMs, missed: "one", ageMs },
      {
        target: { kind: "command", entity: "sheaf.schedule", key: "nightly", name: "follow" },
      },
    );
  await follow(7 * minute, 2000);
  assert.equal((await viewOf(w)).everyMs, 2 * minute);
  await follow(7 * minute, 0);
  assert.equal((await viewOf(w)).everyMs, 7 * minute);
  await follow(2 * minute, 900);
  assert.equal((await viewOf(w)).everyMs, 7 * minute);
});

test("code that is the same: it leaves no record, however many nodes load it", async () => {
  const w = await start(shop(nightly(every5)));
  await w.pass(10);
  const head = async (): Promise<number> =>
    (await w.run(w.node.status())).shards.reduce((sum, shard) => sum + shard.head, 0);
  const before = await head();
  w.node.reload(shop(nightly(every5)));
  await w.pass(10);
  assert.equal(await head(), before);
});

test("a run that is a call: the procedure is called again until it is done, and the runs after it are not held up", async () => {
  const called: string[] = [];
  const Mail = service("mail", { procedures: { send: { input: z.object({ number: z.number() }) } } });
  const mail = Mail.implement({
    send({ input: { number }, caller }) {
      called.push(`${number} by ${caller.id}`);
      if (number === 1 && called.length < 3) throw new Error("no mail today");
    },
  });
  const mails = schedule("nightly", every5).call(Mail, "send", ({ number }) => ({ input: { number } }));
  const w = await start(app("shop", { services: [mail], schedules: [mails] }));
  await passTo(w, at5(2) + 1000);
  assert.deepEqual(called, ["1 by sheaf", "1 by sheaf", "1 by sheaf", "2 by sheaf"]);
  assert.deepEqual((await w.run(w.node.deadLetters(undefined, undefined, 10))).items, []);
});

test("a run whose owner's code does not have its schedule: it waits for the code that has, an hour at most", async () => {
  const map = (run: ScheduledRun): ReturnType<typeof toReport> => {
    if (isBroken) throw new Error("not yet");
    return toReport(run);
  };
  let isBroken = true;
  const given = shop(nightly(every5, map));
  const w = await start(given);
  await passTo(w, at5(1) + 100);
  w.node.reload(shop());
  isBroken = false;
  await passTo(w, at5(3));
  assert.deepEqual(await times(w), []);
  w.node.reload(given);
  await w.pass(minute);
  assert.deepEqual(
    (await times(w)).toSorted((a, b) => a - b),
    [at5(1), at5(3)],
  );
  isBroken = true;
  await passTo(w, at5(4) + 100);
  w.node.reload(shop());
  await passTo(w, at5(4) + 62 * minute);
  const { items } = await w.run(w.node.deadLetters("sheaf.schedule", undefined, 10));
  assert.match(items[0]?.cause ?? "", /the application here has no schedule "nightly"/);
});

test("a timer of a schedule that was taken back: it is set again when code follows", async () => {
  const w = await start(shop(nightly(every5)));
  await w.pass(10);
  const { items } = await w.run(w.node.tasks("sheaf.schedule", 10));
  await w.run(w.node.cancelTimer(items[0]!.id));
  await passTo(w, at5(2) + 2 * minute);
  assert.deepEqual(await times(w), []);
  w.node.reload(shop(nightly(every5)));
  assert.deepEqual(await times(w), [at5(2)]);
});

test("a rolling deployment: an older node that takes over a schedule begins runs at the newer times, each once", async () => {
  const older = shop(nightly({ every: "1s" }));
  const newer = shop(nightly({ every: "50ms" }));
  const given = { each: (name: string) => ({ app: name === "node-1" ? older : newer }), shards: 4 };
  await inCluster(newer, given, async (client, cluster) => {
    const look = async () =>
      (await client.entity(Schedule, "nightly").get()) as { everyMs: number | null; runs: number };
    // Whoever started later; from now on the second node has.
    nodeOf(cluster, 1).reload(newer);
    await cluster.sleep(200);
    assert.equal((await look()).everyMs, 50);
    cluster.machines[1]!.crash();
    await cluster.sleep(2_000);
    const before = await look();
    await cluster.sleep(1_000);
    const after = await look();
    assert.equal(after.everyMs, 50);
    const begun = after.runs - before.runs;
    assert.ok(begun >= 18 && begun <= 22, `${begun} runs in a second`);
    const { made: all } = (await client.entity(Report, "daily").get()) as Made;
    assert.deepEqual(
      all.map(([, number]) => number).toSorted((a, b) => a - b),
      all.map((_, n) => n + 1),
    );
    assert.equal(new Set(all.map(([at]) => at)).size, all.length);
  });
});
