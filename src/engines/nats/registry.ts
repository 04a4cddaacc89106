// The registry: the last message of each key, in memory on the servers. A deleted key is a message that says so, which goes by
// itself: a purge would not be seen by whoever reads a replica that is behind.

import type { Millis } from "../../base/index.ts";
import { checkRegistryEntry, checkRegistryKey, type Registry } from "../../journal/index.ts";
import { lastOf } from "./last-of.ts";
import type { Layout } from "./layout.ts";
import type { Link } from "./link.ts";
import { deadlineIn, persist } from "./patience.ts";

/** How long a deleted key is remembered: any replica has caught up by then. */
const goneAfter = "60s";

export function registryOf(
  link: Link,
  layout: Layout,
  patienceMs: Millis,
  whileOpen: () => Promise<unknown>,
): Registry {
  const prefix = `${layout.space}.registry.`;
  const subjectOf = (key: string): string => prefix + Buffer.from(key).toString("hex");

  async function write(key: string, bytes: Uint8Array, isGone: boolean): Promise<void> {
    await whileOpen();
    const deadline = deadlineIn(patienceMs);
    await persist("wrote to the registry", deadline, async () => {
      const sent = await link.publish({
        stream: layout.registry,
        subject: subjectOf(key),
        bytes,
        timeoutMs: deadline.tryMs(),
        ...(isGone && { goneAfter, isGone }),
      });
      if (sent.kind === "full") throw sent.error;
      return sent.kind === "stored" || undefined;
    });
  }

  return {
    async put(key, value) {
      checkRegistryEntry(key, value);
      await write(key, value, false);
    },
    async delete(key) {
      checkRegistryKey(key);
      await write(key, new Uint8Array(), true);
    },
    async list() {
      await whileOpen();
      const found = await lastOf(link, layout.registry, `${prefix}*`, patienceMs);
      return new Map(
        found.flatMap(({ subject, isGone, bytes }) =>
          isGone ? [] : [[Buffer.from(subject.slice(prefix.length), "hex").toString(), bytes] as const],
        ),
      );
    },
  };
}
