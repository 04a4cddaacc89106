// All that the client needs of the world, from what Node and browsers both have. Tests and simulation hand in another.

import { SheafError } from "../base/index.ts";
import type { Clock, Dice } from "../host/index.ts";
import type { Pipe, PipeEnd } from "../rpc/index.ts";

export type ClientHost = {
  readonly clock: Clock;
  readonly dice: Pick<Dice, "random" | "bytes">;
  /** Opens a connection to a ws: or wss: address. Says `opened` or `failed`, once, unless aborted by what it returns. */
  dial(url: string, end: { opened(pipe: Pipe): PipeEnd; failed(error: SheafError): void }): () => void;
  fetch(url: string, init: RequestInit): Promise<Response>;
};

/** While more than this waits to leave, the socket is looked at again and again: it says nothing of its own accord. */
const CROWDED_BYTES = 256 * 1024;
const LOOK_MS = 5;

/** The host of the browser or Node process that this runs in. */
export const globalHost = (): ClientHost => ({
  clock: {
    now: () => Date.now(),
    tick: () => performance.now(),
    after(ms, fn) {
      const timer = setTimeout(fn, Math.min(ms, 2 ** 31 - 1));
      return { cancel: () => clearTimeout(timer) };
    },
    turn: turnOf(),
  },
  dice: {
    random: Math.random,
    bytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  },
  dial,
  fetch: (url, init) => fetch(url, init),
});

/** Once, after the I/O callbacks that are ready now. Browsers have no such thing; a message to oneself comes close. */
function turnOf(): (fn: () => void) => void {
  const { setImmediate } = globalThis as { setImmediate?: (fn: () => void) => void };
  if (setImmediate !== undefined) return setImmediate;
  const waiting: (() => void)[] = [];
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => waiting.shift()?.();
  return (fn) => {
    waiting.push(fn);
    port2.postMessage(0);
  };
}

function dial(url: string, events: { opened(pipe: Pipe): PipeEnd; failed(error: SheafError): void }): () => void {
  let end: PipeEnd | undefined;
  let over = false;
  let socket: WebSocket;
  try {
    socket = new WebSocket(url);
  } catch (cause) {
    events.failed(new SheafError("USAGE", `cannot connect to ${url}`, { cause }));
    return () => {};
  }
  socket.binaryType = "arraybuffer";
  socket.onopen = () => void (end = over ? undefined : events.opened(pipeOf(socket, () => end)));
  socket.onmessage = (event: MessageEvent) => {
    end?.message(event.data instanceof ArrayBuffer ? new Uint8Array(event.data) : new Uint8Array(0));
  };
  // `close` always follows `error`, and browsers tell nothing more.
  socket.onerror = () => {};
  socket.onclose = (event: CloseEvent) => {
    if (over) return;
    over = true;
    const why = event.reason === "" ? `the connection was closed (${event.code})` : event.reason;
    if (end === undefined) events.failed(new SheafError("UNREACHABLE", `no connection to ${url}`));
    else end.closed(why);
  };
  return () => {
    over = true;
    socket.close();
  };
}

function pipeOf(socket: WebSocket, end: () => PipeEnd | undefined): Pipe {
  let looking = false;
  const look = (): void => {
    looking = socket.readyState === WebSocket.OPEN && socket.bufferedAmount > CROWDED_BYTES;
    if (looking) setTimeout(look, LOOK_MS);
    else end()?.drained();
  };
  return {
    send(message) {
      if (socket.readyState !== WebSocket.OPEN) return;
      socket.send(message);
      if (looking || socket.bufferedAmount <= CROWDED_BYTES) return;
      looking = true;
      setTimeout(look, LOOK_MS);
    },
    unsentBytes: () => socket.bufferedAmount,
    // Answers are only as many as there are calls under way, so a caller has no need to hold them off.
    pause() {},
    resume() {},
    close: (why) => socket.close(1000, why.replace(/[^\x20-\x7e]/g, "?").slice(0, 123)),
  };
}
