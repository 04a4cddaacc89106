// The least that sends messages over a socket, for benches that say what a connection costs beyond it: four bytes of length
// before each, one write for all that are sent until `soon` runs what it was given.

import type { Socket } from "node:net";

/** Calls `heard` for each message; returns what sends one. */
export function bareMessages(
  socket: Socket,
  heard: (bytes: Uint8Array) => void,
  soon: (flush: () => void) => void,
): (bytes: Uint8Array) => void {
  let rest: Buffer | undefined;
  let out: Uint8Array[] = [];
  socket.setNoDelay();
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    const bytes = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (bytes.length - at >= 4 && bytes.length - at - 4 >= bytes.readUInt32BE(at)) {
      const end = at + 4 + bytes.readUInt32BE(at);
      heard(bytes.subarray(at + 4, end));
      at = end;
    }
    rest = at === bytes.length ? undefined : bytes.subarray(at);
  });
  const flush = (): void => {
    socket.write(Buffer.concat(out));
    out = [];
  };
  return (bytes) => {
    if (out.length === 0) soon(flush);
    const head = Buffer.allocUnsafe(4);
    head.writeUInt32BE(bytes.length);
    out.push(head, bytes);
  };
}
