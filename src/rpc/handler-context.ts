// What handlers are given at run time; the types they see are model's context.ts. Functions are made when a handler asks
// for them: most ask for two or three.

import type { Instant } from "../base/index.ts";
import type { Host, Log } from "../host/index.ts";
import {
  type Address,
  bindClient,
  bindSender,
  type Client,
  type Invoke,
  type Operation,
  type Sender,
  type TopicShape,
} from "../model/index.ts";
import type { Principal } from "../security/index.ts";
import type { Draw } from "./draws.ts";

/** What a context needs of the runtime. */
export interface Surroundings {
  readonly host: Host;
  /** Cluster time when the handler started. */
  readonly now: Instant;
  readonly caller: Principal;
  readonly signal: AbortSignal;
  readonly invoke: Invoke;
  readonly dice: Draw;
  /** These in commands only. */
  emit(name: string, value: unknown): void;
  send(target: Address, input: unknown): void;
  after(when: number | Date, command: string, rest: readonly unknown[]): string;
  cancel(name: string): void;
  publish(topic: TopicShape, value: unknown): void;
}

/** One class for commands, queries and procedures: the contract's types show each only what it has. */
export class HandlerContext {
  readonly key: string | undefined;
  readonly state: unknown;
  readonly input: unknown;
  /** The error of `fail`, once it was called: how a declared refusal is told from any other throw. */
  refusal: unknown;
  readonly #operation: Operation;
  readonly #around: Surroundings;

  constructor(operation: Operation, around: Surroundings, input: unknown, key: string | undefined, state: unknown) {
    this.#operation = operation;
    this.#around = around;
    this.input = input;
    this.key = key;
    this.state = state;
  }

  get now(): Instant {
    return this.#around.now;
  }
  get caller(): Principal {
    return this.#around.caller;
  }
  get signal(): AbortSignal {
    return this.#around.signal;
  }
  get log(): Log {
    return this.#around.host.log;
  }
  get random(): () => number {
    const { dice } = this.#around;
    return () => dice.random();
  }
  get id(): () => string {
    const { dice } = this.#around;
    return () => dice.id();
  }
  get fail(): (name: string, data?: unknown) => never {
    return (name, data) => {
      this.refusal = this.#operation.declared(name, data);
      throw this.refusal;
    };
  }
  get emit(): (name: string, value?: unknown) => void {
    return (name, value) => this.#around.emit(name, value);
  }
  get send(): Sender {
    const around = this.#around;
    return bindSender((target, input) => around.send(target, input));
  }
  get after(): (when: number | Date, command: string, ...rest: unknown[]) => string {
    return (when, command, ...rest) => this.#around.after(when, command, rest);
  }
  get cancel(): (id: string) => void {
    return (id) => this.#around.cancel(id);
  }
  get publish(): (topic: TopicShape, event: unknown) => void {
    return (topic, event) => this.#around.publish(topic, event);
  }
  get call(): Client {
    const { invoke } = this.#around;
    return bindClient((...call) => {
      const output = invoke(...call);
      output.catch(() => {}); // one that the handler never awaits must not end the process
      return output;
    });
  }
}

/** Runs a handler. Anything with a `then` comes back as a true promise, so that an odd one can only reject. */
export function runHandler(operation: Operation, context: HandlerContext): unknown {
  const result = operation.handler(context as never);
  const thenable =
    typeof result === "object" && result !== null && typeof (result as { then?: unknown }).then === "function";
  return thenable ? Promise.resolve(result) : result;
}
