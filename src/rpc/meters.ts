// What is counted of commands, queries and procedures. Labels are bounded: kinds and error codes, never names or keys.

import type { ErrorCode } from "../base/index.ts";
import type { Counter, Meter } from "../host/index.ts";

export class CallMeters {
  readonly #meter: Meter;
  readonly #kind: string;
  readonly #answered: Counter;
  readonly #refused = new Map<ErrorCode, Counter>();

  constructor(meter: Meter, kind: "command" | "query" | "procedure" | "publish") {
    this.#meter = meter;
    this.#kind = kind;
    this.#answered = this.#of("ok");
  }

  #of(result: string): Counter {
    return this.#meter.counter("sheaf_calls_total", "Calls ended, by kind and result.", { kind: this.#kind, result });
  }

  answered(): void {
    this.#answered.add();
  }

  refused(code: ErrorCode): void {
    let counter = this.#refused.get(code);
    if (!counter) this.#refused.set(code, (counter = this.#of(code)));
    counter.add();
  }
}
