// `connect`: a typed client of one application, over a WebSocket that all calls share, or plain HTTP where none gets through.

import { defaultLimits, type Millis, SheafError } from "../base/index.ts";
import {
  type AppContractShape,
  bindClient,
  type Client,
  type CommandOptions,
  type Invoke,
  type QueryOptions,
  type TopicClient,
  type TopicShape,
} from "../model/index.ts";
import { type Call, Caller, type Calls, keptWith, mostReplyBytes, type Principal, type Reply } from "../rpc/index.ts";
import { type Address, addressOf } from "./address.ts";
import { automatic } from "./automatic.ts";
import { eventsOf, type EventsPort, sayDone, type TopicEvents } from "./events.ts";
import { type ClientHost, globalHost } from "./host.ts";
import { hedged } from "./hedged.ts";
import { httpCalls } from "./http.ts";

export type ConnectOptions = {
  /** Of a gateway, `http:`, `https:`, `ws:` or `wss:`; or several of the same cluster, tried in turn. */
  readonly url: string | readonly string[];
  /** API key, or what gives one each time a connection is made. It is never part of an address. */
  readonly token?: string | (() => string | undefined | Promise<string | undefined>) | undefined;
  /** `socket`: one WebSocket. `http`: a request per call. `auto`: HTTP only where no WebSocket gets through. */
  readonly transport?: "auto" | "socket" | "http" | undefined;
  /** For calls that name none. Default 10 s. */
  readonly deadlineMs?: Millis | undefined;
  /** Keeps a session, so that a gateway whose data was rolled back says so (DATA_ROLLED_BACK) rather than answer from the
   *  past: "" begins one, a token goes on with it. It costs every call some microseconds. None is kept when absent. */
  readonly session?: string | undefined;
  /** The outside world; that of this process when absent. */
  readonly host?: ClientHost | undefined;
};

export interface ConnectedClient<A extends AppContractShape = AppContractShape> extends Client<A> {
  topic<C extends TopicShape>(contract: C): TopicClient<C> & TopicEvents<C>;
  /** The session, if one is kept: what was seen through this client. A token, or several with commas between them. */
  readonly session: string | undefined;
  /** Fails calls under way (CANCELLED) and closes the connection. Calls made later are UNREACHABLE. */
  close(): void;
  [Symbol.dispose](): void;
}

type Given = CommandOptions & QueryOptions;
const nothingGiven: Given = {};
const outputOf = (reply: Reply): unknown => reply.output;

/** The other side goes by its token. */
const self: Principal = { id: "self", roles: [] };

const MAX_PAUSE_MS: Millis = 5_000;
/** A gateway that owes answers is asked for a sign of life this often; what may be repeated is asked of another after some
 *  three times as long, and the connection is given up after some ten. */
const BEAT_MS: Millis = 300;
const SUSPECT_AFTER = 3;
const PATIENCE = 9;
/** One that owes nothing is asked every 1.5 s. */
const IDLE_BEATS = 4;
/** How long one gateway of several, and one that is alone, may take to answer a new connection. */
const DIAL_MS: Millis = 1_500;
const LONE_DIAL_MS: Millis = 5_000;

/** A client of the application that `contract` describes. Connects when the first call is made, and again whenever the
 *  connection is lost. Throws USAGE for options that make no sense; everything else is told by the calls. */
