// Queues made ready to run. A worker is a service with one procedure, so that it is found, balanced and bounded as any other.

import type { Client } from "./client.ts";
import type { ProcedureContext } from "./context.ts";
import { jobInput, queueType, workName } from "./job-names.ts";
import type {
  AppShape,
  QueueImplementation,
  QueueShape,
  Schema,
  ServiceImplementation,
  ServiceShape,
} from "./shape.ts";
import { checker, type Check } from "./validate.ts";

/** A queue, ready for jobs. */
export type CompiledQueue = {
  readonly contract: QueueShape;
  /** Jobs that one node does at the same time; 0 without a worker. */
  readonly concurrency: number;
  /** Throws BAD_INPUT. */
  readonly input: Check;
  /** Of consumers that ask for jobs. Throws BAD_INPUT. */
  readonly output: Check;
};

/** What a worker is called with. */
type Handed = { readonly job: string; readonly attempt: number; readonly input: unknown };

const isWorked = (queue: QueueImplementation | QueueShape): queue is QueueImplementation => "contract" in queue;

/** The contract of a queue that an app was given with its worker or without. */
export const queueContract = (queue: QueueImplementation | QueueShape): QueueShape =>
  isWorked(queue) ? queue.contract : queue;

export function compileQueue(queue: QueueImplementation | QueueShape): CompiledQueue {
  const contract = queueContract(queue);
  const { name, output } = contract;
  return {
    contract,
    concurrency: isWorked(queue) ? queue.concurrency : 0,
    input: jobInput(contract),
    output: checker(output, `the result of a job in queue ${name}`, "BAD_INPUT"),
  };
}

const made = new WeakMap<QueueImplementation, ServiceImplementation>();

/** The services that do the jobs of an app's queues. */
export const workersOf = ({ queues = [] }: Pick<AppShape, "queues">): readonly ServiceImplementation[] =>
  queues.filter(isWorked).map((queue) => {
    let service = made.get(queue);
    if (!service) made.set(queue, (service = workerOf(queue)));
    return service;
  });

function workerOf(queue: QueueImplementation): ServiceImplementation {
  const { name, input, output } = queue.contract;
  const contract: ServiceShape = {
    kind: "service",
    name: queueType(name),
    procedures: { [workName]: { input: handed(input), output } },
  };
  const work = (context: Handing): unknown => queue.handler(new WorkerContext(queue.contract, context) as never);
  return { contract, handlers: { [workName]: work }, concurrency: queue.concurrency };
}

/** The input as the queue's schema has it, with which job it is of. */
const handed = (schema: Schema): Schema => ({
  "~standard": {
    version: 1,
    vendor: "sheaf",
    validate(value) {
      const { job, attempt, input } = value as Handed;
      const found = schema["~standard"].validate(input);
      if ("then" in found || found.issues) return found;
      return { value: { job, attempt, input: found.value } };
    },
  },
});

type Handing = Omit<ProcedureContext<unknown>, "input"> & { readonly input: Handed };

/** What a worker is given of what its procedure is: made when it asks. */
class WorkerContext {
  readonly input: unknown;
  readonly job: string;
  readonly attempt: number;
  readonly #queue: QueueShape;
  readonly #around: Handing;

  constructor(queue: QueueShape, around: Handing) {
    const { job, attempt, input } = around.input;
    this.input = input;
    this.job = job;
    this.attempt = attempt;
    this.#queue = queue;
    this.#around = around;
  }

  get now(): Handing["now"] {
    return this.#around.now;
  }
  get random(): Handing["random"] {
    return this.#around.random;
  }
  get id(): Handing["id"] {
    return this.#around.id;
  }
  get caller(): Handing["caller"] {
    return this.#around.caller;
  }
  get signal(): AbortSignal {
    return this.#around.signal;
  }
  get log(): Handing["log"] {
    return this.#around.log;
  }
  get call(): Client {
    return this.#around.call;
  }
  get progress(): (value: unknown) => Promise<void> {
    const { job: id, attempt } = this;
    const queue = this.#around.call.queue(this.#queue);
    return (value) => queue.progress({ id, attempt }, value);
  }
}
