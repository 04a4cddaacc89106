// The worker's side of link.ts: takes all calls that wait, has them answered together, and sends the answers in one message.

import { parentPort, receiveMessageOnPort, type Transferable } from "node:worker_threads";
import { invariant } from "../../base/index.ts";
import { collectWhenIdle } from "../collect.ts";
import { told, type Call, type Reply } from "./link.ts";
import { asEngineError } from "./sqlite-error.ts";

export type Answer = { readonly value: unknown; readonly transfer?: readonly Transferable[] };

/** Most calls gathered into one round, so that the first of them does not wait for ever. */
const maxGathered = 1024;

/** Answers calls until one asks to close. `handle` gets every waiting call at once and answers each, now or later;
 *  answers given before it returns leave in one message. */
export function serve(
  open: () => void,
  handle: (calls: readonly Call[], answer: (id: number, make: () => Answer) => void) => void,
  close: () => void,
): void {
  invariant(parentPort, "runs in a worker thread");
  const port = parentPort;
  let replies: Reply[] = [];
  let transfers: Transferable[] = [];
  let handling = false;

  function flush(): void {
    if (replies.length > 0) port.postMessage(replies, transfers);
    replies = [];
    transfers = [];
  }
  function answer(id: number, make: () => Answer): void {
    try {
      const { value, transfer = [] } = make();
      replies.push({ id, ok: value });
      transfers.push(...transfer);
    } catch (error) {
      replies.push({ id, error: told(asEngineError(error)) });
    }
    if (!handling) flush();
  }

  collectWhenIdle();
  port.on("message", (first: Call) => {
    const calls: Call[] = [];
    let closing: Call | undefined;
    handling = true;
    for (let call: Call | undefined = first; call;) {
      const { kind } = call.ask as { kind: string };
      if (kind === "open") answer(call.id, () => (open(), { value: undefined }));
      else if (kind === "close") closing = call;
      else calls.push(call);
      call = calls.length < maxGathered ? (receiveMessageOnPort(port)?.message as Call | undefined) : undefined;
    }
    if (calls.length > 0) handle(calls, answer);
    if (closing) answer(closing.id, () => (close(), { value: undefined }));
    handling = false;
    flush();
    if (closing) port.close();
  });
}
