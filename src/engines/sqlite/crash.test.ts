import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { numbered } from "./crash-child.fixture.ts";
import { embeddedEngine } from "./engine.ts";

const root = mkdtempSync(join(tmpdir(), "sheaf-crash-"));
after(() => rmSync(root, { recursive: true, force: true }));
const childFile = fileURLToPath(import.meta.resolve("./crash-child.fixture.ts"));

const files = 4;
const roundsPerFile = 25;
const shardsPerChild = 6;

/** Lets two processes write to one file, kills both after a random number of acknowledgements, and keeps what they
 *  said. */
async function round(through: "engine" | "writer", dir: string, acked: Map<number, number>): Promise<number> {
  const killAfter = Math.floor(Math.random() * 30);
  let acks = 0;
  const children = [0, 1].map((n) => {
    const args = [
      "--disable-warning=ExperimentalWarning",
      childFile,
      through,
      dir,
      String(n * shardsPerChild),
      String(shardsPerChild),
    ];
    return spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  });
  const kill = (): void => children.forEach((child) => void child.kill("SIGKILL"));
  const ends = children.map(async (child) => {
    const exited = once(child, "exit");
    for await (const line of createInterface({ input: child.stdout })) {
      const [kind, ...places] = line.split(" ");
      assert.equal(places.pop(), "end", "a line is written whole or not at all");
      for (const place of places) {
        const [shard, seq] = place.split(":").map(Number) as [number, number];
        const known = acked.get(shard) ?? 0;
        if (kind === "start")
          assert.ok(seq >= known, `shard ${shard} was acknowledged to ${known} and came back at ${seq}`);
        else acked.set(shard, seq);
      }
      if (kind === "ack" && ++acks > killAfter) kill();
    }
    const [, signal] = (await exited) as [number | null, string | null];
    assert.equal(signal, "SIGKILL", "the child ended by itself");
  });
  try {
    await Promise.all(ends);
  } finally {
    kill();
  }
  return children.length;
}

/** Every record to the head is there, whole, in its place; and the head is not before what was acknowledged. */
async function verify(dir: string, acked: ReadonlyMap<number, number>): Promise<number> {
  const engine = await embeddedEngine({ dir });
  let records = 0;
  try {
    for (let shard = 0; shard < shardsPerChild * 2; shard++) {
      let next = 1;
      for (;;) {
        const { entries, head } = await engine.read(shard, next, 1000);
        for (const { seq, record } of entries) {
          assert.equal(seq, next);
          assert.deepEqual(Buffer.from(record), numbered(shard, next), `record ${seq} of shard ${shard}`);
          next++;
          records++;
        }
        if (next > head.seq) break;
      }
      assert.ok(next - 1 >= (acked.get(shard) ?? 0), `shard ${shard} lost acknowledged records`);
    }
  } finally {
    await engine.close();
  }
  return records;
}

function countRuns(dir: string): number {
  const db = new DatabaseSync(join(dir, "journal.db"), { readOnly: true });
  const { runs } = db.prepare("SELECT count(*) AS runs FROM run").get() as { runs: number };
  db.close();
  return runs;
}

test("embedded engine: over 200 kills at random instants every acknowledged record is kept, whole and in order", async (t) => {
  let kills = 0;
  let records = 0;
  let folded = 0;
  for (let file = 0; file < files; file++) {
    const dir = join(root, String(file));
    const acked = new Map<number, number>();
    for (let n = 0; n < roundsPerFile; n++) kills += await round(n % 8 === 0 ? "engine" : "writer", dir, acked);
    assert.ok(acked.size > 0);
    records += await verify(dir, acked);
    folded += countRuns(dir);
  }
  assert.equal(kills, files * roundsPerFile * 2);
  assert.ok(folded > 0, "some were killed while batches were being folded into runs");
  t.diagnostic(`${kills} kills, ${records} records, ${folded} runs`);
});
