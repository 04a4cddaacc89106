import assert from "node:assert/strict";
import test from "node:test";
import type { Generation } from "../base/index.ts";
import { seeded } from "../sim/random.ts";
import { eventsWithin, Logs, logRows, loggedOf, type Logged } from "./logs.ts";
import type { Cell } from "./store.ts";

const value = (n: number): Uint8Array => new Uint8Array(1 + (n % 50)).fill(n);

const says = ({ n, key, at, schema, value: bytes }: Logged): string =>
  `${n} ${key} ${at} ${schema} ${bytes.length} ${bytes[0]}`;

/** What the local store would hold. */
class Rows {
  readonly cells = new Map<string, Cell>();
  save({ cells, trims }: ReturnType<Logs["drain"]>): void {
    for (const { type, below } of trims)
      for (const [id, cell] of this.cells) if (cell.type === type && cell.key < below) this.cells.delete(id);
    for (const cell of cells) this.cells.set(`${cell.type} ${cell.key}`, cell);
  }
  of(topic: string): Logged[] {
    const cells = [...this.cells.values()].filter(({ type }) => type === logRows(topic));
    return cells.sort((a, b) => (a.key < b.key ? -1 : 1)).map(loggedOf);
  }
}

/** All events of a topic, from the store and from memory, each once. */
function all(logs: Logs, rows: Rows, topic: string): Logged[] {
  const recent = logs.recent(topic);
  const first = recent[0]?.n ?? Infinity;
  return [...rows.of(topic).filter(({ n }) => n < first), ...recent];
}

test("logs: whatever was saved, refused, trimmed, restored or read again, each event is there once and in order", () => {
  for (let seed = 1; seed <= 12; seed++) {
    const random = seeded(seed);
    const kept = { maxHotEntities: 4096 };
    let logs = new Logs(kept);
    const rows = new Rows();
    const expected = new Map<string, Logged[]>();
    let generation: Generation = 1;
    let saved = logs.memo();
    for (let step = 0; step < 60; step++) {
      const topic = random.below(2) === 0 ? "orders" : "account.withdrawn";
      const there = expected.get(topic) ?? [];
      switch (random.below(7)) {
        case 0: {
          const drained = logs.drain();
          if (random.below(3) === 0) logs.unsaved();
          else {
            rows.save(drained);
            saved = logs.memo();
            logs.saved();
          }
          break;
        }
        case 1: {
          const cut = there[random.below(Math.max(1, there.length))];
          if (!cut) break;
          logs.note({ kind: "trimmed", topic, below: cut.n, bytes: 0 }, 1);
          expected.set(
            topic,
            there.filter(({ n }) => n >= cut.n),
          );
          break;
        }
        case 2:
          if (random.below(10) === 0) generation++;
          break;
        case 3:
          if (random.below(5) > 0) break;
          rows.save(logs.drain());
          saved = logs.memo();
          logs = new Logs(kept);
          logs.restore(saved);
          break;
        default:
          for (let i = random.below(300); i > 0; i--) {
            const event = { schema: 1 + random.below(2), value: value(step) };
            logs.append(topic, `k${i}`, event, step, generation);
            const { last } = logs.of(topic);
            assert.ok(last > (there.at(-1)?.n ?? 0));
            there.push({ ...event, n: last, key: `k${i}`, at: step });
          }
          expected.set(topic, there);
      }
      for (const [name, events] of expected) {
        const found = all(logs, rows, name).filter(({ n }) => n >= logs.of(name).floor);
        assert.equal(found.map(says).join(), events.map(says).join(), `seed ${seed}`);
      }
    }
  }
});

test("logs: what the store refuses fills them, and what it takes makes room", () => {
  const logs = new Logs();
  const event = { schema: 1, value: new Uint8Array(1024 * 1024) };
  while (!logs.full) logs.append("orders", "k", event, 1, 1);
  assert.equal(logs.recent("orders").length, 32);
  logs.drain();
  logs.unsaved();
  assert.ok(logs.full);
  assert.equal(logs.drain().cells.length, 32);
  logs.saved();
  assert.ok(!logs.full);
});

test("logs: a group stays at its place when it is paused, and has none when it is forgotten", () => {
  const logs = new Logs();
  assert.equal(logs.place("ship", "orders"), undefined);
  logs.note({ kind: "moved", group: "ship", topic: "orders", through: 7, messages: [] }, 1);
  logs.note({ kind: "group", group: "ship", topic: "orders", state: "paused" }, 1);
  assert.deepEqual(logs.place("ship", "orders"), { through: 7, paused: true });
  logs.note({ kind: "moved", group: "ship", topic: "orders", through: 3, messages: [] }, 1);
  const again = new Logs();
  again.restore(logs.memo());
  assert.deepEqual(again.place("ship", "orders"), { through: 3, paused: true });
  logs.note({ kind: "group", group: "ship", topic: "orders", state: "open" }, 1);
  assert.deepEqual(logs.place("ship", "orders"), { through: 3, paused: false });
  logs.note({ kind: "group", group: "ship", topic: "orders", state: "gone" }, 1);
  assert.equal(logs.place("ship", "orders"), undefined);
});

test("logs: numbers tell how many events there are within a generation, and that there may be more before it", () => {
  const base = 5 * 2 ** 20;
  const within = (after: number, through: number) => Object.values(eventsWithin(5, after, through));
  assert.deepEqual(within(0, 0), [0, false]);
  assert.deepEqual(within(-1, 0), [0, false]);
  assert.deepEqual(within(base, base + 3), [3, false]);
  assert.deepEqual(within(base + 3, base + 3), [0, false]);
  assert.deepEqual(within(0, base + 3), [3, true]);
  assert.deepEqual(within(base + 1, base + 2 ** 21), [2 ** 21 - 1, false]);
  // Nothing has come since the restore.
  const before = 3 * 2 ** 20;
  assert.deepEqual(within(before + 1, before + 7), [6, false]);
  assert.deepEqual(within(before - 1, before + 7), [7, true]);
});
