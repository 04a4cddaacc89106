// The way from readers of streams to gateways and back: HTTP as it looks to both, with the delays and the losses of this world.
//
// A connection breaks in the middle of what it carries, or when its machine dies; at times nobody tells the reader. While the way is
// cut nothing arrives, and what was sent arrives when it is mended.

import { defaultLimits, type Millis, utf8 } from "../base/index.ts";
import { type Gateway, gateway } from "../gateway/index.ts";
import type { Incoming } from "../http/index.ts";
import type { AppShape } from "../model/index.ts";
import type { Node } from "../node/index.ts";
import { Cancel, type Cancellation } from "../rpc/index.ts";
import { openAuthenticator, rolePolicy } from "../security/index.ts";
import type { Machine } from "./machine.ts";
import type { Random } from "./random.ts";
import type { SimHost } from "./sim-host.ts";
import type { World } from "./world.ts";

export type Carriage = {
  readonly method?: "GET" | "POST" | undefined;
  /** Path and query. */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: string | undefined;
};

/** What comes back; `pieces` rejects when the connection breaks. */
export type Carried = { readonly status: number; readonly pieces: AsyncGenerator<string, void> };

const chance = { lose: 0.02, silent: 0.3 };
const lookAgainMs: Millis = 2;

export class Carrier {
  readonly #world: World;
  readonly #app: AppShape;
  readonly #random: Random;
  readonly #gateways = new WeakMap<Node, Gateway>();

  constructor(world: World, app: AppShape) {
    this.#world = world;
    this.#app = app;
    this.#random = world.random.fork("carrier");
  }

  /** Asks the gateway of a machine. Rejects when no connection could be made, or it broke before the answer. */
  async ask(machine: Machine, carriage: Carriage, gone: Cancel): Promise<Carried> {
    await this.#way(machine, gone);
    const state = machine.state();
    if (state.kind !== "up" || gone.aborted) throw new Error("no connection");
    const line = new Line(machine, state.host, this.#random.chance(chance.silent));
    const request = incoming(carriage, line.cancel);
    const { status, body, stream } = await line.within(() => this.#gateway(state).answer(request));
    await this.#way(machine, gone);
    return { status, pieces: this.#pieces(machine, line, stream?.(line.cancel), body, gone) };
  }

  #gateway({ node, host }: { readonly node: Node; readonly host: SimHost }): Gateway {
    let known = this.#gateways.get(node);
    if (!known) {
      const { shards, limits } = this.#world.options;
      known = gateway({
        host,
        calls: node,
        contract: () => this.#app.contract,
        limits: { ...defaultLimits, ...limits },
        authenticator: openAuthenticator({ id: "reader", roles: ["app"] }),
        policy: rolePolicy(),
        shards,
        ready: () => ({ ok: true, checks: {} }),
      });
      this.#gateways.set(node, known);
    }
    return known;
  }

  async *#pieces(
    machine: Machine,
    line: Line,
    stream: AsyncIterable<string> | undefined,
    body: string | undefined,
    gone: Cancel,
  ): AsyncGenerator<string, void> {
    const over = (): void => line.end();
    gone.addEventListener("abort", over);
    try {
      if (body !== undefined) yield body;
      const pieces = stream?.[Symbol.asyncIterator]();
      for (;;) {
        if (pieces === undefined) return;
        const next = await line.within(() => pieces.next());
        if (next.done === true) return;
        await this.#way(machine, gone);
        if (!this.#loses()) {
          yield next.value;
          continue;
        }
        yield next.value.slice(0, this.#random.below(next.value.length));
        throw new Error("the connection broke");
      }
    } finally {
      gone.removeEventListener("abort", over);
      line.end();
    }
  }

  #loses(): boolean {
    const { weather } = this.#world;
    if (!weather.enabled.has("lost-reply") || !this.#random.chance(chance.lose)) return false;
    weather.tally.injected["lost-reply"]++;
    return true;
  }

  async #way({ name }: Machine, gone: Cancel): Promise<void> {
    const { weather } = this.#world;
    await this.#world.sleep(0.05 + this.#random.float() * this.#random.float() * 2);
    while (weather.cutFromCallers.has(name) && !gone.aborted) await this.#world.sleep(lookAgainMs);
  }
}

/** A connection to one run of a machine. */
class Line {
  readonly cancel = new Cancel();
  readonly #host: SimHost;
  readonly #broken: Promise<never>;
  readonly #forget: () => void;
  #break: (error: Error) => void = () => {};

  constructor(machine: Machine, host: SimHost, isSilent: boolean) {
    this.#host = host;
    this.#broken = new Promise((_, reject) => (this.#break = reject));
    this.#broken.catch(() => undefined);
    this.#forget = machine.watch(() => void (isSilent || this.#break(new Error("the connection broke"))));
  }

  /** What the machine does, when it runs. */
  within<T>(act: () => Promise<T>): Promise<T> {
    const done = new Promise<T>((resolve, reject) => this.#host.deliver(() => void act().then(resolve, reject)));
    return Promise.race([done, this.#broken]);
  }

  /** The reader is gone: the machine learns that when it runs. */
  end(): void {
    this.#forget();
    this.#break(new Error("the reader is gone"));
    this.#host.deliver(() => this.cancel.abort(undefined));
  }
}

const incoming = ({ method = "GET", url, headers = {}, body = "" }: Carriage, signal: Cancellation): Incoming => ({
  method,
  url,
  authority: "gateway",
  signal,
  header: (name) => headers[name],
  read: () => Promise.resolve(utf8(body)),
});
