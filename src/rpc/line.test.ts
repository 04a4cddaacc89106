// One connection that carries calls both ways, between two ends that read slowly, leave, and say what does not belong there.

import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultLimits } from "../base/index.ts";
import { askingKinds, firstKind, frameKind, MessageWriter, pack, packNumber } from "../wire/index.ts";
import { Line, Peer, type Pipe, type PipeEnd, respond } from "./index.ts";
import { limits, StillClock } from "./pair.fixture.ts";

const windowBytes = 2_000;

/** One way of a connection: takes any number of messages, delivers them in order, and none while its reader pauses. */
class Pipeline implements Pipe {
  readonly #clock: StillClock;
  readonly #cord: Cord;
  readonly #waiting: Uint8Array<ArrayBuffer>[] = [];
  reader: PipeEnd | undefined;
  writer: PipeEnd | undefined;
  isPaused = false;
  back: Pipeline | undefined;
  sent = 0;

  constructor(clock: StillClock, cord: Cord) {
    this.#clock = clock;
    this.#cord = cord;
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    this.sent++;
    this.#waiting.push(message);
    this.#clock.turn(() => this.flow());
  }
  unsentBytes = (): number => this.#waiting.reduce((sum, bytes) => sum + bytes.length, 0);
  pause = (): void => void (this.back!.isPaused = true);
  resume(): void {
    this.back!.isPaused = false;
    this.#clock.turn(() => this.back!.flow());
  }
  close = (why: string): void => this.#clock.turn(() => this.#cord.cut(why));

  flow(): void {
    if (this.isPaused || this.#cord.isCut || this.#waiting.length === 0) return;
    this.reader?.message(this.#waiting.shift()!);
    if (this.#waiting.length === 0) this.writer?.drained();
    else this.#clock.turn(() => this.flow());
  }
}

/** Both ways. */
class Cord {
  readonly ends: [Pipeline, Pipeline];
  isCut = false;

  constructor(clock: StillClock) {
    this.ends = [new Pipeline(clock, this), new Pipeline(clock, this)];
    [this.ends[0].back, this.ends[1].back] = [this.ends[1], this.ends[0]];
  }

  join(left: PipeEnd, right: PipeEnd): void {
    const [out, back] = this.ends;
    [out.writer, out.reader, back.writer, back.reader] = [left, right, right, left];
  }

  cut(why: string): void {
    if (this.isCut) return;
    this.isCut = true;
    for (const { writer } of this.ends) writer?.closed(why);
  }
}

/** Two nodes, `left` and `right`, with one connection over which both call. Each answers with as many bytes as it is asked for. */
async function joined() {
  const clock = new StillClock();
  const cord = new Cord(clock);
  const side = (at: 0 | 1, self: string, node: string) => {
    const line: Line = new Line(cord.ends[at], (pipe) =>
      respond(pipe, {
        clock,
        calls: { call: async ({ input }) => ({ output: "x".repeat(Number(input)) }) },
        cluster: self,
        limits: { ...limits, maxUnsentBytes: windowBytes },
        accept: () => ({ id: "node", roles: [] }),
        recheckMs: 1e9,
        helloMs: 1e9,
        permit: () => {},
        expose: (error) => error,
        between: self,
      }),
    );
    const ask = (): Peer =>
      new Peer({
        clock,
        dial(_, end) {
          if (line.unused) line.ask((pipe) => end.opened(pipe));
          return () => {};
        },
        address: node,
        self,
        node,
        app: "node",
        expects: node,
        limits: defaultLimits,
        beatMs: 150,
        changed: () => {},
        heard: () => {},
      });
    return { line, ask };
  };
  const [left, right] = [side(0, "left", "right"), side(1, "right", "left")];
  cord.join(left.line, right.line);
  const peers = [left.ask(), right.ask()] as const;
  await clock.settle();
  const call = (peer: Peer, bytes: number): Promise<number> =>
    peer
      .call({
        target: { kind: "query", entity: "account", key: "a", name: "page" },
        input: bytes,
        principal: { id: "ann", roles: [] },
        deadline: clock.tick() + 10_000,
      })
      .then(({ output }) => String(output).length);
  return { clock, cord, left: left.line, right: right.line, peers, call };
}

test("line: two nodes that both wait to be rid of their answers still get those of the other (L2)", async () => {
  const { clock, peers, call, cord } = await joined();
  const answers = peers.flatMap((peer) => Array.from({ length: 50 }, () => call(peer, 3 * windowBytes)));
  await clock.settle();
  const more = peers.map((peer) => call(peer, 1));
  await clock.advance(2_000);
  assert.deepEqual(new Set(await Promise.all(answers)), new Set([3 * windowBytes]));
  assert.deepEqual(await Promise.all(more), [1, 1]);
  assert.equal(cord.isCut, false);
});

test("line: who asks nothing more is asked still, and the connection ends when neither asks (L3)", async () => {
  const { clock, peers, call, cord } = await joined();
  peers[0].close();
  await clock.settle();
  const answer = call(peers[1], 5).catch(String);
  await clock.settle();
  assert.deepEqual([await answer, cord.isCut], [5, false]);
  peers[1].close();
  await clock.settle();
  assert.equal(cord.isCut, true);
  assert.equal(clock.timers, 0);
});

test("line: a message that cannot be read, of either way, ends both", async () => {
  const hello = (): Uint8Array<ArrayBuffer> => messageOf(pack([frameKind.hello, "odd"]));
  for (const odd of [hello(), messageOf(pack([frameKind.reply, "odd"])), Uint8Array.of(0xc0), new Uint8Array(0)]) {
    const { clock, cord, peers, call } = await joined();
    const calls = peers.map((peer) => call(peer, 1).catch((error: { code: string }) => error.code));
    cord.ends[0].send(odd);
    await clock.settle();
    assert.equal(cord.isCut, true);
    assert.ok((await Promise.all(calls)).every((got) => got === 1 || got === "CALL_LOST"));
  }
});

test("line: the kind of a message's first frame is found in every form that an array can have (L1)", () => {
  const long = ["x".repeat(300), ...Array.from({ length: 20 }, () => 1)];
  assert.equal(firstKind(pack([[frameKind.call, ...long]])), frameKind.call);
  assert.equal(firstKind(pack(Array.from({ length: 70_000 }, () => [frameKind.pong, 1]))), frameKind.pong);
  assert.equal(firstKind(messageOf(packNumber(frameKind.ping, 1))), frameKind.ping);
  for (const none of [[], [[]], [["x"]], 5, null]) assert.equal(firstKind(pack(none)), undefined, JSON.stringify(none));
  const answers = [
    frameKind.welcome,
    frameKind.reply,
    frameKind.fail,
    frameKind.pong,
    frameKind.goaway,
    frameKind.session,
  ];
  for (const kind of Object.values(frameKind)) assert.equal(askingKinds.has(kind), !answers.includes(kind as 2));
});

function messageOf(frame: Uint8Array): Uint8Array<ArrayBuffer> {
  const writer = new MessageWriter();
  writer.packed(frame);
  return writer.take();
}
