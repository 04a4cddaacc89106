// A simulated caller: finds the node, asks again where asking again is safe, and writes down what it learnt.
//
// K1. A command without an operation id is never sent again once it may have arrived.
// K2. Whatever may still happen after the answer is recorded as unknown, however definite the answer sounded.

import { type Millis, SheafError, shardOf } from "../base/index.ts";
import type { Address, CommandOptions, Invoke, QueryOptions } from "../model/index.ts";
import { anonymous, type Call } from "../rpc/index.ts";
import type { CallRecord, History } from "./history.ts";
import type { Attempt, Link, Request } from "./link.ts";
import type { Machine } from "./machine.ts";
import type { Placement } from "./placement.ts";
import type { Random } from "./random.ts";
import type { Schedule } from "./schedule.ts";
import { worldStart } from "./sim-host.ts";
import type { Weather } from "./weather.ts";

export type CallerOptions = {
  readonly name: string;
  readonly schedule: Schedule;
  readonly random: Random;
  readonly weather: Weather;
  readonly machines: readonly Machine[];
  readonly placement: Placement;
  readonly link: Link;
  readonly history: History;
  readonly shards: number;
  readonly deadlineMs: Millis;
  /** Give commands operation ids and ask again when an answer is lost. */
  readonly repeats: boolean;
  /** What this caller has seen; sent with its calls, and brought up to date by their answers. */
  readonly session: Session | undefined;
  /** One attempt only, whatever comes of it. */
  readonly once: boolean;
  /** Any node takes any call; else the caller looks for the owner. */
  readonly anyNode: boolean;
  readonly onProblem: (says: string) => void;
};

/** A session token that several callers may share, one after the other. */
export type Session = { token: string };

/** Errors that no fault of this world explains. */
const defects: ReadonlySet<string> = new Set(["INTERNAL", "CORRUPT", "QUARANTINED", "DATA_ROLLED_BACK"]);

/** What may pass by itself; any other answer is the answer. */
const passing: ReadonlySet<string> = new Set([
  "NOT_OWNER",
  "NOT_READY",
  "STOPPING",
  "OUTCOME_UNKNOWN",
  "CALL_LOST",
  "UNREACHABLE",
  "ENGINE_UNAVAILABLE",
  "ENGINE_FULL",
  "OVERLOADED",
]);

/** Pauses between attempts, and chances of ill luck per call. */
const pauses = { firstMs: 0.5, mostMs: 20 };
const chance = { cancel: 0.08, astray: 0.25 };

export function createCaller(options: CallerOptions): Invoke {
  const { schedule, weather, history, name, onProblem } = options;
  const unsettled = new Set<number>();
  let issued = 0;

  const sleep = (ms: Millis): Promise<void> => new Promise((resolve) => void schedule.after(ms, name, resolve));

  const issue = (): { op: NonNullable<Call["op"]>; settle: () => void } => {
    const number = ++issued;
    unsettled.add(number);
    const [settled] = unsettled;
    const op = { id: `${name}.${number.toString(36)}`, issuedAt: Math.floor(worldStart + schedule.now()), settled };
    return { op, settle: () => void unsettled.delete(number) };
  };

  return async (address, input, given) => {
    weather.tally.calls++;
    const ticket =
      address.kind === "command" && options.repeats && given?.idempotencyKey === undefined ? issue() : undefined;
    const chosen = given?.idempotencyKey === undefined ? undefined : { id: given.idempotencyKey, issuedAt: undefined };
    const op = ticket?.op ?? chosen;
    const record = history.begin({ client: name, target: address, input, op: op?.id, startedAt: schedule.now() });
    const call = withFate(options, address, input, given, op);
    const attempt = await ask(options, call, record, sleep);
    ticket?.settle();
    record.end = history.next();
    record.endedAt = schedule.now();
    schedule.hash.text(
      `${name} ${attempt.kind === "answered" ? JSON.stringify(attempt.reply.output) : attempt.error.code}`,
    );
    if (attempt.kind === "answered") {
      record.outcome = "applied";
      record.output = attempt.reply.output;
      record.staleMs = attempt.reply.staleMs;
      if (options.session) options.session.token = attempt.reply.session ?? options.session.token;
      weather.tally.answered++;
      return attempt.reply.output;
    }
    if (options.session) options.session.token = attempt.error.session ?? options.session.token;
    record.error = attempt.error.code;
    record.declared = attempt.error.error;
    record.outcome = record.stray ? "unknown" : attempt.error.outcome;
    if (record.outcome === "unknown") weather.tally.unknown++;
    if (defects.has(attempt.error.code))
      onProblem(`${name} was answered ${attempt.error.code}: ${attempt.error.message}`);
    throw attempt.error;
  };
}

