// The web-standard side of an edge: for tests, simulations and hosts that speak fetch.

import { concat, utf8 } from "../base/index.ts";
import { Cancel } from "../rpc/index.ts";
import { brokenOff, tooLarge, type Answer, type Incoming } from "./incoming.ts";

async function drain(stream: ReadableStream<Uint8Array>, max: number): Promise<Uint8Array> {
  const reader = stream.getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read().catch((cause: unknown) => Promise.reject(brokenOff(cause)));
    if (done) return concat(parts);
    length += value.length;
    if (length > max) {
      // Not awaited: a source that never ends may never finish cancelling either.
      void reader.cancel().catch(() => undefined);
      throw tooLarge(max);
    }
    parts.push(value);
  }
}

export function fromRequest(request: Request): Incoming {
  const whole = request.url;
  const name = whole.indexOf("://") + 3;
  const path = whole.indexOf("/", name);
  const fragment = whole.indexOf("#", path);
  return {
    method: request.method,
    url: whole.slice(path, fragment < 0 ? whole.length : fragment),
    authority: whole.slice(name, path),
    get signal() {
      return request.signal;
    },
    header: (of) => request.headers.get(of) ?? undefined,
    read: async (max) => (request.body === null ? new Uint8Array(0) : await drain(request.body, max)),
  };
}

export const toResponse = ({ status, headers = {}, body, stream }: Answer, method: string): Response =>
  new Response(method === "HEAD" ? null : stream === undefined ? (body ?? null) : streamOf(stream), {
    status,
    headers,
  });

function streamOf(stream: NonNullable<Answer["stream"]>): ReadableStream<Uint8Array> {
  const gone = new Cancel();
  const pieces = stream(gone)[Symbol.asyncIterator]();
  return new ReadableStream({
    async pull(controller) {
      const next: IteratorResult<string, unknown> = await pieces.next();
      if (next.done === true) controller.close();
      else controller.enqueue(utf8(next.value));
    },
    cancel: (reason) => gone.abort(reason),
  });
}
