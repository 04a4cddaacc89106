import assert from "node:assert/strict";
import { test } from "node:test";
import type { SheafError } from "../base/index.ts";
import { decodeSnapshot, encodeSnapshot, memoryDisk } from "../journal/index.ts";
import { checkBackup, checkEngine, type Manifest, readManifest, restoreBackup, takeBackup } from "./index.ts";
import {
  churn,
  engineOn,
  fill,
  type Kept,
  kept,
  keys,
  type MemoryFolder,
  memoryFolder,
  secret,
} from "./kept.fixture.ts";

const version = "test";
const code = (expected: string) => (error: SheafError) => {
  assert.equal(error.code, expected, error.stack);
  return true;
};

async function taken(of: Kept, folder = memoryFolder()): Promise<MemoryFolder> {
  await of.run(takeBackup({ engine: engineOn(of), folder, host: of.host, version }));
  return folder;
}
/** A new engine with what the folder holds. */
async function restored(of: Kept, folder: MemoryFolder, key?: Uint8Array): Promise<ReturnType<typeof memoryDisk>> {
  const disk = memoryDisk();
  const engine = engineOn({ disk, host: of.host });
  await of.run(restoreBackup({ engine, folder, host: of.host, key }));
  return disk;
}
const totals = async ({ ask }: Kept): Promise<unknown[]> => {
  const all: unknown[] = [];
  for (const key of keys) all.push((await ask(key, "get")).output);
  return all;
};

for (const [name, key] of [
  ["plain", undefined],
  ["encrypted", secret],
] as const)
  test(`backup: what was acknowledged before it is there after a restore, operations too: ${name}, snapshots and trims`, async () => {
    const first = await kept({ key, snapshotEveryBytes: 2000 });
    await fill(first, 4);
    await churn(first, 60);
    const folder = await taken(first);
    const { shards } = await readManifest(folder, first.host.crypto);
    assert.ok(shards.some((shard) => shard.first > 1 && shard.snapshots.length > 1));
    await fill(first, 6); // Some of it again, and two more that the backup lacks.
    const second = await kept({ key, disk: await restored(first, folder, key), from: first });
    assert.deepEqual(await totals(second), Array(9).fill(4));
    const again = await second.ask("p3", "add", 1, { op: { id: "p3-2", issuedAt: undefined } });
    assert.deepEqual([again.output, again.replayed], [3, true]);
    const fresh = await second.ask("p3", "add", 1, { op: { id: "p3-4", issuedAt: undefined } });
    assert.deepEqual([fresh.output, fresh.replayed ?? false], [5, false]);
    const report = await second.run(checkEngine({ engine: engineOn(second), host: second.host, key }));
    assert.deepEqual(report.findings, []);
    if (key) assert.ok(!Buffer.concat([...folder.files.values()]).includes("some text that fills"), "stays encrypted");
  });

test("backup: a local store that is ahead of the backup, or in the middle of it, adds nothing after a restore", async () => {
  const first = await kept();
  await fill(first, 3);
  const folder = await taken(first);
  await first.ask("p0", "add", 100);
  await fill(first, 5);
  await first.run(first.node.stop());
  const disk = await restored(first, folder);
  const second = await kept({ disk, from: first, store: first.store });
  assert.deepEqual(await totals(second), Array(9).fill(3));
  assert.equal((await second.ask("p0", "add", 1)).output, 4);
  const status = await second.node.status();
  assert.ok(status.shards.every(({ state }) => state === "serving"));
});

