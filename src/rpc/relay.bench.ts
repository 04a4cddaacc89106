// What it costs two nodes that one passes a call on to the other, in processor time of both, without the sockets between them.
// Prints one JSON line.
//
//   node src/rpc/relay.bench.ts [seconds]

import { defaultLimits } from "../base/index.ts";
import { realHost } from "../platform/index.ts";
import { Line, Peer, type Pipe, type PipeEnd, respond } from "./index.ts";

const seconds = Number(process.argv[2] ?? 3);
const inFlight = 64;
const { clock } = realHost({ dir: process.env["BENCH_DIR"] ?? "." });
const ends: PipeEnd[] = [];

const pipeTo = (end: 0 | 1): Pipe => ({
  send: (message) => clock.turn(() => ends[end]!.message(message)),
  unsentBytes: () => 0,
  pause() {},
  resume() {},
  close() {},
});

const answering = (pipe: Pipe): PipeEnd =>
  respond(pipe, {
    clock,
    calls: { call: async ({ input }) => ({ output: input, version: 3 }) },
    cluster: "c/there",
    limits: { ...defaultLimits, maxInFlight: 8192 },
    accept: () => ({ id: "node", roles: [] }),
    recheckMs: 1e8,
    helloMs: 1e4,
    permit() {},
    expose: (error) => error,
    between: "there",
  });

const [here, there] = [new Line(pipeTo(1), answering), new Line(pipeTo(0), answering)];
ends.push(here, there);
const peer = await new Promise<Peer>((resolve) => {
  const made: Peer = new Peer({
    clock,
    dial: (_, end) => {
      here.ask((pipe) => end.opened(pipe));
      return () => {};
    },
    address: "",
    self: "here",
    node: "there",
    app: "node",
    expects: "c/there",
    limits: defaultLimits,
    beatMs: 150,
    changed: () => resolve(made),
    heard() {},
  });
});

const input = { id: "acc-1234567", cents: 1234, note: "a small object of about one hundred bytes, as in the table" };
const target = { kind: "command", entity: "account", key: "acc-7", name: "deposit" } as const;
const principal = { id: "sk_7h2k9", roles: ["app", "reader"] };
let made = 0;

async function calls(until: number): Promise<void> {
  while (clock.tick() < until) {
    const op = { id: `c0ffee0123456789.${(++made).toString(36)}`, issuedAt: 1_700_000_000_000, settled: made };
    await peer.call({ target, input, principal, op, deadline: clock.tick() + 10_000 });
  }
}

async function measure(ms: number): Promise<number> {
  made = 0;
  const before = process.cpuUsage();
  const until = clock.tick() + ms;
  await Promise.all(Array.from({ length: inFlight }, () => calls(until)));
  const { user, system } = process.cpuUsage(before);
  return (user + system) / made;
}

await measure(1_000);
const cpu = await measure(seconds * 1_000);
console.log(JSON.stringify({ bench: "relay", inFlight, calls: made, processorMicros: Number(cpu.toFixed(2)) }));
process.exit();
