// One connection between two nodes as a Pipe: messages behind their lengths on a TLS (or, on loopback, plain) socket.
//
// E1. `closed` is said exactly once, and nothing after it. It is said at once when the other side's connection breaks, which the
//     system reports when its process dies.
// E2. What is sent in one turn of the event loop leaves in one write.
// E3. An end that is closed says why before it goes, so that a planned end is told from a broken one.

import type { Socket } from "node:net";
import type { Pipe, PipeEnd } from "../rpc/index.ts";
import { MalformedMessage, maxControlBytes, messageHead, MessageReader } from "./message-reader.ts";

/** How a connection, or the attempt at one, ended.
 *  `closed`: one side ended it on purpose · `refused`: nothing listens there · `broken`: it was there and ended without a
 *  word, as when its process dies · `silent`: no answer in time, or no way there · `untrusted`: a certificate that is not good
 *  (any more), of either side · `malformed`: what came is not this protocol. */
export type PeerLoss = "closed" | "refused" | "broken" | "silent" | "untrusted" | "malformed";

/** As PipeEnd, and `closed` says what kind of end it was. Any PipeEnd will do as one. */
export type PeerEnd = Omit<PipeEnd, "closed"> & { closed(why: string, loss: PeerLoss): void };

export const controlKind = { welcome: 1, goodbye: 2, renewed: 3, hello: 4 } as const;

export type PeerPipeOptions = {
  readonly maxMessageBytes: number;
  /** Control messages but goodbyes. A MalformedMessage that it throws ends the connection, as does a message before `begin`. */
  control(kind: number, content: Buffer): void;
  /** Once, after the end was told. */
  over(why: string, loss: PeerLoss): void;
};

/** How long the other side may take to say goodbye too, and to take what it was sent before. */
const goodbyeMs = 1_000;
/** Up to here, copying messages together costs less than writing each. */
const copyBytes = 64 * 1024;
const keepAliveMs = 10_000;
const silentCodes = new Set(["ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ENOTFOUND", "EAI_AGAIN"]);

/** How OpenSSL and Node begin the codes of certificates that do not hold. */
const untrustedCodes = /^(?:CERT_|ERR_TLS_CERT|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_)/;

/** What kind of end a socket's error is. */
export function lossOf({ code = "" }: NodeJS.ErrnoException): PeerLoss {
  if (code === "ECONNREFUSED") return "refused";
  if (silentCodes.has(code)) return "silent";
  if (untrustedCodes.test(code)) return "untrusted";
  return code === "EPROTO" || code.startsWith("ERR_SSL_") ? "malformed" : "broken";
}

type Stage = "open" | "closing" | "closed";

