// The physical limits that `sheaf bench` compares with, measured in the same run: a bare TCP echo of length-prefixed msgpack
// messages of 100 bytes, decoded and encoded at both ends, and the same with every message appended to a file and synced before it is echoed, many to one sync.
// As a program (with a folder as its argument) it is the far side; `measureLimit` is the near side.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, fdatasync, openSync, writeSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { pack, unpack } from "../wire/index.ts";
import { Rounds, type Timing } from "./bench-rounds.ts";

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
function farSide(file: number | undefined): void {
  const server = createServer({ noDelay: true }, (socket) => {
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
  });
  server.listen(0, "127.0.0.1", () => process.send!((server.address() as AddressInfo).port));
  process.on("disconnect", () => process.exit(0));
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

/** Closed loop over one connection with `concurrency` messages under way. `folder` makes it durable. */
export async function measureLimit(concurrency: number, ms: number, folder: string | undefined): Promise<Timing> {
  const far = spawn(process.execPath, [fileURLToPath(import.meta.url), ...(folder === undefined ? [] : [folder])], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  try {
    const [port] = (await once(far, "message")) as [number];
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    await once(socket, "connect");
    // Answers come in the order of the questions.
    const answers: (() => void)[] = [];
    let out: Buffer[] = [];
    const flush = (): void => {
      socket.write(Buffer.concat(out));
      out = [];
    };
    onMessages(socket, () => answers.shift()?.());
    const send = (): Promise<void> =>
      new Promise((resolve) => {
        answers.push(resolve);
        if (out.push(framed(message)) === 1) setImmediate(flush);
      });
    const timing = await new Rounds(concurrency, send).run(ms);
    socket.destroy();
    return timing;
  } finally {
    far.kill();
  }
}

if (import.meta.main) {
  const folder = process.argv[2];
  const file = folder === undefined ? undefined : openSync(join(folder, "limit.log"), "a");
  if (file !== undefined) process.on("exit", () => closeSync(file));
  farSide(file);
}
