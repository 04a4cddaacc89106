// Writes lines to a file descriptor that may be a terminal, a file, a pipe or a socket, without ever waiting for it.
// Node's own process.stderr waits for some of these, and a thread stuck in a write would keep the process from ending.

import { constants, fstatSync, openSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { isatty } from "node:tty";

export type LineSink = {
  readonly terminal: boolean;
  /** Takes the line, or returns false when there is no room or nobody reads any more. */
  write(line: string): boolean;
};

const maxWaitingBytes = 256 * 1024;
const retryMs = 50;

/** For pipes and terminals: non-blocking writes; what did not fit waits, up to a bound, and is retried. */
function unhurried(fd: number): Omit<LineSink, "terminal"> {
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let open = true;
  let retry: NodeJS.Timeout | undefined;

  function flush(): void {
    retry = undefined;
    const all = waiting.length === 1 ? (waiting[0] as Buffer) : Buffer.concat(waiting);
    let at = 0;
    try {
      while (at < all.length) at += writeSync(fd, all, at, all.length - at);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EAGAIN" || code === "EINTR") {
        // Unreferenced: unread log lines do not keep a process alive.
        retry = setTimeout(flush, retryMs).unref();
      } else open = false;
    }
    waiting = open && at < all.length ? [all.subarray(at)] : [];
    waitingBytes = open ? all.length - at : 0;
  }

  return {
    write(line) {
      const bytes = Buffer.from(`${line}\n`);
      if (!open || waitingBytes + bytes.length > maxWaitingBytes) return false;
      waiting.push(bytes);
      waitingBytes += bytes.length;
      if (retry === undefined) flush();
      return open;
    },
  };
}

/** A socket cannot be opened a second time; Node's own use of standard error makes it non-blocking in the same way.
 *  Writing through the stream instead would keep the process alive until the line is read. */
function socketSink(fd: number): Omit<LineSink, "terminal"> {
  const socket = new Socket({ fd, readable: false, writable: true });
  socket.on("error", () => {}).unref();
  const { write } = unhurried(fd);
  return { write: (line) => !socket.destroyed && write(line) };
}

function fileSink(fd: number): Omit<LineSink, "terminal"> {
  return {
    write(line) {
      try {
        const bytes = Buffer.from(`${line}\n`);
        return writeSync(fd, bytes) === bytes.length;
      } catch {
        return false;
      }
    },
  };
}

export function lineSink(fd: number): LineSink {
  const terminal = isatty(fd);
  try {
    const stat = fstatSync(fd);
    if (stat.isFile()) return { terminal, ...fileSink(fd) };
    if (stat.isSocket()) return { terminal, ...socketSink(fd) };
    // An own non-blocking view of the same pipe or terminal: the mode of the shared one is not ours to change.
    return {
      terminal,
      ...unhurried(openSync(`/dev/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)),
    };
  } catch {
    return { terminal, ...fileSink(fd) };
  }
}
