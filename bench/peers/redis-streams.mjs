// Redis that syncs its append-only file before it answers; XADD over one connection, what is under way in one pipeline.

import { Redis } from "ioredis";
import { keyOf } from "./keys.mjs";
import { message } from "./message.mjs";

export const serve = async (given) => given;

export async function open(port) {
  const redis = new Redis({ host: "127.0.0.1", port, enableAutoPipelining: true });
  await redis.ping();
  return {
    once: (n) => redis.xadd("ticks", "*", "event", JSON.stringify({ key: keyOf(n), n, memo: message.memo })),
    close: () => redis.disconnect(),
  };
}
