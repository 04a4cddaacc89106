import assert from "node:assert/strict";
import test from "node:test";
import { SheafError } from "../base/index.ts";
import { checkTiming, type Member, type MemberRecord, mostAccused, timingFor, trackMembers } from "./index.ts";
import { memberNamed } from "./world.fixture.ts";

/** One observer, `a`, and what is put before it: each beat of 150 ms, the members named in `heard` and `beating`. */
function observer(names: string, changes: Record<string, Partial<Member>> = {}) {
  let now = 5_000_000;
  const records = new Map<string, MemberRecord>();
  const listing = (name: string): void =>
    void records.set(name, { member: memberNamed(name, changes[name]), beat: 1, accuses: [] });
  const members = trackMembers(memberNamed("a", changes["a"]), now);
  for (const name of names) listing(name);
  members.listed(new Map(records), now);
  return {
    members,
    records,
    now: () => now,
    list: (): void => members.listed(new Map(records), now),
    add: (name: string, its: Partial<Member> = {}): void =>
      void records.set(name, { member: memberNamed(name, its), beat: 1, accuses: [] }),
    accuse(name: string, accuses: string): void {
      const record = records.get(name);
      if (record) records.set(name, { ...record, accuses: [...accuses] });
    },
    /** Lets time pass. `heard` beat on their connection, `beating` in the registry; `a` always does unless it `isCutOff`. */
    pass(ms: number, { heard = "", beating = "", isCutOff = false } = {}): void {
      for (const end = now + ms; now < end;) {
        now += 150;
        for (const name of isCutOff ? beating : `a${beating}`) {
          const record = records.get(name);
          if (record) records.set(name, { ...record, beat: record.beat + 1 });
        }
        for (const name of heard) members.heard(name, now);
        members.listed(new Map(records), now);
        members.tick(now);
      }
    },
    sleep: (ms: number): void => void (now += ms),
    standing: (name: string): string => {
      const seen = members.view().byId.get(name);
      return seen === undefined ? "none" : seen.why === undefined ? seen.standing : `${seen.standing} ${seen.why}`;
    },
  };
}

test("members: M1 a heard member is alive, and one whose process is gone is dead at once", () => {
  const see = observer("ab");
  assert.equal(see.standing("b"), "doubted new");
  see.members.heard("b", see.now());
  assert.equal(see.standing("b"), "alive");
  see.pass(5000, { heard: "b", beating: "b" });
  see.members.refused("b", see.now());
  assert.equal(see.standing("b"), "dead refused");
  see.pass(20_000);
  assert.equal(see.standing("b"), "dead refused");
});

test("members: M1 a refused member that goes on beating is not gone, but accused", () => {
  const see = observer("ab");
  see.pass(3000, { heard: "b", beating: "b" });
  see.members.refused("b", see.now());
  see.pass(150, { beating: "b" });
  assert.equal(see.standing("b"), "dead refused", "one beat may have been under way");
  see.pass(300, { beating: "b" });
  assert.equal(see.standing("b"), "doubted healing");
  assert.deepEqual(see.members.accuses(see.now()), ["b"]);
});

test("members: M2 a silent member is alive as long as it beats, and dead a lease after its last beat", () => {
  const see = observer("ab");
  see.pass(1500, { heard: "b", beating: "b" });
  see.pass(6000, { beating: "b" });
  assert.equal(see.standing("b"), "alive");
  see.pass(900);
  assert.equal(see.standing("b"), "alive");
  see.pass(150);
  assert.equal(see.standing("b"), "dead silent");
});

test("members: M2 a stale record is doubted for a lease, never alive, and then dead", () => {
  const see = observer("ab");
  see.pass(900);
  assert.equal(see.standing("b"), "doubted new");
  see.pass(300);
  assert.equal(see.standing("b"), "dead silent");
});