test("backup: a session is good up to the backup after a restore, and told of the loss beyond it", async () => {
  const first = await kept();
  const early = (await first.ask("p0", "add", 1, { session: "" })).session;
  const folder = await taken(first);
  const late = (await first.ask("p0", "add", 1, { session: "" })).session;
  const second = await kept({ disk: await restored(first, folder), from: first });
  const reply = await second.ask("p0", "get", undefined, { session: early ?? "none" });
  assert.equal(reply.output, 1);
  await assert.rejects(second.ask("p0", "get", undefined, { session: late ?? "none" }), code("DATA_ROLLED_BACK"));
  // Restored once more from the same backup, the second life is as lost as the first.
  await second.ask("p0", "add", 1);
  const middle = (await second.ask("p0", "get", undefined, { session: reply.session ?? "none" })).session;
  await second.run(new Promise<void>((resolve) => void second.host.clock.after(2000, resolve)));
  const third = await kept({ disk: await restored(first, folder), from: second });
  await third.ask("p0", "add", 1);
  await assert.rejects(third.ask("p0", "get", undefined, { session: middle ?? "none" }), code("DATA_ROLLED_BACK"));
  assert.equal((await third.ask("p0", "get", undefined, { session: early ?? "none" })).output, 2);
});

test("backup: what a session had seen beyond it is not hidden by what it sees after a restore", async () => {
  const first = await kept();
  const early = (await first.ask("p0", "add", 1, { session: "" })).session ?? "none";
  const folder = await taken(first);
  const late = (await first.ask("p0", "add", 1, { session: "" })).session ?? "none";
  const { node, ask } = await kept({ disk: await restored(first, folder), from: first });
  const since = (await ask("p0", "add", 1, { session: "" })).session ?? "none";
  for (const session of [node.joinSessions([late, since]), node.joinSessions([since, late])])
    await assert.rejects(ask("p0", "get", undefined, { session }), code("DATA_ROLLED_BACK"));
  const both = node.joinSessions([early, since]);
  const { output, session } = await ask("p0", "get", undefined, { session: both });
  assert.deepEqual([output, session], [2, since], "what the restored journal holds need not be named any more");
});

test("backup: a restored cluster can be backed up and restored again, with what came since", async () => {
  let one = await kept({ snapshotEveryBytes: 2000 });
  for (let life = 1; life <= 3; life++) {
    await fill(one, 4 * life);
    const folder = await taken(one);
    one = await kept({ disk: await restored(one, folder), from: one, snapshotEveryBytes: 2000 });
    assert.deepEqual(await totals(one), Array(9).fill(4 * life));
  }
});

test("backup: of shards that nobody has written to nothing is lost either, and old ones cannot come back", async () => {
  const first = await kept();
  const empty = memoryDisk();
  await engineOn({ disk: empty, host: first.host }).create({ id: "ab".repeat(16), name: "e", shards: 2, createdAt: 1 });
  const folder = await taken({ ...first, disk: empty });
  const disk = await restored(first, folder);
  const heads = await engineOn({ disk, host: first.host }).barrier([0, 1]);
  for (const { generation, seq } of heads) assert.ok(generation > 1 && seq === 1);
});

test("backup: under load it is of one moment: nothing in it lacks what it was made from", async () => {
  const one = await kept({ snapshotEveryBytes: 3000 });
  let going = true;
  const passing = Array.from({ length: 6 }, async (_, n) => {
    for (let i = 0; going; i++) {
      await one.send(`from${n}`, "pass", { to: `to${(n + i) % 4}`, n: 1 });
      await new Promise<void>((resolve) => void one.host.clock.after(1, resolve));
    }
  });
  const folder = memoryFolder();
  const slow = engineOn(one, ({ kind }) => ({ kind: "ok", latencyMs: kind === "read" ? 3 : 1 }));
  const backup = takeBackup({ engine: slow, folder, host: one.host, version });
  await one.run(backup.finally(() => (going = false)));
  await one.run(Promise.all(passing));
  const total = async (of: Kept, prefix: string, count: number): Promise<number> => {
    let sum = 0;
    for (let n = 0; n < count; n++) sum += Number((await of.ask(`${prefix}${n}`, "get")).output);
    return sum;
  };
  const second = await kept({ disk: await restored(one, folder), from: one });
  const [sent, taken, settled] = [
    await total(second, "sent", 6),
    await total(second, "to", 4),
    -(await total(second, "from", 6)),
  ];
  assert.ok(sent > 5, `${sent} sent`);
  assert.ok(
    settled <= taken && taken <= sent && sent - settled <= 6,
    `settled ${settled} <= taken ${taken} <= sent ${sent}`,
  );
});