export class PeerPipe implements Pipe {
  readonly #socket: Socket;
  readonly #options: PeerPipeOptions;
  readonly #reader: MessageReader;
  #stage: Stage = "open";
  #end: PeerEnd | undefined;
  #paused = false;
  #out: Uint8Array[] = [];
  #outBytes = 0;
  #why: { readonly why: string; readonly loss: PeerLoss } = {
    why: "the connection ended without a word",
    loss: "broken",
  };

  constructor(socket: Socket, options: PeerPipeOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#reader = new MessageReader({
      maxBytes: options.maxMessageBytes,
      on: (bytes, control) => (control ? this.#control(bytes) : this.#message(bytes)),
    });
    socket.setNoDelay(true);
    socket.setKeepAlive(true, keepAliveMs);
    socket.on("data", (chunk: Buffer) => this.#read(() => this.#reader.feed(chunk)));
    socket.on("error", (error: NodeJS.ErrnoException) => this.#broke(error));
    socket.on("end", () => this.#gone());
    socket.on("close", () => this.#finish());
  }

  /** Who takes the messages from now on. */
  begin(end: PeerEnd): void {
    this.#end = end;
  }

  send(message: Uint8Array): void {
    if (this.#stage !== "open") return;
    if (message.length > this.#options.maxMessageBytes)
      return this.cut(`a message of ${message.length} bytes is over the limit`, "malformed");
    this.#put(messageHead(message.length, false), message);
  }

  sendControl(kind: number, content: Uint8Array = new Uint8Array()): void {
    if (this.#stage !== "open") return;
    this.#put(messageHead(content.length + 1, true), Uint8Array.of(kind), content);
  }

  unsentBytes(): number {
    return this.#outBytes + this.#socket.writableLength;
  }

  pause(): void {
    this.#paused = true;
    this.#reader.pause();
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    process.nextTick(() => {
      if (!this.#paused && this.#stage === "open") this.#read(() => this.#reader.resume());
      if (!this.#paused) this.#socket.resume();
    });
  }

  close(why: string): void {
    this.end(why, "closed");
  }

  /** `close`, for another reason than being done. */
  end(why: string, loss: PeerLoss): void {
    if (this.#stage !== "open") return;
    this.sendControl(controlKind.goodbye, Buffer.from(`${loss} ${why}`).subarray(0, 1024));
    this.#why = { why, loss };
    this.#flush();
    this.#stage = "closing";
    // What comes now is read to nobody, so that the other side's goodbye is seen behind it.
    this.#socket.resume();
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), goodbyeMs).unref();
  }

  /** Ends it without waiting for anything. */
  cut(why: string, loss: PeerLoss): void {
    if (this.#stage === "open") this.#why = { why, loss };
    this.#socket.destroy();
    this.#finish();
  }

  #put(...parts: readonly Uint8Array[]): void {
    if (this.#out.length === 0) process.nextTick(() => this.#flush());
    for (const part of parts) {
      this.#out.push(part);
      this.#outBytes += part.length;
    }
  }

  #flush(): void {
    const parts = this.#out;
    if (parts.length === 0 || this.#stage === "closed") return;
    const size = this.#outBytes;
    this.#out = [];
    this.#outBytes = 0;
    const written = (error?: Error | null): void => {
      if (!error && this.#stage === "open" && this.unsentBytes() === 0) this.#end?.drained();
    };
    if (size <= copyBytes) return void this.#socket.write(Buffer.concat(parts, size), written);
    this.#socket.cork();
    parts.forEach((part, at) => this.#socket.write(part, at === parts.length - 1 ? written : undefined));
    this.#socket.uncork();
  }

  #read(step: () => void): void {
    if (this.#stage !== "open") return;
    try {
      step();
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      this.end(error.message, "malformed");
    }
  }

  #message(bytes: Buffer): void {
    if (this.#stage !== "open") return;
    if (this.#end === undefined) throw new MalformedMessage("a message came before its connection was accepted");
    this.#end.message(bytes);
  }

  #control(bytes: Buffer): void {
    if (this.#stage !== "open") return;
    const [kind] = bytes;
    if (kind !== controlKind.goodbye) return this.#options.control(kind ?? 0, bytes.subarray(1));
    const [, loss = "", why = ""] = /^(\S+) (.*)$/s.exec(bytes.toString("utf8", 1, maxControlBytes)) ?? [];
    // The other side's word on our certificate is worth no more than its word on anything: it ends this connection only.
    this.cut(why, loss === "untrusted" || loss === "malformed" ? loss : "closed");
  }

  #broke(error: NodeJS.ErrnoException & { readonly reason?: string }): void {
    // OpenSSL's messages name its source files; its reasons are short.
    if (this.#stage === "open") this.#why = { why: error.reason ?? error.message, loss: lossOf(error) };
    this.#socket.destroy();
    this.#finish();
  }

  /** The other side sends nothing more: after its goodbye that is in order. */
  #gone(): void {
    this.#socket.destroy();
    this.#finish();
  }

  #finish(): void {
    if (this.#stage === "closed") return;
    this.#stage = "closed";
    this.#out = [];
    this.#outBytes = 0;
    const { why, loss } = this.#why;
    this.#end?.closed(why, loss);
    this.#options.over(why, loss);
  }
}