test("members: who is heard but does not reach the registry is dead, unless the registry stands still for all", () => {
  const see = observer("ab");
  see.pass(3000, { heard: "b", beating: "b" });
  see.pass(2700, { heard: "b" });
  assert.equal(see.standing("b"), "alive");
  see.pass(600, { heard: "b" });
  assert.equal(see.standing("b"), "dead stranded");

  const other = observer("ab");
  other.pass(3000, { heard: "b", beating: "b" });
  other.pass(20_000, { heard: "b", isCutOff: true });
  assert.equal(other.standing("b"), "alive");
  assert.equal(other.members.view().mayClaim, false);
  other.pass(2700, { heard: "b" });
  assert.equal(other.standing("b"), "alive", "the engine is back for one before it is for another");
  assert.equal(other.members.view().mayClaim, true);
});

test("members: a node claims nothing before it has seen its own record, nor while its beats do not come back", () => {
  const see = observer("");
  see.pass(600, { isCutOff: true });
  assert.equal(see.members.view().mayClaim, false);
  see.add("a");
  see.list();
  assert.equal(see.members.view().mayClaim, true);
  see.pass(3150, { isCutOff: true });
  assert.equal(see.members.view().mayClaim, false);
  assert.equal(see.members.view().excluded, false);
});

test("members: M3 two that cannot hear each other agree that the same one stands aside, and it knows", () => {
  const see = observer("ab");
  see.pass(3000, { heard: "b", beating: "b" });
  see.pass(600, { beating: "b" });
  assert.deepEqual(see.members.accuses(see.now()), ["b"]);
  see.accuse("a", "b");
  see.pass(600, { beating: "b" });
  assert.equal(see.standing("b"), "alive", "not before it is confirmed");
  see.pass(600, { beating: "b" });
  assert.equal(see.standing("b"), "dead aside");

  const its = observer("ab", { a: { weight: 0.5 } });
  its.pass(3000, { heard: "b", beating: "b" });
  its.accuse("b", "a");
  its.pass(1200, { heard: "b", beating: "b" });
  assert.equal(its.standing("a"), "dead aside");
  assert.equal(its.members.view().excluded, true);
  assert.equal(its.members.view().mayClaim, false);
});

test("members: M3 the first to accuse is not set aside for having been the first", () => {
  const see = observer("abcd");
  see.pass(3000, { heard: "bcd", beating: "bcd" });
  see.accuse("a", "cd");
  see.pass(300, { heard: "b", beating: "bcd" });
  see.accuse("b", "cd");
  see.accuse("c", "ab");
  see.accuse("d", "ab");
  see.pass(300, { heard: "b", beating: "bcd" });
  for (let i = 0; i < 20; i++) {
    see.pass(150, { heard: "b", beating: "bcd" });
    assert.equal(see.standing("a"), "alive");
    assert.equal(see.standing("b"), "alive");
  }
  assert.equal(see.standing("c"), "dead aside");
  assert.equal(see.standing("d"), "dead aside");
});

test("members: M3 a dying member's accusations, and those of it, set nobody aside", () => {
  const see = observer("abz", { z: { weight: 5 } });
  see.pass(3000, { heard: "bz", beating: "bz" });
  see.accuse("z", "a");
  see.accuse("b", "z");
  for (let i = 0; i < 20; i++) {
    see.pass(150, { heard: "b", beating: "b" });
    assert.equal(see.standing("a"), "alive");
    assert.equal(see.standing("b"), "alive");
  }
  assert.equal(see.standing("z"), "dead silent");
});

test("members: M3 who stood aside for one that has died since takes part again at once", () => {
  const see = observer("abc", { a: { weight: 0.5 } });
  see.pass(3000, { heard: "bc", beating: "bc" });
  see.accuse("b", "a");
  see.accuse("a", "b");
  see.pass(1500, { heard: "c", beating: "bc" });
  assert.equal(see.standing("a"), "dead aside");
  see.pass(1200, { heard: "c", beating: "c" });
  assert.equal(see.standing("b"), "dead silent");
  assert.equal(see.standing("a"), "alive");
  assert.equal(see.members.view().mayClaim, true);
});

