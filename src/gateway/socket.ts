// The gateway's long-lived connections: who may open one and what its calls may reach. The same rules as over HTTP; the
// frames and their answers are `rpc`'s. It opens no socket, so it runs in simulation as it is.

import { catalogue, SheafError, utf8, type Limits, type Millis } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { type AppContractShape, queueNamed, topicType } from "../model/index.ts";
import { type Calls, type Pipe, respond, type Responder, type ResponderOptions, type Target } from "../rpc/index.ts";
import type { Action, Authenticator, Policy, Principal, Resource } from "../security/index.ts";
import { checkProcedure, directoryOf, entityNamed, memberKind, topicNamed, type Directory } from "./directory.ts";
import { queueOf } from "./queues.ts";

export type SocketOptions = {
  readonly host: Host;
  readonly calls: Calls;
  /** Asked at each call, so that reloaded code is reachable at once. */
  readonly contract: () => AppContractShape;
  readonly limits: Limits;
  readonly authenticator: Authenticator;
  readonly policy: Policy;
  /** Id of the cluster. */
  readonly cluster: string;
  /** Show server-side error messages to callers: only where the caller is the developer. */
  readonly reveal?: boolean | undefined;
  /** One session token that covers all of these. */
  readonly joinSessions?: ((tokens: readonly string[]) => string) | undefined;
  /** Calls under way on one connection, at most. A quarter of the node's own bound when absent. */
  readonly maxInFlight?: number | undefined;
};

export interface Sockets {
  /** Begins a session on a connection that has just opened. */
  open(pipe: Pipe): Responder;
  /** Sessions open now. */
  readonly size: number;
  /** Calls under way on all of them. */
  readonly inFlight: number;
  /** Tells every caller to go elsewhere; what is under way is still answered. */
  drain(): void;
  /** Ends every session. */
  close(): void;
}

const HELLO_MS: Millis = 10_000;
/** How long a revoked key may go on living in an open connection. */
const RECHECK_MS: Millis = 15_000;

export function sockets(options: SocketOptions): Sockets {
  const { host, limits } = options;
  const open = new Set<Responder>();
  const spans = host.meter.histogram("sheaf_socket_call_seconds", "Time from a call over a WebSocket to its answer.");
  let known: Directory | undefined;
  const directory = (): Directory => {
    const contract = options.contract();
    return known?.contract === contract ? known : (known = directoryOf(contract));
  };
  const answering: ResponderOptions = {
    clock: host.clock,
    calls: options.calls,
    cluster: options.cluster,
    limits: { ...limits, maxInFlight: options.maxInFlight ?? Math.max(1, limits.maxInFlight >> 2) },
    helloMs: HELLO_MS,
    recheckMs: RECHECK_MS,
    joinSessions: options.joinSessions,
    expose: options.reveal === true ? (error) => error : withoutInside,
    took: (ms) => spans.record(ms / 1000),
    ended: (session) => void open.delete(session),
    accept: (hello) => admit(hello.app, hello.token, options),
    permit(principal, target, op) {
      checkTarget(directory(), target, limits);
      checkOperation(op, limits);
      authorise(options.policy, principal, target);
    },
  };
  return {
    open(pipe) {
      const session = respond(pipe, answering);
      open.add(session);
      return session;
    },
    get size() {
      return open.size;
    },
    get inFlight() {
      let sum = 0;
      for (const session of open) sum += session.inFlight;
      return sum;
    },
    drain() {
      for (const session of open) session.drain();
    },
    close() {
      for (const session of open) session.end(new SheafError("STOPPING"));
    },
  };
}

/** For every server-side failure the catalogue's sentence stands in for the message, as over HTTP. */
function withoutInside(error: SheafError): SheafError {
  if (catalogue[error.code].http < 500) return error;
  const { retry, outcome, retryAfterMs } = error;
  return new SheafError(error.code, undefined, { retry, outcome, retryAfterMs });
}

