import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { mirror } from "./mirror.ts";
import { places } from "./places.ts";

test("nats mirror: whatever is lost, repeated or out of order, heads at `through` are the true ones, and never fall (M1, M2)", () => {
  // Messages at positions 1, 2, 3 … each of one of four shards; what this node hears of them is any list of positions.
  const history = fc.array(fc.nat(3), { minLength: 1, maxLength: 60 });
  const event = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({ kind: fc.constant("next" as const), skip: fc.constantFrom(0, 0, 0, 0, 1, 3) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("old" as const), back: fc.nat(20) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant("settled" as const),
        share: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
    },
  );
  fc.assert(
    fc.property(history, fc.array(event, { maxLength: 80 }), (shards, events) => {
      const seqs = shards.map((shard, i) => shards.slice(0, i + 1).filter((one) => one === shard).length);
      const headAt = (shard: number, position: number): number =>
        shards.slice(0, position).filter((one) => one === shard).length;
      const seen = mirror();
      let heard = 0;
      const hear = (position: number): void => {
        if (position < 1 || position > shards.length) return;
        seen.note(shards[position - 1] as number, position, `1 1 ${seqs[position - 1]}`);
        seen.republished(position);
      };
      for (const one of events) {
        const before = [0, 1, 2, 3].map((shard) => seen.known(shard).head.seq);
        if (one.kind === "next") hear((heard += 1 + one.skip));
        else if (one.kind === "old") hear(heard - one.back);
        else {
          const position = Math.floor(one.share * shards.length);
          for (const shard of [0, 1, 2, 3]) {
            const last = shards.slice(0, position).lastIndexOf(shard) + 1;
            if (last > 0) seen.note(shard, last, `1 1 ${seqs[last - 1]}`);
          }
          seen.settled(position);
        }
        for (const shard of [0, 1, 2, 3]) {
          const { seq } = seen.known(shard).head;
          assert.ok(seq >= headAt(shard, Math.min(seen.through, shards.length)), "knows all up to through");
          assert.ok(seq >= (before[shard] as number), "never falls");
          assert.ok(seq <= headAt(shard, shards.length), "is true");
        }
        assert.ok(seen.through <= shards.length);
      }
    }),
    { numRuns: 2000 },
  );
});

test("nats mirror: without losses `through` is the last position heard", () => {
  const seen = mirror();
  for (let position = 1; position < 100; position++) {
    seen.note(position % 3, position, `1 1 ${Math.ceil(position / 3)}`);
    seen.republished(position);
    assert.equal(seen.through, position);
  }
});

test("nats mirror: what is not a record's header marks its shard and no other", () => {
  for (const header of ["", "1 2", "1 2 3 4", "a b c", "1 2 -3", "1 2 3\n", `1 2 ${"9".repeat(16)}`]) {
    const seen = mirror();
    seen.note(1, 7, header);
    assert.match(seen.known(1).says ?? "", /message 7 .* is not one of Sheaf's records/);
    assert.equal(seen.known(2).says, undefined);
  }
});

test("nats places: neighbours are true and bracket what is asked, however many were forgotten", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 5000 }), { maxLength: 3000 }),
      fc.integer({ min: 0, max: 5001 }),
      (seqs, asked) => {
        const known = places();
        for (const seq of seqs) known.add({ seq, position: 10 * seq + 3 });
        const [below, above] = [known.atOrBelow(asked), known.above(asked)];
        if (below) assert.ok(below.seq <= asked && below.position === 10 * below.seq + 3 && seqs.includes(below.seq));
        if (above) assert.ok(above.seq > asked && above.position === 10 * above.seq + 3 && seqs.includes(above.seq));
        if (seqs.length <= 500) assert.equal(below?.seq ?? 0, Math.max(0, ...seqs.filter((seq) => seq <= asked)));
      },
    ),
    { numRuns: 100 },
  );
  const long = places();
  for (let seq = 1; seq <= 100_000; seq++) long.add({ seq, position: 2 * seq });
  assert.deepEqual(long.atOrBelow(100_000), { seq: 100_000, position: 200_000 });
  assert.equal(long.above(100_000), undefined);
  assert.ok(long.atOrBelow(50_000) === undefined || (long.atOrBelow(50_000)?.seq ?? 0) > 0);
});