/** The request, and the moment its caller gives up, if this one will. */
function withFate(
  { name, schedule, random, weather, deadlineMs, session }: CallerOptions,
  target: Address,
  input: unknown,
  given: (CommandOptions & QueryOptions) | undefined,
  op: Call["op"],
): Request {
  const { consistency, ifVersion, signal } = given ?? {};
  const request = {
    target,
    input,
    principal: anonymous,
    deadlineMs: given?.deadlineMs ?? deadlineMs,
    op,
    consistency,
    ifVersion,
    session: session?.token,
  };
  if (signal !== undefined || !weather.enabled.has("cancel") || !random.chance(chance.cancel))
    return { ...request, signal };
  const abort = new AbortController();
  schedule.after(random.float() * random.float() * 30, `${name}:cancel`, () => {
    weather.tally.injected.cancel++;
    abort.abort();
  });
  return { ...request, signal: abort.signal };
}

/** Attempts until there is an answer, the deadline passed, the caller gave up, or asking again is not safe. */
async function ask(
  options: CallerOptions,
  request: Request,
  record: CallRecord,
  sleep: (ms: Millis) => Promise<void>,
): Promise<Attempt> {
  const { schedule, random, link } = options;
  const until = schedule.now() + request.deadlineMs;
  const repeatable = request.target.kind === "query" || request.op !== undefined;
  const over = outOfTime(options, until, request.signal);
  let pause = pauses.firstMs;
  for (;;) {
    const machine = route(options, request);
    record.attempts++;
    record.askedAt = schedule.now();
    const remaining = until - schedule.now();
    const attempt = await Promise.race([link.send(machine, { ...request, deadlineMs: remaining }), over.happens]);
    if (attempt.kind === "answered") {
      record.stray ||= attempt.stray;
      over.forget();
      return attempt;
    }
    const { error } = attempt;
    record.stray ||= attempt.stray || error.outcome === "unknown";
    const again = !options.once && passing.has(error.code) && (error.outcome === "not-applied" || repeatable);
    if (!again || schedule.now() + pause >= until) {
      over.forget();
      return attempt;
    }
    notice(options, request, machine, error);
    await Promise.race([sleep(pause * (0.5 + random.float())), over.happens]);
    pause = Math.min(pause * 2, pauses.mostMs);
  }
}

/** Settles as a failed attempt when the deadline passes or the caller gives up. */
function outOfTime(
  options: CallerOptions,
  until: Millis,
  signal: Request["signal"],
): { happens: Promise<Attempt>; forget: () => void } {
  const { schedule, name } = options;
  let forget = (): void => undefined;
  const happens = new Promise<Attempt>((resolve) => {
    const end = (code: "DEADLINE" | "CANCELLED") => (): void =>
      resolve({ kind: "failed", error: new SheafError(code), stray: true });
    const timer = schedule.after(until - schedule.now() + 1, `${name}:deadline`, end("DEADLINE"));
    signal?.addEventListener("abort", end("CANCELLED"), { once: true });
    forget = () => timer.cancel();
  });
  return { happens, forget };
}

function route({ machines, placement, shards, random, weather, anyNode }: CallerOptions, { target }: Request): Machine {
  const there = machines.filter(({ name }) => !weather.leaving.has(name));
  if (anyNode && there.length > 0) return random.pick(there);
  if (target.kind === "procedure" || (weather.enabled.has("contend") && random.chance(chance.astray)))
    return random.pick(machines);
  return placement.owner(shardOf(target.entity, target.key, shards));
}

/** Tells the world's placement of an owner that does not serve. A lost answer alone says nothing of the owner. */
function notice(
  { placement, shards, weather, anyNode }: CallerOptions,
  { target }: Request,
  asked: Machine,
  { code }: SheafError,
): void {
  if (target.kind === "procedure" || anyNode) return;
  const shard = shardOf(target.entity, target.key, shards);
  const silent = code === "CALL_LOST" && (asked.state().kind !== "up" || weather.cutFromCallers.has(asked.name));
  if (placement.owner(shard) === asked && (silent || code === "NOT_OWNER" || code === "UNREACHABLE"))
    placement.replace(shard);
}
