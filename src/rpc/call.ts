// One call, as every floor above names it: what is asked, by whom, until when; and what came of it.

import type { Millis, Tick, Version } from "../base/index.ts";
import type { Principal } from "../security/index.ts";

export type Consistency = "strong" | "causal" | "eventual";

export type Target =
  | { readonly kind: "command"; readonly entity: string; readonly key: string; readonly name: string }
  | { readonly kind: "query"; readonly entity: string; readonly key: string; readonly name: string }
  | { readonly kind: "procedure"; readonly service: string; readonly name: string };

export type { Principal };

/** A caller whom nobody identified: tests and simulation. */
export const anonymous: Principal = { id: "anonymous", roles: [] };

/** `issuedAt` (cluster time) when Sheaf issued the id, undefined when the user chose it. An issued id is
 *  `<client>.<n>` with the client's random name (no dot) and its own count from 1 in base 36; operations inside it add
 *  `/<digest>`. `settled`: this client needs no more answers to its operations numbered below this (RIFL, Lee et al.,
 *  SOSP 2015), so what is remembered is bounded by what is under way. */
export type Operation = {
  readonly id: string;
  readonly issuedAt: number | undefined;
  readonly settled?: number | undefined;
  /** Operations numbered below `settled` whose answers are still needed: few slow ones do not keep all since then. */
  readonly open?: readonly number[] | undefined;
  /** Made inside one whose key a user chose: the fingerprint of what the user gave with it. A repeat is told by that, since a
   *  handler that runs again may ask for something else, and is to be answered as before. */
  readonly fingerprint?: Uint8Array | undefined;
};

/** How a call hears that its caller has given up: the part of an AbortSignal, which is one of these, that is needed for it.
 *  Making a true one costs as much as a small command. */
export interface Cancellation {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: "abort", listener: CancelListener, options?: { readonly once?: boolean }): void;
  removeEventListener(type: "abort", listener: CancelListener): void;
}
export type CancelListener = (() => void) | { handleEvent(): void };

export type Call = {
  readonly target: Target;
  /** Plain data; undefined for none. Not validated yet. */
  readonly input: unknown;
  readonly principal: Principal;
  /** On the monotonic clock of the node that holds this object. */
  readonly deadline: Tick;
  /** Aborts when the caller gives up. */
  readonly signal?: Cancellation | undefined;
  /** Identity of the operation; commands without one are never repeated by Sheaf. */
  readonly op?: Operation | undefined;
  readonly consistency?: Consistency | undefined;
  /** Session token as the caller sent it; empty for a caller that begins one, undefined for one that keeps none. */
  readonly session?: string | undefined;
  /** Command only: run if the entity is at this version (HTTP If-Match). */
  readonly ifVersion?: Version | undefined;
  /** W3C traceparent. */
  readonly trace?: string | undefined;
  /** Operations up the call chain, outermost first: how a call that would wait for itself is found. */
  readonly chain?: readonly Link[] | undefined;
  /** Work that was left to be done: what carries it out is kept together with that it is done. Only within a node. */
  readonly task?: TaskRef | undefined;
  /** Hears which node a procedure is asked of. Only within a node. */
  readonly asked?: ((node: string) => void) | undefined;
};

export type TaskRef = {
  readonly id: string;
  /** Is it still to be done, as it was when this call began? */
  readonly stands: (hot: unknown) => boolean;
};

/** A link of procedures and queries, which nobody waits in line for, has an empty key. */
export type Link = {
  readonly op: string;
  readonly type: string;
  readonly key: string;
  /** What calls made inside a command wait for; shared by all links to that command, and only known on its node. */
  readonly waits?: Set<Awaited> | undefined;
};

/** An entity that a call waits for. */
export type Awaited = { readonly type: string; readonly key: string };

export type Reply = {
  /** Plain data; undefined when the contract declares no output. */
  readonly output: unknown;
  /** The output as msgpack, where somebody had to make it anyway. */
  readonly packed?: Uint8Array | undefined;
  /** Entity version after the command, or as the query saw it. */
  readonly version?: Version | undefined;
  readonly session?: string | undefined;
  /** How old the answering copy may be; 0 at the owner. */
  readonly staleMs?: Millis | undefined;
  /** The answer is that of an earlier call with the same operation id. */
  readonly replayed?: boolean | undefined;
};

/** The longest message that a client reads. */
export const mostReplyBytes = 16 * 1024 * 1024;

/** Whatever can carry out calls: a node, a router, a connection. */
export interface Calls {
  /** Rejects with SheafError only; its `outcome` says whether the call may have taken effect. */
  call(call: Call): Promise<Reply>;
}