test("backup: every flipped byte, missing file, cut, and exchange of files is found, without the key too", async () => {
  for (const key of [undefined, secret]) {
    const one = await kept({ key, snapshotEveryBytes: 1500 });
    await fill(one, 3);
    const { files } = await taken(one);
    const found = async (bent: Map<string, Uint8Array>): Promise<boolean> => {
      const folder = memoryFolder(bent);
      try {
        const manifest = await readManifest(folder, one.host.crypto);
        return (await checkBackup({ folder, manifest, host: one.host })).findings.length > 0;
      } catch (error) {
        assert.ok(["CORRUPT", "NOT_FOUND"].includes((error as SheafError).code), String(error));
        return true;
      }
    };
    assert.equal(await found(files), false);
    for (const [name, bytes] of files) {
      const step = Math.max(1, Math.floor(bytes.length / 30));
      for (let at = 0; at < bytes.length; at += step) {
        const bent = bytes.slice();
        bent[at]! ^= 1 << (at & 7);
        assert.ok(await found(new Map(files).set(name, bent)), `${name} byte ${at}`);
      }
      const without = new Map(files);
      without.delete(name);
      assert.ok(await found(without), `without ${name}`);
      assert.ok(await found(new Map(files).set(name, bytes.slice(0, -1))), `${name} cut`);
      assert.ok(await found(new Map(files).set(name, new Uint8Array(0))), `${name} empty`);
      if (name !== "manifest.json")
        for (const [other, others] of files)
          if (other !== name && other !== "manifest.json")
            assert.ok(await found(new Map(files).set(name, others)), `${other} as ${name}`);
    }
  }
});

test("backup: a snapshot or a journal that is whole, but another one than was backed up, is found", async () => {
  const one = await kept({ snapshotEveryBytes: 1500 });
  await fill(one, 3);
  const folder = await taken(one);
  const manifest = await readManifest(folder, one.host.crypto);
  const sealing = { ...one.host, cluster: manifest.cluster.id };
  const { shard, snapshots, file: journal, seq } = manifest.shards.find((each) => each.snapshots.length > 0)!;
  const [{ file, bytes: _, end: __, ...name }] = snapshots as [(typeof snapshots)[number]];
  const forged: Uint8Array[] = [];
  const items = decodeSnapshot(sealing, { shard, ...name }, folder.read(file));
  for await (const chunk of encodeSnapshot(sealing, { shard, ...name }, items)) forged.push(chunk);
  const places = async (files: Map<string, Uint8Array>): Promise<string[]> => {
    const { findings } = await checkBackup({ folder: memoryFolder(files), manifest, host: one.host });
    return findings.map(({ place, says }) => `${place}: ${says}`);
  };
  assert.deepEqual(await places(new Map(folder.files).set(file, Buffer.concat(forged))), [], "the same once more");
  const fewer: Uint8Array[] = [];
  for await (const chunk of encodeSnapshot(sealing, { shard, ...name }, [])) fewer.push(chunk);
  const found = await places(new Map(folder.files).set(file, Buffer.concat(fewer)));
  assert.match(found.join(), /another one than was backed up/);
  const bytes = folder.files.get(journal!)!;
  let last = 0;
  for (let at = 0; at < bytes.length; at += 4 + Buffer.from(bytes).readUInt32BE(at)) last = at;
  const shorter = await places(new Map(folder.files).set(journal!, bytes.slice(0, last)));
  assert.match(shorter.join(), new RegExp(`ends at ${seq - 1}, the manifest says at ${seq}`));
});

