import assert from "node:assert/strict";
import test from "node:test";
import { seeded } from "../sim/random.ts";
import { readLog, type Rows } from "./log-pages.ts";
import { type Logged, Logs, logRows } from "./logs.ts";
import type { Cell } from "./store.ts";

const topic = "orders";

/** A log whose local store takes as long as it likes, while everything goes on. */
class Bench {
  readonly logs = new Logs({ maxHotEntities: 64 });
  readonly all: number[] = [];
  #cells: readonly Cell[] = [];
  generation = 1;

  append(bytes = 1): void {
    this.logs.append(topic, "k", { schema: 1, value: new Uint8Array(bytes) }, 0, this.generation);
    this.all.push(this.logs.of(topic).last);
  }

  save(): void {
    const { cells, trims } = this.logs.drain();
    const [trim] = trims;
    this.#cells = [...this.#cells.filter(({ key }) => !trim || key >= trim.below), ...cells];
    this.logs.saved();
  }

  trim(below: number): void {
    this.logs.note({ kind: "trimmed", topic, below, bytes: 0 }, 1);
  }

  /** `meanwhile` happens before the store looks, and after. */
  rows(meanwhile: () => void, asked: number[] = []): Rows {
    return async (type, after, limit) => {
      asked.push(limit);
      assert.equal(type, logRows(topic));
      meanwhile();
      const found = this.#cells.filter(({ key }) => key > after).slice(0, limit);
      await Promise.resolve();
      meanwhile();
      return found;
    };
  }
}

test("log pages: whatever is saved, trimmed or logged while it is read, no event is left out that is kept", async () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = seeded(seed);
    const bench = new Bench();
    const step = (): void => {
      const dice = random.below(6);
      if (dice === 0) bench.trim(random.pick(bench.all));
      else if (dice === 1) bench.save();
      else if (dice === 2 && random.below(10) === 0) bench.generation++;
      else for (let n = random.below(8); n >= 0; n--) bench.append();
    };
    bench.append();
    for (let round = 0; round < 30; round++) {
      step();
      const after = random.below(4) === 0 ? 0 : random.pick(bench.all);
      const limit = 1 + random.below(40);
      const before = bench.logs.of(topic).last;
      const got = await readLog(bench.logs, topic, after, limit, bench.rows(step));
      const { floor } = bench.logs.of(topic);
      const end = got.at(-1)?.n ?? before;
      const numbers = got.map(({ n }) => n);
      assert.deepEqual(
        bench.all.filter((n) => n > after && n <= end && n >= floor),
        numbers.filter((n) => n >= floor),
        `seed ${seed}`,
      );
      assert.ok(got.length <= limit);
    }
  }
});

test("log pages: of large events no more are asked of the store at once than are about a megabyte", async () => {
  const bench = new Bench();
  for (let n = 0; n < 200; n++) bench.append(100_000);
  bench.save();
  const asked: number[] = [];
  const large: readonly Logged[] = await readLog(
    bench.logs,
    topic,
    0,
    150,
    bench.rows(() => {}, asked),
  );
  assert.equal(large.length, 32);
  assert.deepEqual(asked, [32]);
});
