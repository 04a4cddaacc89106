// A shop with topics on a real node, behind a real listener: what clients of topics meet.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { z } from "zod";
import { defaultLimits, type Limits } from "../base/index.ts";
import { gateway, sockets } from "../gateway/index.ts";
import { memoryDisk, memoryEngine } from "../journal/index.ts";
import { app, entity, subscription, topic } from "../model/index.ts";
import { type Node, startNode } from "../node/index.ts";
import { listen, realHost, socketServer } from "../platform/index.ts";
import { openAuthenticator, rolePolicy } from "../security/index.ts";
import { memoryStore } from "../shards/index.ts";

const Order = z.object({ id: z.string(), n: z.number().int() });
export const Orders = topic("orders", { event: Order, key: (order) => order.id });
export const Lists = topic("lists", { event: z.array(z.string()) });
export const Till = entity("till", {
  state: z.object({ seen: z.array(z.number()) }),
  commands: { sell: { input: Order }, note: { input: z.number() } },
  queries: { seen: { output: z.array(z.number()), consistency: "strong" } },
  events: { sold: Order },
});
const till = Till.implement({
  initial: () => ({ seen: [] }),
  sell: ({ input, emit }) => emit("sold", input),
  note: ({ state, input }) => void state.seen.push(input),
  seen: ({ state }) => [...state.seen],
});
const noted = subscription("noted", Orders).into(Till, "note", ({ key, value }) => ({ key, input: value.n }));
export const shop = app("shop", { entities: [till], topics: [Orders, Lists], subscriptions: [noted] });

export type Shop = {
  readonly url: string;
  readonly node: Node;
  /** Ends the streams, as a gateway does that goes away. */
  drain(): void;
};

export async function openShop(
  t: TestContext,
  given: { readonly limits?: Partial<Limits>; readonly upgrades?: boolean } = {},
): Promise<Shop> {
  const dir = mkdtempSync(join(tmpdir(), "sheaf-shop-"));
  const host = realHost({ dir, log: { debug() {}, info() {}, warn() {}, error() {} } });
  const limits = { ...defaultLimits, ...given.limits };
  const engine = memoryEngine({ disk: memoryDisk(), clock: host.clock });
  const node = await startNode({
    host,
    engine,
    store: memoryStore(),
    app: shop,
    cluster: "shop",
    shards: 8,
    create: true,
    limits,
  });
  const shared = {
    host,
    calls: node,
    contract: () => shop.contract,
    limits,
    authenticator: openAuthenticator({ id: "me", roles: ["app"] }),
    policy: rolePolicy(),
    reveal: true,
  };
  const edge = gateway({ ...shared, ready: () => node.ready(), shards: node.cluster.shards });
  const open = sockets({ ...shared, cluster: node.cluster.id });
  const server = socketServer({ limits, open: (pipe) => open.open(pipe) });
  const onUpgrade = given.upgrades === false ? undefined : server.onUpgrade;
  const listener = await listen({ port: 0, answer: edge.answer, onUpgrade, limits });
  t.after(async () => {
    edge.drain();
    server.close();
    await listener.close(0);
    await node.stop(100);
    host.close();
    rmSync(dir, { recursive: true });
  });
  return { url: listener.url, node, drain: () => edge.drain() };
}
