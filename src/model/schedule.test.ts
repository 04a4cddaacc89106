import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, entity, schedule, service } from "./index.ts";

const Report = entity("report", {
  state: z.object({ days: z.array(z.number()) }),
  commands: { make: { input: z.object({ day: z.number() }) }, clear: {} },
});
const report = Report.implement({ initial: () => ({ days: [] }), make: () => {}, clear: () => {} });
const daily = { cron: "0 3 * * *", zone: "Europe/Vienna" } as const;

test("a schedule: the app keeps it with its timing; the zone is UTC and what was missed runs once, unless said otherwise", () => {
  const nightly = schedule("nightly", { cron: "0 3 * * *" }).into(Report, "make", ({ at, number, asked }) => ({
    key: asked ? "asked" : `daily-${number}`,
    input: { day: at },
  }));
  const often = schedule("often", { every: "5m", missed: "skip" }).into(Report, "clear", () => ({ key: "daily" }));
  const { schedules } = app("shop", { entities: [report], schedules: [nightly, often] });
  assert.deepEqual(
    schedules.map(({ name, timing, missed, target }) => {
      return { name, timing, missed, command: target.kind === "command" && target.command };
    }),
    [
      { name: "nightly", timing: { cron: "0 3 * * *", zone: "UTC", everyMs: null }, missed: "one", command: "make" },
      { name: "often", timing: { cron: null, zone: null, everyMs: 300_000 }, missed: "skip", command: "clear" },
    ],
  );
  assert.deepEqual(nightly.map({ at: 7, number: 2, asked: false }), { key: "daily-2", input: { day: 7 } });
});

test("a schedule: what does not fit together is refused when it is defined, by the compiler where it can", () => {
  const usage = (define: () => unknown, says: RegExp): void =>
    assert.throws(define, { code: "USAGE", message: says }, String(define));
  const make = (): { key: string; input: { day: number } } => ({ key: "daily", input: { day: 1 } });
  usage(() => schedule("sheaf.mine", daily), /Sheaf's own/);
  usage(() => schedule("nightly", { cron: "0 25 * * *" }), /no cron pattern/);
  usage(() => schedule("nightly", { cron: "0 3 * * *", zone: "Europe/Wien" }), /no time zone "Europe\/Wien"/);
  // @ts-expect-error neither a pattern nor an interval
  usage(() => schedule("nightly", {}), /a cron pattern or an interval/);
  // @ts-expect-error both
  usage(() => schedule("nightly", { cron: "0 3 * * *", every: "5m" }), /a cron pattern or an interval/);
  // @ts-expect-error a zone of an interval
  usage(() => schedule("nightly", { every: "5m", zone: "UTC" }), /a zone goes with cron/);
  // @ts-expect-error no unit
  usage(() => schedule("nightly", { every: "5" }), /cannot run every "5"/);
  // @ts-expect-error no policy
  usage(() => schedule("nightly", { ...daily, missed: "two" }), /missed is "skip", "one" or "all"/);
  // @ts-expect-error a misspelt option
  usage(() => schedule("nightly", { ...daily, timezone: "UTC" }), /no option "timezone"/);
  // @ts-expect-error an implementation in place of the contract
  usage(() => schedule("nightly", daily).into(report, "make", make), /goes into a command of an entity/);
  // @ts-expect-error no command of the entity
  usage(() => schedule("nightly", daily).into(Report, "unmake", make), /no command "unmake"/);
});

test("what a run is: its key and input are of the command", () => {
  const into = schedule("nightly", daily);
  assert.equal(into.into(Report, "clear", () => ({ key: "daily" })).target.kind, "command");
  // @ts-expect-error no input
  into.into(Report, "make", () => ({ key: "daily" }));
  // @ts-expect-error an input of another shape
  into.into(Report, "make", () => ({ key: "daily", input: { day: "monday" } }));
  // @ts-expect-error no key
  into.into(Report, "make", () => ({ input: { day: 1 } }));
  // @ts-expect-error nobody waits for a promise
  into.into(Report, "make", async () => ({ key: "daily", input: { day: 1 } }));
});

test("a run that is a call: its input is the procedure's", () => {
  const Mail = service("mail", { procedures: { send: { input: z.object({ to: z.string() }) }, sweep: {} } });
  const nightly = schedule("nightly", daily);
  const sweep = nightly.call(Mail, "sweep", () => ({}));
  assert.equal(sweep.target.kind, "procedure");
  nightly.call(Mail, "send", ({ number }) => ({ input: { to: `ann-${number}` } }));
  // @ts-expect-error no input
  nightly.call(Mail, "send", () => ({}));
  // @ts-expect-error an input of another shape
  nightly.call(Mail, "send", () => ({ input: { to: 5 } }));
  // @ts-expect-error no procedure of the service
  assert.throws(() => nightly.call(Mail, "burn", () => ({})), { code: "USAGE", message: /no procedure "burn"/ });
  // @ts-expect-error an entity is no service
  assert.throws(() => nightly.call(Report, "clear", () => ({})), { code: "USAGE", message: /calls a procedure/ });
  assert.throws(() => nightly.call(Mail, "sweep", undefined as never), { code: "USAGE", message: /a function/ });
  assert.throws(() => app("shop", { schedules: [sweep] }), {
    code: "USAGE",
    message: /the service mail, which it does/,
  });
  assert.equal(app("shop", { external: [Mail], schedules: [sweep] }).schedules.length, 1);
});

test("an app's schedules: each has a name of its own, and goes into an entity of the app", () => {
  const nightly = schedule("nightly", daily).into(Report, "clear", () => ({ key: "daily" }));
  const usage = (schedules: readonly unknown[], entities: readonly (typeof report)[], message: RegExp): void =>
    assert.throws(() => app("shop", { entities, schedules: schedules as [] }), { code: "USAGE", message });
  usage([nightly, nightly], [report], /two of its schedules are named "nightly"/);
  usage([nightly], [], /is for the entity report, which it does not have/);
  usage([schedule("nightly", daily)], [report], /something among its schedules is not one/);
});
