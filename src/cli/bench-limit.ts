// The physical limits that `sheaf bench` compares with, measured in the same run: a bare TCP echo of length-prefixed msgpack
// messages of 100 bytes, decoded and encoded at both ends; the same over TLS 1.3 where both ends show a certificate; and the same
// with every message appended to a file and synced before it is echoed, many to one sync.
// As a program it is the far side, told by its parent what to be; `openLimit` is the near side.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, fdatasync, openSync, writeSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer, type SecureContextOptions } from "node:tls";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { pack, unpack } from "../wire/index.ts";
import { Rounds, type Timing } from "./bench-rounds.ts";

/** What the far side is: durable with a folder, encrypted with the certificates of both sides. */
type Kind = { readonly folder?: string | undefined; readonly tls?: Certificates | undefined };

/** Both ends show one of their own that the same root has signed. */
export type Certificates = { readonly server: SecureContextOptions; readonly client: SecureContextOptions };

/** One open connection to a limit's far side. */
export type Limit = {
  /** Process of the far side. */
  readonly pid: number;
  /** One message, there and back. */
  send(): Promise<void>;
  stop(): void;
};

const message = { by: 1, memo: "x".repeat(86) };

/** The message with its length before it. */
function framed(value: unknown): Buffer {
  const body = pack(value);
  const frame = Buffer.allocUnsafe(4 + body.length);
  frame.writeUInt32BE(body.length, 0);
  frame.set(body, 4);
  return frame;
}

/** Echoes whole frames, each turn's worth in one write; through the file when there is one. */
function farSide({ folder, tls }: Kind): void {
  const file = folder === undefined ? undefined : openSync(join(folder, "limit.log"), "a");
  if (file !== undefined) process.on("exit", () => closeSync(file));
  const serve = (socket: Socket): void => echo(socket.setNoDelay(), file);
  const asked = { requestCert: true, rejectUnauthorized: true, minVersion: "TLSv1.3" } as const;
  const server = tls ? createTlsServer({ ...tls.server, ...asked }, serve) : createServer(serve);
  server.listen(0, "127.0.0.1", () => process.send!((server.address() as AddressInfo).port));
  process.on("disconnect", () => process.exit(0));
}

function echo(socket: Socket, file: number | undefined): void {
  let waiting: Buffer[] = [];
  let busy = false;
  const turn = (): void => {
    if (waiting.length === 0) return void (busy = false);
    const batch = Buffer.concat(waiting);
    waiting = [];
    if (file === undefined) {
      socket.write(batch);
      return void setImmediate(turn);
    }
    writeSync(file, batch);
    fdatasync(file, () => {
      socket.write(batch);
      turn();
    });
  };
  onMessages(socket, (value) => {
    waiting.push(framed(value));
    if (busy) return;
    busy = true;
    setImmediate(turn);
  });
  socket.on("error", () => socket.destroy());
}

/** Calls back with every whole message that arrives. */
function onMessages(socket: Socket, each: (value: unknown) => void): void {
  let rest: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (at + 4 <= rest.length) {
      const end = at + 4 + rest.readUInt32BE(at);
      if (end > rest.length) break;
      each(unpack(rest.subarray(at + 4, end)));
      at = end;
    }
    rest = rest.subarray(at);
  });
}

/** Starts a far side, in a process of its own, and connects to it. */
export async function openLimit(kind: Kind): Promise<Limit> {
  const far = spawn(process.execPath, [fileURLToPath(import.meta.url)], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  far.send(kind);
  const [port] = (await once(far, "message")) as [number];
  const socket = await dial(port, kind.tls?.client);
  // Answers come in the order of the questions.
  const answers: (() => void)[] = [];
  let out: Buffer[] = [];
  const flush = (): void => {
    socket.write(Buffer.concat(out));
    out = [];
  };
  onMessages(socket, () => answers.shift()?.());
  return {
    pid: far.pid!,
    send: () =>
      new Promise((resolve) => {
        answers.push(resolve);
        if (out.push(framed(message)) === 1) setImmediate(flush);
      }),
    stop() {
      socket.destroy();
      far.kill();
    },
  };
}

async function dial(port: number, certificate: SecureContextOptions | undefined): Promise<Socket> {
  const at = { port, host: "127.0.0.1" };
  const socket = certificate
    ? connectTls({ ...certificate, ...at, checkServerIdentity: () => undefined })
    : connect(at);
  await once(socket, certificate ? "secureConnect" : "connect");
  return socket.setNoDelay();
}

/** Closed loop over one connection with `concurrency` messages under way. `folder` makes it durable. */
export async function measureLimit(concurrency: number, ms: number, folder: string | undefined): Promise<Timing> {
  const limit = await openLimit({ folder });
  try {
    return await new Rounds(concurrency, limit.send).run(ms);
  } finally {
    limit.stop();
  }
}

if (import.meta.main) process.once("message", farSide);