export function connect<A extends AppContractShape>(contract: A, options: ConnectOptions): ConnectedClient<A> {
  const host = options.host ?? globalHost();
  const addresses = (typeof options.url === "string" ? [options.url] : options.url).map(addressOf);
  if (addresses.length === 0)
    throw new SheafError("USAGE", "connect needs the address of a gateway", { hint: "Pass `url`." });
  const defaultDeadlineMs = checkedDeadline(options.deadlineMs ?? defaultLimits.defaultDeadlineMs);
  const token = tokenOf(options.token);
  const caller = callerOf(contract.name, host, addresses, token);
  caller.session = options.session;
  const http = httpCalls({
    host,
    urls: addresses.map((address) => address.http),
    token,
    session: () => caller.session,
    keepSession(token, sent) {
      if (caller.session !== undefined) caller.session = keptWith(caller.session, sent, token);
    },
    maxRequestBytes: defaultLimits.maxRequestBytes,
    maxPauseMs: MAX_PAUSE_MS,
  });
  const calls = transportOf(options.transport ?? "auto", caller, http, host, addresses);
  const callOf = (target: Call["target"], input: unknown, given: Given): Call => {
    const { deadlineMs, signal, idempotencyKey, ifVersion, consistency } = given;
    return {
      target,
      input,
      principal: self,
      deadline: host.clock.tick() + (deadlineMs === undefined ? defaultDeadlineMs : checkedDeadline(deadlineMs)),
      signal,
      op: idempotencyKey === undefined ? undefined : { id: checkedKey(idempotencyKey), issuedAt: undefined },
      consistency,
      ifVersion,
    };
  };
  const invoke: Invoke = (target, input, given = nothingGiven) => {
    let call: Call;
    try {
      call = callOf(target, input, given);
    } catch (error) {
      return Promise.reject(error);
    }
    return calls.call(call).then(outputOf);
  };
  const close = (): void => {
    caller.close();
    http.close();
  };
  const client = bindClient<A>(invoke);
  const port: EventsPort = { host, urls: addresses.map((address) => address.http), token };
  return {
    ...client,
    topic: (topic) => ({
      ...client.topic(topic),
      events: (given = {}) => eventsOf(port, topic.name, given),
      done: (group, place) => sayDone(port, topic.name, group, place),
    }),
    get session() {
      return caller.session;
    },
    close,
    [Symbol.dispose]: close,
  };
}

function callerOf(
  app: string,
  host: ClientHost,
  addresses: readonly Address[],
  token: () => Promise<string | undefined>,
): Caller {
  let next = Math.floor(host.dice.random() * addresses.length);
  const { maxDepth, maxItems, maxInFlight, maxUnsentBytes } = defaultLimits;
  return new Caller({
    clock: host.clock,
    dice: host.dice,
    app,
    limits: { maxDepth, maxItems, maxQueued: maxInFlight, maxReplyBytes: mostReplyBytes, maxUnsentBytes },
    pingMs: BEAT_MS,
    patience: PATIENCE,
    idleBeats: IDLE_BEATS,
    // A gateway that is alone is left to itself: a second connection to it would be no better.
    ...(addresses.length > 1 && { suspectAfter: SUSPECT_AFTER }),
    dialMs: addresses.length > 1 ? DIAL_MS : LONE_DIAL_MS,
    maxPauseMs: MAX_PAUSE_MS,
    dial(end) {
      const first = next++ % addresses.length;
      const urls = [...addresses.slice(first), ...addresses.slice(0, first)].map(({ socket }) => socket);
      let stop = (): void => void (stopped = true);
      let stopped = false;
      token().then(
        (given) => {
          if (!stopped)
            stop = hedged(host, urls, {
              opened(pipe, url) {
                next = first + urls.indexOf(url) + 1;
                return end.opened(pipe, given);
              },
              failed: (error) => end.failed(error),
            });
        },
        (cause: unknown) => {
          if (!stopped) end.failed(new SheafError("UNAUTHENTICATED", "no token could be had", { cause }));
        },
      );
      return () => stop();
    },
  });
}

function transportOf(
  transport: "auto" | "socket" | "http",
  caller: Caller,
  http: Calls,
  host: ClientHost,
  addresses: readonly Address[],
): Calls {
  switch (transport) {
    case "socket":
      return caller;
    case "http":
      return http;
    case "auto":
      return automatic({
        host,
        socket: caller,
        connected: () => caller.ready(),
        http,
        probes: addresses.map((address) => `${address.http}/livez`),
      });
    default:
      throw new SheafError("USAGE", `no such transport: ${String(transport)}`, {
        hint: "There is auto, socket and http.",
      });
  }
}

function tokenOf(given: ConnectOptions["token"]): () => Promise<string | undefined> {
  return async () => (typeof given === "function" ? await given() : given);
}

function checkedDeadline(ms: Millis): Millis {
  if (!(ms > 0)) throw new SheafError("USAGE", `deadlineMs is a number above 0, not ${ms}`);
  return Math.min(ms, defaultLimits.maxDeadlineMs);
}

function checkedKey(key: string): string {
  if (typeof key === "string" && key.length <= defaultLimits.maxOperationIdLength && /^[\x21-\x7e]+$/.test(key))
    return key;
  throw new SheafError(
    "USAGE",
    `idempotencyKey is 1 to ${defaultLimits.maxOperationIdLength} visible ASCII characters`,
  );
}
