// Guarantees of virtual time, of the strict globals and of the simulated host.

import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryDisk } from "./disk.ts";
import { seeded } from "./random.ts";
import { createSchedule } from "./schedule.ts";
import { simHost, worldStart } from "./sim-host.ts";

/** A few actors that wake each other at seeded times; returns what happened in order, and the fingerprint. */
async function play(seed: number): Promise<{ seen: string[]; digest: string }> {
  const random = seeded(seed);
  const schedule = createSchedule(random.fork("schedule"));
  const seen: string[] = [];
  const actor = async (name: string): Promise<void> => {
    for (let i = 0; i < 5; i++) {
      await new Promise<void>((resolve) => void schedule.after(random.below(3), name, resolve));
      seen.push(`${name}${i}@${schedule.now()}`);
    }
  };
  for (const name of ["a", "b", "c"]) void actor(name);
  await schedule.run({ strict: true });
  return { seen, digest: schedule.hash.digest() };
}

test("schedule: one seed is one history, another seed another", async () => {
  const first = await play(1);
  assert.deepEqual(await play(1), first);
  const others = await Promise.all([2, 3, 4].map(async (seed) => (await play(seed)).digest));
  assert.equal(new Set([first.digest, ...others]).size, 4);
});

test("schedule: events run in order of time, and all promises woken by one run before the next (V1, V2)", async () => {
  const schedule = createSchedule(seeded(1));
  const seen: string[] = [];
  schedule.after(5, "late", () => seen.push(`late@${schedule.now()}`));
  schedule.after(1, "early", () => {
    void (async () => {
      for (let i = 0; i < 50; i++) await Promise.resolve();
      seen.push(`promises@${schedule.now()}`);
    })();
  });
  schedule.after(2, "cancelled", () => seen.push("never")).cancel();
  assert.equal(await schedule.run({}), "idle");
  assert.deepEqual(seen, ["promises@1", "late@5"]);
});

test("schedule: a bounded run stops before later events, moves time to its bound, and can go on (V3)", async () => {
  const schedule = createSchedule(seeded(1));
  const seen: number[] = [];
  schedule.after(10, "x", () => seen.push(schedule.now()));
  schedule.after(20, "x", () => seen.push(schedule.now()));
  await schedule.run({ until: 15 });
  assert.deepEqual([seen, schedule.now()], [[10], 15]);
  await schedule.run({ done: () => seen.length === 2 });
  assert.deepEqual(seen, [10, 20]);
});

test("schedule: an event that throws ends the run with that error", async () => {
  const schedule = createSchedule(seeded(1));
  schedule.after(1, "x", () => {
    throw new Error("boom");
  });
  await assert.rejects(schedule.run({ strict: true }), /boom/);
  assert.ok(Date.now() > 0, "the globals are back");
});

const leaks: readonly (readonly [string, () => unknown])[] = [
  ["Date.now", () => Date.now()],
  ["new Date", () => new Date()],
  ["Date\\(\\)", () => Date()],
  ["Math.random", () => Math.random()],
  ["setTimeout", () => setTimeout(() => undefined, 1)],
  ["setInterval", () => setInterval(() => undefined, 1)],
  ["setImmediate", () => setImmediate(() => undefined)],
  ["performance.now", () => performance.now()],
  ["process.hrtime", () => process.hrtime()],
  ["crypto.randomUUID", () => crypto.randomUUID()],
  ["crypto.getRandomValues", () => crypto.getRandomValues(new Uint8Array(1))],
  ["AbortSignal.timeout", () => AbortSignal.timeout(1)],
  ["fetch", () => fetch("http://localhost/")],
];

test("strict globals: each real clock, die and timer throws by name inside a run, and works again after it", async () => {
  const schedule = createSchedule(seeded(1));
  const said: string[] = [];
  schedule.after(1, "x", () => {
    for (const [, leak] of leaks) {
      try {
        leak();
        said.push("nothing");
      } catch (error) {
        said.push((error as Error).message);
      }
    }
    assert.equal(new Date(0).toISOString(), "1970-01-01T00:00:00.000Z");
    assert.ok(new Date(0) instanceof Date);
  });
  await schedule.run({ strict: true });
  leaks.forEach(([name], index) =>
    assert.match(said[index] as string, new RegExp(`^${name}.*was used inside a simulation`)),
  );
  assert.equal(typeof Date.now() + typeof Math.random() + crypto.randomUUID().length, "numbernumber36");
  assert.ok(new Date() instanceof Date);
});

