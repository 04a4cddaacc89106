// An open connection that carries whole messages in order, as the session machines see it: a WebSocket, or a pair in memory.

/** What a session does to its connection. */
export interface Pipe {
  /** Never throws: a connection that is gone swallows the message and says `closed`. */
  send(message: Uint8Array<ArrayBuffer>): void;
  /** Bytes sent that the system has not taken yet. */
  unsentBytes(): number;
  /** No `message` until `resume`; what the other side sends meanwhile is held back at its end. */
  pause(): void;
  resume(): void;
  /** Sends what was handed over, then closes. `why` reaches the other side. */
  close(why: string): void;
  /** Where calls may come the other way, too: ends this way only, once what was handed over is sent. `close` where absent. */
  leave?(why: string): void;
}

/** What a connection tells its session. Nothing after `closed`, which comes exactly once. */
export interface PipeEnd {
  message(bytes: Uint8Array): void;
  /** `unsentBytes` has fallen to zero. */
  drained(): void;
  closed(why: string): void;
}