test("members: a record never accuses more than it has room for", () => {
  const see = observer("a");
  const names = Array.from({ length: 300 }, (_, i) => `n${i}`);
  for (let beat = 1; beat <= 4; beat++) {
    for (const name of names) see.records.set(name, { member: memberNamed(name), beat, accuses: [] });
    see.pass(450);
  }
  assert.equal(see.members.accuses(see.now()).length, mostAccused);
});

test("members: M4 who was dead is doubted until it was well for long enough, longer each time", () => {
  const see = observer("abc");
  const healings: number[] = [];
  see.pass(3000, { heard: "bc", beating: "bc" });
  for (let round = 0; round < 3; round++) {
    see.pass(1350, { heard: "c", beating: "c" });
    assert.equal(see.standing("b"), "dead silent");
    const back = see.now();
    see.pass(150, { heard: "bc", beating: "bc" });
    assert.equal(see.standing("b"), "doubted healing");
    while (see.standing("b") !== "alive") see.pass(150, { heard: "bc", beating: "bc" });
    healings.push(Math.round((see.now() - back) / 1000));
  }
  assert.deepEqual(healings, [3, 12, 48]);
});

test("members: M4 a member whose link goes up and down every second is out once, and back only when that ends", () => {
  const see = observer("abc");
  see.pass(3000, { heard: "bc", beating: "bc" });
  const { settledSince } = see.members.view();
  let returns = 0;
  let before = "alive";
  for (let second = 0; second < 60; second++) {
    const isUp = second % 2 === 0;
    for (let i = 0; i < 7; i++) {
      see.accuse("a", see.members.accuses(see.now()).join(""));
      see.accuse("b", isUp ? "" : "a");
      see.pass(150, { heard: isUp ? "bc" : "c", beating: "bc" });
      if (see.standing("b") === "alive" && before !== "alive") returns++;
      before = see.standing("b");
    }
  }
  assert.equal(returns, 0);
  assert.notEqual(before, "alive");
  assert.ok(see.members.view().settledSince - settledSince < 5000, "what goes on with it unsettles nothing else");
});

test("members: M4 the first restart is welcome at once, a crash loop is not, and a goodbye is no crash", () => {
  const run = (leaves: boolean): string[] => {
    const see = observer("ac");
    const seen: string[] = [];
    for (let i = 1; i <= 4; i++) {
      const id = `b${i}`;
      const its: Partial<Member> = { name: "b", startedAt: i, state: leaves ? "draining" : "ready" };
      see.add(id, its);
      see.list();
      see.members.heard(id, see.now());
      see.pass(150, { heard: "c", beating: "c" });
      seen.push(see.standing(id));
      see.members.refused(id, see.now());
      see.pass(300, { heard: "c", beating: "c" });
      assert.equal(see.standing(id), "dead refused");
    }
    return seen;
  };
  assert.deepEqual(run(false), ["alive", "alive", "doubted healing", "doubted healing"]);
  assert.deepEqual(run(true), ["alive", "alive", "alive", "alive"]);
});

test("members: an earlier run of a node is dead as soon as its next is seen, and this node's own at once", () => {
  const see = observer("a", { a: { startedAt: 10 } });
  see.add("old", { name: "a", startedAt: 3 });
  see.add("b1", { name: "b", startedAt: 1 });
  see.list();
  assert.equal(see.standing("old"), "dead superseded");
  assert.equal(see.standing("b1"), "doubted new");
  see.add("b2", { name: "b", startedAt: 2 });
  see.list();
  assert.equal(see.standing("b1"), "doubted new", "which of the two records is alive is not known yet");
  see.members.heard("b2", see.now());
  see.pass(150, {});
  assert.equal(see.standing("b1"), "dead superseded");
  assert.equal(see.standing("b2"), "alive");
});

