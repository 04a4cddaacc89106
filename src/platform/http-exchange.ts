// One exchange of node:http as an edge sees it. Nothing is built that nobody looks at: most requests are a method, an address, a
// few headers and one piece of body.

import type { IncomingMessage, ServerResponse } from "node:http";
import { concat, type Millis, SheafError } from "../base/index.ts";
import { brokenOff, tooLarge, type Answer, type Incoming } from "../http/index.ts";
import { Cancel, type Cancellation } from "../rpc/index.ts";

/** What is left of an unread body is let in this long and this far, so that its sender gets to read the answer. */
const discardMs: Millis = 500;
const maxDiscardBytes = 16 * 1024 * 1024;

export class Exchange implements Incoming {
  readonly method: string;
  readonly url: string;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  #gone: Cancel | undefined;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#request = request;
    this.#response = response;
    this.method = request.method ?? "GET";
    this.url = request.url ?? "/";
  }

  get authority(): string {
    return this.#request.headers.host ?? "";
  }

  /** Not a true AbortSignal: every procedure listens, and those that are listened to outlive many collections. */
  get signal(): Cancellation {
    if (this.#gone !== undefined) return this.#gone;
    const gone = (this.#gone = new Cancel());
    const response = this.#response;
    const left = (): void => {
      if (!response.writableFinished) gone.abort(new SheafError("CANCELLED"));
    };
    if (response.closed) left();
    else response.on("close", left);
    return gone;
  }

  header(name: string): string | undefined {
    const value = this.#request.headers[name];
    return typeof value === "string" ? value : undefined;
  }

  read(max: number): Promise<Uint8Array> {
    const request = this.#request;
    return new Promise((resolve, reject) => {
      const parts: Uint8Array[] = [];
      let length = 0;
      const take = (part: Uint8Array): void => {
        length += part.length;
        if (length <= max) return void parts.push(part);
        request.off("data", take).pause();
        reject(tooLarge(max));
      };
      // Closing follows every end; the error, whose stack costs more than all else here, is made only where it says something.
      const close = (): void => {
        if (!request.readableEnded) reject(brokenOff(request.errored));
      };
      // Both come once; to say so would wrap each in another function.
      request.on("data", take).on("close", close);
      request.on("end", () => resolve(parts.length === 1 && parts[0] !== undefined ? parts[0] : concat(parts)));
      // A request that had broken off before says nothing any more.
      if (request.destroyed) close();
    });
  }

  write({ status, headers, body = "" }: Answer): void {
    const response = this.#response;
    // As a list: node:http takes a map apart again, one that was copied for one more field at that.
    const fields: string[] = [];
    for (const name in headers) fields.push(name, headers[name] as string);
    if (status !== 204) fields.push("content-length", String(Buffer.byteLength(body)));
    response.writeHead(status, fields);
    response.end(body);
    if (!this.#request.complete) discard(this.#request);
  }

  /** Answers piece by piece: the next is asked for when those before have left, or fit into what the socket holds anyway. */
  async stream({ status, headers, stream }: Answer): Promise<void> {
    const response = this.#response;
    response.writeHead(status, { ...headers });
    response.flushHeaders();
    if (this.method === "HEAD" || stream === undefined) return void response.end();
    for await (const piece of stream(this.signal)) {
      if (response.closed || response.destroyed) return;
      if (!response.write(piece)) await emptied(response);
    }
    response.end();
  }

  /** Answers so, or cuts the connection when an answer has begun already. */
  abandon(answer: Answer): void {
    if (this.#response.headersSent) this.#response.destroy();
    else this.write(answer);
  }
}

/** What was written has left, or never will. */
function emptied(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    if (response.closed || response.destroyed) return resolve();
    response.on("drain", done).on("close", done);
  });
}

/** Takes in what is left of a body, for a moment and not for ever; then the connection ends. */
function discard(request: IncomingMessage): void {
  let left = maxDiscardBytes;
  const cut = (): void => request.socket.destroySoon();
  const timer = setTimeout(cut, discardMs);
  request.once("close", () => clearTimeout(timer));
  request.on("data", (part: Uint8Array) => {
    left -= part.length;
    if (left < 0) cut();
  });
  request.resume();
}
