// The least that a transaction-pooling proxy does: all its clients share one session of the server, each for one
// transaction at a time. It speaks to clients that need no password and no TLS.

import { once } from "node:events";
import { connect, createServer, type AddressInfo, type NetConnectOpts, type Socket } from "node:net";

/** Whole messages of a stream, each with its type; those before the session is set up have none. */
function messages(onMessage: (type: string, message: Buffer) => void, isTyped = true): (bytes: Buffer) => void {
  let kept: Buffer = Buffer.alloc(0);
  let typed = isTyped;
  return (bytes) => {
    kept = Buffer.concat([kept, bytes]);
    for (;;) {
      const from = typed ? 1 : 0;
      if (kept.length < from + 4) return;
      const length = from + kept.readInt32BE(from);
      if (kept.length < length) return;
      const message = kept.subarray(0, length);
      kept = kept.subarray(length);
      const type = typed ? String.fromCharCode(message[0] as number) : "startup";
      typed = true;
      onMessage(type, message);
    }
  };
}

function startupOf(user: string): Buffer {
  const words = Buffer.from(`user\0${user}\0database\0postgres\0\0`);
  const head = Buffer.alloc(8);
  head.writeInt32BE(head.length + words.length, 0);
  head.writeInt32BE(196_608, 4);
  return Buffer.concat([head, words]);
}

const message = (type: string, ...bytes: readonly number[]): Buffer => {
  const head = Buffer.alloc(5, type);
  head.writeInt32BE(4 + bytes.length, 1);
  return Buffer.concat([head, Buffer.from(bytes)]);
};
const isReady = "Z";
const endsTransaction = ["S", "Q"]; // Sync and Query.

/** Listens on 127.0.0.1; pools what comes over one session of the server at `target`. */
export async function transactionPooler(target: NetConnectOpts): Promise<{ port: number; close(): void }> {
  type Turn = { readonly client: Socket; readonly bytes: Buffer };
  const turns: Turn[] = [];
  let serving: Turn | undefined;
  const session = connect(target);
  session.write(startupOf("sheaf"));
  const serve = (): void => {
    if (serving) return;
    serving = turns.shift();
    if (serving) session.write(serving.bytes);
  };
  const first = Promise.withResolvers<void>();
  session.on(
    "data",
    messages((type, bytes) => {
      serving?.client.write(bytes);
      if (type !== isReady) return;
      first.resolve();
      serving = undefined;
      serve();
    }),
  );
  const clients = new Set<Socket>();
  const server = createServer((client) => {
    clients.add(client.on("error", () => {}));
    let asked: Buffer[] = [];
    client.on(
      "data",
      messages((type, bytes) => {
        if (type === "startup") {
          client.write(Buffer.concat([message("R", 0, 0, 0, 0), message(isReady, "I".charCodeAt(0))]));
          return;
        }
        if (type === "X") return;
        asked.push(Buffer.from(bytes));
        if (!endsTransaction.includes(type)) return;
        turns.push({ client, bytes: Buffer.concat(asked) });
        asked = [];
        serve();
      }, false),
    );
  });
  await first.promise;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close();
      for (const socket of [...clients, session]) socket.destroy();
    },
  };
}