test("backup: a process that is killed at any step leaves no backup, and what fails leaves nothing at all", async () => {
  const one = await kept({ snapshotEveryBytes: 2000 });
  await fill(one, 3);
  const whole = await taken(one);
  const wholeActs = whole.acts;
  for (let step = 1; step <= wholeActs; step++) {
    const killed = memoryFolder();
    killed.fails = step;
    await assert.rejects(taken(one, killed));
    await assert.rejects(readManifest(killed, one.host.crypto), code("NOT_FOUND"));
    const failed = memoryFolder();
    const { append } = failed;
    let left = step;
    failed.append = (...args) => (--left === 0 ? Promise.reject(new Error("no")) : append(...args));
    await taken(one, failed).catch(() => assert.equal(failed.files.size, 0));
  }
  const taking = memoryFolder();
  const { list } = taking;
  // Another begins between the look and the first file.
  taking.list = async () => (await list(), []);
  taking.files.set("manifest.json.unfinished", new Uint8Array(0));
  taking.append = async () => Promise.reject(new Error("it is there"));
  await assert.rejects(taken(one, taking));
  assert.deepEqual([...taking.files.keys()], ["manifest.json.unfinished"]);
  const again = memoryFolder(new Map([["x", new Uint8Array(1)]]));
  await assert.rejects(taken(one, again), code("USAGE"));
});

test("restore: an engine that fails at any request holds no cluster, and the same restore again makes it whole", async () => {
  const one = await kept({ snapshotEveryBytes: 2000 });
  await fill(one, 3);
  const folder = await taken(one);
  let requests = 0;
  await one.run(
    restoreBackup({
      engine: engineOn({ disk: memoryDisk(), host: one.host }, () => ({ kind: (++requests, "ok") })),
      folder,
      host: one.host,
    }),
  );
  for (let step = 1; step < requests; step++) {
    const disk = memoryDisk();
    let asked = 0;
    const failing = engineOn({ disk, host: one.host }, () => ({ kind: ++asked < step ? "ok" : "fail" }));
    await assert.rejects(one.run(restoreBackup({ engine: failing, folder, host: one.host })), `step ${step}`);
    const engine = engineOn({ disk, host: one.host });
    const found = await engine.identify().catch((error: SheafError) => error.code);
    assert.ok(found === undefined || found === "ENGINE_REFUSED", `step ${step}: it holds a cluster`);
    await one.run(restoreBackup({ engine, folder, host: one.host, again: true }));
    const second = await kept({ disk, from: one });
    assert.deepEqual(await totals(second), Array(9).fill(3));
  }
});

test("restore: an engine with a cluster, a wrong key, a missing one and a damaged backup are refused, and nothing is touched", async () => {
  const one = await kept({ key: secret });
  await fill(one, 1);
  const folder = await taken(one);
  const disk = memoryDisk();
  const engine = engineOn({ disk, host: one.host });
  const restore = (key?: Uint8Array, from = folder): Promise<unknown> =>
    one.run(restoreBackup({ engine, folder: from, host: one.host, key }));
  await assert.rejects(restore(), code("WRONG_KEY"));
  await assert.rejects(restore(secret.map((byte) => byte ^ 1)), code("WRONG_KEY"));
  const [name, bytes] = [...folder.files].find(([file]) => file.endsWith(".journal"))!;
  const bent = bytes.slice();
  bent[bytes.length - 40]! ^= 1;
  await assert.rejects(restore(secret, memoryFolder(new Map(folder.files).set(name, bent))), code("CORRUPT"));
  await assert.rejects(restore(secret, memoryFolder()), code("NOT_FOUND"));
  assert.equal(await engine.identify(), undefined);
  await restore(secret);
  await assert.rejects(restore(secret), code("WRONG_CLUSTER"));
  const plain = await taken(await kept());
  const other = engineOn({ disk: memoryDisk(), host: one.host });
  await assert.rejects(
    one.run(restoreBackup({ engine: other, folder: plain, host: one.host, key: secret })),
    code("WRONG_KEY"),
  );
});

