// One worker thread and the calls to it. Shared by the engine (journal.db) and the local store (state.db).

import { Worker, type Transferable } from "node:worker_threads";
import { SheafError, type ErrorCode, type Outcome } from "../../base/index.ts";

/** An error as it crosses threads. */
export type Told = {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string | undefined;
  readonly outcome?: Outcome;
};
export type Call = { readonly id: number; readonly ask: unknown };
export type Reply = { readonly id: number; readonly ok: unknown } | { readonly id: number; readonly error: Told };

export const told = (error: SheafError): Told => ({
  code: error.code,
  message: error.message,
  hint: error.hint,
  outcome: error.outcome,
});
export const untold = ({ code, message, ...detail }: Told): SheafError => new SheafError(code, message, detail);

export type Link = {
  /** Rejects with what the worker threw, or ENGINE_UNAVAILABLE with outcome "unknown" when the worker is gone. */
  ask<T>(ask: unknown, transfer?: readonly Transferable[]): Promise<T>;
  /** Resolves when the worker has finished what it was asked and is gone. */
  end(): Promise<void>;
};

/** A process whose storage has failed can only be in the way of the others: it ends. */
const fail = (error: SheafError): void =>
  void setImmediate(() => {
    throw error;
  });

/** Starts a worker from a file beside the caller: `worker.ts` when running the sources, `worker.js` when built. */
export async function startWorker(caller: string, name: string, data: unknown): Promise<Link> {
  const file = new URL(`./${name}${caller.endsWith(".ts") ? ".ts" : ".js"}`, caller);
  // Flags of the main thread are not for a worker: some are refused there (--input-type), none is needed.
  const worker = new Worker(file, { workerData: data, name, execArgv: [] });
  const pending = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>();
  let lastId = 0;
  let gone: SheafError | undefined;
  let ending = false;

  const lose = (cause: unknown): void => {
    if (gone) return;
    gone = new SheafError("ENGINE_UNAVAILABLE", "the storage thread is gone", { cause, outcome: "unknown" });
    if (!ending) fail(gone);
    for (const { reject } of pending.values()) reject(gone);
    pending.clear();
  };
  const ended = new Promise<void>((resolve) => {
    worker.on("error", lose);
    worker.on("exit", (status) => (lose(new Error(`exit status ${status}`)), resolve()));
  });
  worker.on("message", (replies: readonly Reply[]) => {
    for (const reply of replies) {
      const call = pending.get(reply.id);
      pending.delete(reply.id);
      if ("error" in reply) call?.reject(untold(reply.error));
      else call?.resolve(reply.ok);
    }
  });

  const link: Link = {
    ask<T>(ask: unknown, transfer: readonly Transferable[] = []) {
      return new Promise<T>((resolve, reject) => {
        if (gone) return reject(gone);
        const id = ++lastId;
        pending.set(id, { resolve: resolve, reject });
        worker.postMessage({ id, ask } satisfies Call, transfer);
      });
    },
    async end() {
      ending = true;
      if (!gone) await link.ask({ kind: "close" }).catch(() => undefined);
      await ended;
    },
  };
  try {
    await link.ask({ kind: "open" });
  } catch (error) {
    ending = true;
    await worker.terminate();
    throw error;
  }
  return link;
}
