// The physical limits that `sheaf bench` compares with, measured in the same run: a bare TCP echo of length-prefixed messages,
// and the same with every message appended to a file and synced before it is echoed, many to one sync.
// As a program (with a folder as its argument) it is the far side; `measureLimit` is the near side.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, fdatasync, openSync, writeSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Rounds, type Timing } from "./bench-rounds.ts";

const messageBytes = 100;
const frameBytes = 4 + messageBytes;

/** Echoes whole frames, each turn's worth in one write; through the file when there is one. */
function farSide(file: number | undefined): void {
  const server = createServer({ noDelay: true }, (socket) => {
    const frames = framesOf(socket);
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
    frames((frame) => {
      waiting.push(frame);
      if (busy) return;
      busy = true;
      setImmediate(turn);
    });
    socket.on("error", () => socket.destroy());
  });
  server.listen(0, "127.0.0.1", () => process.send!((server.address() as AddressInfo).port));
  process.on("disconnect", () => process.exit(0));
}

/** Calls back with every whole frame that arrives. */
function framesOf(socket: Socket): (each: (frame: Buffer) => void) => void {
  return (each) => {
    let rest: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let at = 0;
      for (; at + frameBytes <= rest.length; at += frameBytes) each(rest.subarray(at, at + frameBytes));
      rest = rest.subarray(at);
    });
  };
}

/** Closed loop over one connection with `concurrency` messages under way. `folder` makes it durable. */
export async function measureLimit(concurrency: number, ms: number, folder: string | undefined): Promise<Timing> {
  const far = spawn(process.execPath, [fileURLToPath(import.meta.url), ...(folder === undefined ? [] : [folder])], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  try {
    const [port] = (await once(far, "message")) as [number];
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    await once(socket, "connect");
    const frame = Buffer.alloc(frameBytes, 120);
    frame.writeUInt32BE(messageBytes, 0);
    const answers: (() => void)[] = [];
    let out = 0;
    const flush = (): void => {
      socket.write(Buffer.alloc(out * frameBytes, frame));
      out = 0;
    };
    framesOf(socket)(() => answers.shift()?.());
    const send = (): Promise<void> =>
      new Promise((resolve) => {
        answers.push(resolve);
        if (out++ === 0) setImmediate(flush);
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