async function admit(app: string, token: string | undefined, options: SocketOptions): Promise<Principal> {
  const found = await options.authenticator.authenticate({ bearer: token });
  if (!found.ok) {
    options.host.log.info("a connection was refused", { reason: found.reason });
    throw new SheafError("UNAUTHENTICATED", "the caller could not be identified", {
      hint: "Pass a valid API key as `token`.",
    });
  }
  const { name } = options.contract();
  if (app !== name) throw new SheafError("UNKNOWN_TARGET", `this gateway serves ${name}, not ${app.slice(0, 80)}`);
  return found.principal;
}

/** The topic that an event is published to; undefined for every other call. */
function topicOf(target: Target): string | undefined {
  if (target.kind !== "command" || target.entity !== topicType || target.name !== "publish") return undefined;
  return target.key.slice(0, Math.max(0, target.key.indexOf("/")));
}

/** The contract decides what is a command and what a query, never the caller: policies are written against that. */
function checkTarget(directory: Directory, target: Target, limits: Limits): void {
  if (target.kind === "procedure") return checkProcedure(directory, target.service, target.name);
  const topic = topicOf(target);
  // Whoever keeps the event holds its key against what the topic makes of it.
  if (topic !== undefined) return void topicNamed(directory, topic);
  const queue = queueNamed(target.entity);
  if (queue !== undefined) return checkQueue(directory, queue, target, limits);
  const kind = memberKind(entityNamed(directory, target.entity), target.name);
  if (kind !== target.kind)
    throw new SheafError("UNKNOWN_TARGET", `${target.entity}.${target.name} is a ${kind}, not a ${target.kind}`);
  if (target.key === "") throw new SheafError("BAD_INPUT", "the key is empty");
  checkKey(target.key, limits);
}

/** What is asked of a queue need not name a job. */
function checkQueue(
  { contract }: Directory,
  name: string,
  { kind, name: what, key }: Target & Keyed,
  limits: Limits,
): void {
  queueOf(contract.queues ?? [], name);
  const isAsked = kind === "query" ? what === "result" : queueCommands.has(what);
  if (!isAsked) throw new SheafError("UNKNOWN_TARGET", `a queue has no ${kind} "${what.slice(0, 80)}"`);
  checkKey(key, limits);
}

type Keyed = { readonly key: string };
const queueCommands: ReadonlySet<string> = new Set(["add", "take", "ack", "reject", "extend", "progress"]);

function checkKey(key: string, limits: Limits): void {
  if (key.length * 3 > limits.maxKeyBytes && utf8(key).length > limits.maxKeyBytes) {
    throw new SheafError("BAD_INPUT", `the key is over ${limits.maxKeyBytes} bytes`);
  }
  if (holdsControl(key)) throw new SheafError("BAD_INPUT", "the key holds control characters");
}

/** Unicode's category Cc. */
function holdsControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x20 || (unit >= 0x7f && unit < 0xa0)) return true;
  }
  return false;
}

function checkOperation(op: string | undefined, limits: Limits): void {
  if (op === undefined || (op.length <= limits.maxOperationIdLength && /^[\x21-\x7e]+$/.test(op))) return;
  throw new SheafError(
    "BAD_INPUT",
    `an idempotency key is 1 to ${limits.maxOperationIdLength} visible ASCII characters`,
  );
}

function authorise(policy: Policy, principal: Principal, target: Target): void {
  const topic = topicOf(target);
  const action: Action = topic === undefined ? target.kind : "publish";
  const { name } = target;
  const resource: Resource =
    topic !== undefined
      ? { kind: "topic", name: topic }
      : target.kind === "procedure"
        ? { kind: "service", service: target.service, name }
        : { kind: "entity", entity: target.entity, key: target.key, name };
  const decision = policy.decide(principal, action, resource);
  if (!decision.allow) throw new SheafError("FORBIDDEN", "the caller may not do this", { hint: decision.why });
}