test("members: M5 an observer that slept accuses nobody, and buries nobody for its own sleep", () => {
  const see = observer("abc");
  see.pass(3000, { heard: "bc", beating: "bc" });
  see.sleep(10_000);
  for (const wake of [() => see.members.tick(see.now()), () => see.list(), () => see.members.heard("b", see.now())]) {
    wake();
    assert.equal(see.standing("b"), "alive");
    assert.equal(see.standing("c"), "alive");
    assert.deepEqual(see.members.accuses(see.now()), []);
    see.pass(300, { beating: "bc" });
    assert.deepEqual(see.members.accuses(see.now()), [], "their next beats may be on their way");
    see.pass(1500, { heard: "bc", beating: "bc" });
    see.sleep(10_000);
  }
});

test("members: M5 who was dead before the sleep is dead after it", () => {
  const see = observer("ab");
  see.pass(3000, { heard: "b", beating: "b" });
  see.pass(1350);
  see.sleep(10_000);
  see.members.tick(see.now());
  assert.equal(see.standing("b"), "dead silent");
});

test("members: M6 where nobody is left to trust, those who are healing are trusted at once", () => {
  const see = observer("ab", { a: { entities: false } });
  see.pass(3000, { heard: "b", beating: "b" });
  see.pass(1350);
  assert.equal(see.standing("b"), "dead silent");
  see.pass(150, { heard: "b", beating: "b" });
  assert.equal(see.standing("b"), "alive");
});

test("members: who took its record back has left, unless it is still heard; a record under another's id is nobody's", () => {
  const see = observer("abc");
  see.pass(3000, { heard: "bc", beating: "bc" });
  see.records.delete("b");
  see.pass(300, { heard: "bc", beating: "c" });
  assert.equal(see.standing("b"), "alive");
  see.pass(600, { heard: "c", beating: "c" });
  assert.equal(see.standing("b"), "dead left");
  see.pass(31_000, { heard: "c", beating: "c" });
  assert.equal(see.standing("b"), "none");
  see.records.set("x", { member: memberNamed("y"), beat: 1, accuses: [] });
  see.list();
  assert.equal(see.standing("x"), "none");
  assert.equal(see.standing("y"), "none");
});

test("members: a record is given up half a minute after its last beat, never this node's own or one that is heard", () => {
  const see = observer("abc");
  see.pass(3000, { heard: "bc", beating: "bc" });
  see.pass(30_000, { heard: "c" });
  assert.deepEqual(see.members.gone(see.now()), []);
  see.pass(300, { heard: "c" });
  assert.deepEqual(see.members.gone(see.now()), ["b"]);
  assert.equal(see.standing("c"), "dead stranded");
});

test("members: a view is made anew only when something changed, and never changes", () => {
  const see = observer("ab");
  see.pass(3000, { heard: "b", beating: "b" });
  const view = see.members.view();
  const copy = structuredClone({ ...view });
  see.pass(3000, { heard: "b", beating: "b" });
  assert.equal(see.members.view(), view);
  see.members.self(memberNamed("a", { state: "draining" }), see.now());
  assert.equal(see.members.view().version, view.version + 1);
  assert.equal(see.members.view().settledSince, see.now());
  assert.equal(see.members.view().byId.get("a")?.member.state, "draining");
  see.add("c");
  see.list();
  assert.equal(see.members.view().version, view.version + 2);
  assert.deepEqual(structuredClone({ ...view }), copy);
});

test("timing: timings that contradict each other are refused by name", () => {
  assert.throws(
    () => checkTiming({ beatMs: 400, forgetMs: 10 }),
    (error) =>
      error instanceof SheafError &&
      error.code === "USAGE" &&
      /beatMs \* 3 <= leaseMs; beatMs \* 3 <= confirmMs; leaseMs <= forgetMs/.test(error.message),
  );
  assert.throws(() => checkTiming({ healMs: Number.NaN }), /healMs must be above 0/);
});

test("members: the times of every beat fit each other", () => {
  for (let beatMs = 1; beatMs <= 5_000; beatMs++) assert.equal(checkTiming(timingFor(beatMs)).beatMs, beatMs);
});