test("backup and restore: called off, they leave nothing", async () => {
  const one = await kept();
  await fill(one, 3);
  const whole = await taken(one);
  for (let steps = 0; steps < 12; steps += 3) {
    const stopping = (): (() => boolean) => {
      let left = steps;
      return () => left-- <= 0;
    };
    const folder = memoryFolder();
    const backup = takeBackup({ engine: engineOn(one), folder, host: one.host, version, cancelled: stopping() });
    await assert.rejects(one.run(backup), code("CANCELLED"));
    assert.equal(folder.files.size, 0);
    const engine = engineOn({ disk: memoryDisk(), host: one.host });
    const restore = restoreBackup({ engine, folder: whole, host: one.host, cancelled: stopping() });
    await assert.rejects(one.run(restore), code("CANCELLED"));
    assert.equal(await engine.identify(), undefined);
  }
});

test("backup: an engine that answers from old copies of itself is backed up whole", async () => {
  const one = await kept();
  await fill(one, 4);
  let reads = 0;
  const engine = engineOn(one, ({ kind }) =>
    kind === "read" && ++reads % 3 > 0 ? { kind: "stale", behind: 4 } : { kind: "ok" },
  );
  const folder = memoryFolder();
  const manifest: Manifest = await one.run(takeBackup({ engine, folder, host: one.host, version }));
  const heads = await engineOn(one).barrier(manifest.shards.map(({ shard }) => shard));
  assert.deepEqual(
    manifest.shards.map(({ seq }) => seq),
    heads.map(({ seq }) => seq),
  );
});

test("backup: journals that are trimmed while they are copied are whole in it", async () => {
  const one = await kept({ snapshotEveryBytes: 1500 });
  await fill(one, 2);
  let turns = 0;
  const engine = engineOn(one);
  const busy = {
    ...engine,
    // Each look at the heads, and some reads, come after much was written, and trimmed behind snapshots.
    async barrier(shards: readonly number[]) {
      if (++turns <= 2) await churn(one, 60 * turns);
      return engine.barrier(shards);
    },
  };
  const folder = memoryFolder();
  await takeBackup({ engine: busy, folder, host: one.host, version });
  assert.ok(turns >= 2, "the first cut was trimmed away");
  const second = await kept({ disk: await restored(one, folder), from: one });
  assert.deepEqual(await totals(second), Array(9).fill(2));
});

test("backup: snapshots that are replaced while they are copied are copied as they are then", async () => {
  const one = await kept({ snapshotEveryBytes: 1500 });
  await fill(one, 2);
  await churn(one, 60);
  const engine = engineOn(one);
  let gets = 0;
  const busy = {
    ...engine,
    snapshots: {
      ...engine.snapshots,
      async *get(name: Parameters<typeof engine.snapshots.get>[0]) {
        if (++gets === 1) await churn(one, 300);
        yield* engine.snapshots.get(name);
      },
    },
  };
  const folder = memoryFolder();
  await takeBackup({ engine: busy, folder, host: one.host, version });
  const second = await kept({ disk: await restored(one, folder), from: one });
  assert.deepEqual(await totals(second), Array(9).fill(2));
});

test("backup: a damaged snapshot is left out and said where another stands for it, and is the end of it where none does", async () => {
  const one = await kept({ snapshotEveryBytes: 1500 });
  await fill(one, 2);
  await churn(one, 60);
  const engine = engineOn(one);
  const bend = async (which: number): Promise<void> => {
    for (const shard of [0, 1, 2]) {
      const name = (await engine.snapshots.list(shard))[which]!;
      const chunks: Uint8Array[] = [];
      for await (const chunk of engine.snapshots.get(name))
        chunks.push(chunk.map((byte, i) => (i === 70 ? byte ^ 1 : byte)));
      await engine.snapshots.put(name, chunks);
    }
  };
  await bend(1);
  const warnings: string[] = [];
  const folder = memoryFolder();
  await one.run(takeBackup({ engine, folder, host: one.host, version, onWarning: (says) => void warnings.push(says) }));
  assert.equal(warnings.length, 3);
  const second = await kept({ disk: await restored(one, folder), from: one });
  assert.deepEqual(await totals(second), Array(9).fill(2));
  await bend(0);
  const none = memoryFolder();
  await assert.rejects(one.run(takeBackup({ engine, folder: none, host: one.host, version })), code("CORRUPT"));
  assert.equal(none.files.size, 0);
});