test("simulated host: two from one seed answer alike; ids sort by time", async () => {
  const answers = (seed: number): unknown => {
    const host = simHost({ random: seeded(seed) });
    const key = host.dice.bytes(32);
    return [
      host.dice.id(),
      host.dice.random(),
      host.crypto.seal(key, new Uint8Array(3), new Uint8Array(0)),
      host.clock.tick(),
    ];
  };
  assert.deepEqual(answers(5), answers(5));
  assert.notDeepEqual(answers(5), answers(6));
  const host = simHost();
  const early = host.dice.id();
  host.clock.after(5, () => undefined);
  await host.schedule.run({});
  assert.ok(early < host.dice.id());
  assert.match(early, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("simulated host: what was sealed opens with its key and data only", () => {
  const { crypto, dice } = simHost();
  const [key, plain, aad] = [dice.bytes(32), dice.bytes(100), dice.bytes(4)];
  const sealed = crypto.seal(key, plain, aad);
  assert.deepEqual(Uint8Array.from(crypto.open(key, sealed, aad) ?? []), plain);
  assert.equal(crypto.open(key, sealed, dice.bytes(4)), undefined);
  assert.equal(crypto.open(dice.bytes(32), sealed, aad), undefined);
  assert.equal(crypto.open(key, sealed.subarray(0, 20), aad), undefined);
});

test("simulated host: one bit of key, length or data changes its digest and its HMAC, and nothing else does", () => {
  const { crypto } = simHost();
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  for (const length of [0, 1, 3, 4, 5, 64, 131]) {
    const [key, data] = [new Uint8Array(length).fill(0xaa), new Uint8Array(length).fill(0x55)];
    const seen = new Set([text(crypto.hmacSha256(key, data)), text(crypto.sha256(data))]);
    assert.equal(text(crypto.hmacSha256(key.slice(), data.slice())), [...seen][0]);
    assert.equal(text(crypto.sha256(data.slice())), [...seen][1]);
    seen.add(text(crypto.sha256(new Uint8Array(length + 1).fill(0x55))));
    for (let bit = 0; bit < length * 8; bit++) {
      const flipped = (bytes: Uint8Array): Uint8Array =>
        bytes.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
      for (const changed of [
        crypto.hmacSha256(flipped(key), data),
        crypto.hmacSha256(key, flipped(data)),
        crypto.sha256(flipped(data)),
      ])
        seen.add(text(changed));
    }
    assert.equal(seen.size, 3 + 3 * 8 * length);
  }
});

test("simulated host: a jump moves the wall clock only", () => {
  const host = simHost();
  const tick = host.clock.tick();
  host.jump(-3_600_000);
  assert.equal(host.clock.now(), worldStart - 3_600_000);
  assert.equal(host.clock.tick(), tick);
});

test("simulated host: nothing comes back to a killed node, and its writes do not arrive (H1)", async () => {
  const disk = memoryDisk();
  const host = simHost({ disk });
  let woke = false;
  host.clock.after(1, () => (woke = true));
  host.clock.turn(() => (woke = true));
  host.kill();
  host.disk.write("a", new Uint8Array(1));
  await host.schedule.run({});
  assert.deepEqual([woke, disk.read("a")], [false, undefined]);
});

test("disk: a note outlives a crash but not a power loss, a write outlives both", () => {
  const disk = memoryDisk();
  disk.write("a", Uint8Array.of(1));
  disk.note("a", Uint8Array.of(2));
  disk.note("b", Uint8Array.of(3));
  assert.deepEqual([disk.read("a"), disk.read("b")], [Uint8Array.of(2), Uint8Array.of(3)]);
  disk.losePower();
  assert.deepEqual([disk.read("a"), disk.read("b")], [Uint8Array.of(1), undefined]);
});