/** One observer, `a`, of a cluster of nine that hears all of `heard`, and looks at the beats of `neighbours` and of those it has to. */
function few(neighbours = "b") {
  let now = 5_000_000;
  const records = new Map<string, MemberRecord>();
  for (const name of "abcdefghi") records.set(name, { member: memberNamed(name), beat: 1, accuses: [] });
  const members = trackMembers(memberNamed("a"), now);
  const look = (): void => members.listed(records, now, new Set([...members.lookFor(now), ...neighbours]));
  const pass = (ms: number, { heard = "bcdefghi", beating = "bcdefghi" } = {}): void => {
    for (const end = now + ms; now < end;) {
      now += 150;
      for (const name of `a${beating}`) {
        const record = records.get(name) as MemberRecord;
        records.set(name, { ...record, beat: record.beat + 1 });
      }
      for (const name of heard) members.heard(name, now);
      look();
      members.tick(now);
    }
  };
  look();
  pass(3000);
  const standing = (name: string): string | undefined => {
    const seen = members.view().byId.get(name);
    return seen?.why ?? seen?.standing;
  };
  return { members, records, pass, standing, now: () => now };
}

test("members: M7 the beats of those who are well are not looked for, and do not age", () => {
  const see = few();
  assert.deepEqual(see.members.lookFor(see.now()), ["a"]);
  see.pass(60_000, { beating: "" });
  assert.equal(see.standing("b"), "stranded");
  for (const name of "cdefghi") assert.equal(see.standing(name), "alive");
});

test("members: M7 a silent member that was not looked at is dead a lease after the first look, or after what a neighbour saw", () => {
  for (const said of [undefined, { forMs: 600, isOfThisBeat: true }, { forMs: 600, isOfThisBeat: false }]) {
    const see = few();
    const { beat } = see.records.get("c") as MemberRecord;
    see.pass(600, { heard: "bdefghi", beating: "bdefghi" });
    assert.ok(see.members.lookFor(see.now()).includes("c"));
    if (said) see.members.stood("c", said.isOfThisBeat ? beat : beat - 1, said.forMs, see.now());
    see.pass(600, { heard: "bdefghi", beating: "bdefghi" });
    assert.equal(see.standing("c"), said?.isOfThisBeat ? "silent" : "alive");
    see.pass(600, { heard: "bdefghi", beating: "bdefghi" });
    assert.equal(see.standing("c"), "silent");
  }
});

test("members: M2 what a neighbour says of a beat does nothing to whoever is heard, or beats on", () => {
  const see = few();
  see.members.stood("c", (see.records.get("c") as MemberRecord).beat, 2000, see.now());
  see.pass(1500, { heard: "bdefghi" });
  assert.equal(see.standing("c"), "alive");
  const quiet = few();
  quiet.members.stood("c", (quiet.records.get("c") as MemberRecord).beat, 2000, quiet.now());
  quiet.pass(1500, { beating: "bdefghi" });
  assert.equal(quiet.standing("c"), "alive");
});

test("members: M8 of one that died nobody writes in a large cluster; of one that beats on and is not heard everybody does", () => {
  for (const beating of ["bdefghi", "bcdefghi"]) {
    const see = few("bc");
    const accused = new Set<string>();
    for (let ms = 0; ms < 3000; ms += 150) {
      see.pass(150, { heard: "bdefghi", beating });
      for (const id of see.members.accuses(see.now())) accused.add(id);
    }
    assert.deepEqual([...accused], beating.includes("c") ? ["c"] : []);
    assert.equal(see.standing("c"), beating.includes("c") ? "alive" : "silent");
  }
});

test("members: M8 whoever is accused, accuses, or has another's name is looked at", () => {
  const see = few();
  const record = see.records.get("d") as MemberRecord;
  see.records.set("d", { ...record, accuses: ["e"] });
  see.records.set("f2", { member: memberNamed("f", { id: "f2" }), beat: 1, accuses: [] });
  see.pass(150);
  assert.deepEqual([...see.members.lookFor(see.now())].toSorted(), ["a", "d", "e", "f", "f2"]);
});
