// The registry: the last message of each key, in memory on the servers. A deleted key is a message that says so, which goes by
// itself: a purge would not be seen by whoever reads a replica that is behind.
//
// A put writes the value and then a mark, in a subject of its own; a renewal writes the value alone. The marks that came since a
// look are what was put since.

import { type Millis, SheafError } from "../../base/index.ts";
import { checkRegistryEntry, checkRegistryKey, type Registry, type RegistryLook } from "../../journal/index.ts";
import { lastOf } from "./last-of.ts";
import type { Layout } from "./layout.ts";
import type { Link, Stored } from "./link.ts";
import { deadlineIn, persist } from "./patience.ts";

/** How long a deleted key is remembered: any replica has caught up by then. */
const goneAfter = "60s";
/** More marks, or keys, than this are not asked for one by one. */
const most = 256;
const getBytes = 32 * 1024 * 1024;

export function registryOf(
  link: Link,
  layout: Layout,
  patienceMs: Millis,
  whileOpen: () => Promise<unknown>,
): Registry {
  const stream = layout.registry;
  const [valueAt, markAt] = [`${layout.space}.registry.`, `${layout.space}.told.`];
  const codeOf = (key: string): string => Buffer.from(key).toString("hex");
  const keyOf = (subject: string): string => Buffer.from(subject.slice(subject.lastIndexOf(".") + 1), "hex").toString();

  async function write(subject: string, bytes: Uint8Array, isGone = false): Promise<void> {
    const deadline = deadlineIn(patienceMs);
    await persist("wrote to the registry", deadline, async () => {
      const sent = await link.publish({
        stream,
        subject,
        bytes,
        timeoutMs: deadline.tryMs(),
        ...(isGone && { goneAfter, isGone }),
      });
      if (sent.kind === "full") throw sent.error;
      return sent.kind === "stored" || undefined;
    });
  }

  /** What the messages show of these keys, or of all: values that have a mark. */
  function shown(messages: readonly Stored[], keys?: ReadonlySet<string>): ReadonlyMap<string, Uint8Array> {
    const there = messages.filter(({ isGone }) => !isGone);
    const marked = new Set(there.flatMap(({ subject }) => (subject.startsWith(markAt) ? [keyOf(subject)] : [])));
    const isShown = (key: string): boolean => marked.has(key) && keys?.has(key) !== false;
    return new Map(
      there
        .filter(({ subject }) => subject.startsWith(valueAt) && isShown(keyOf(subject)))
        .map(({ subject, bytes }) => [keyOf(subject), bytes] as const),
    );
  }

  const lastMark = (messages: readonly Stored[], before: number): number =>
    messages.reduce((last, one) => (one.subject.startsWith(markAt) ? Math.max(last, one.position) : last), before);

  async function lookAtAll(last: number, keys: readonly string[]): Promise<RegistryLook> {
    const messages = (
      await Promise.all([valueAt, markAt].map((prefix) => lastOf(link, stream, `${prefix}*`, patienceMs)))
    ).flat();
    const found = shown(messages, new Set(keys));
    return { cursor: `${lastMark(messages, 0)}.${last}`, told: shown(messages), found };
  }

  return {
    async put(key, value) {
      checkRegistryEntry(key, value);
      const copy = new Uint8Array(value);
      await whileOpen();
      await write(valueAt + codeOf(key), copy);
      await write(markAt + codeOf(key), new Uint8Array());
    },
    async renew(key, value) {
      checkRegistryEntry(key, value);
      const copy = new Uint8Array(value);
      await whileOpen();
      await write(valueAt + codeOf(key), copy);
    },
    async delete(key) {
      checkRegistryKey(key);
      await whileOpen();
      await write(markAt + codeOf(key), new Uint8Array(), true);
      await write(valueAt + codeOf(key), new Uint8Array(), true);
    },
    async list() {
      await whileOpen();
      const found = await lastOf(link, stream, `${valueAt}*`, patienceMs);
      return new Map(found.flatMap(({ subject, isGone, bytes }) => (isGone ? [] : [[keyOf(subject), bytes] as const])));
    },
    async look(since, keys) {
      keys.forEach(checkRegistryKey);
      await whileOpen();
      const deadline = deadlineIn(patienceMs);
      let missing = 0;
      return persist("looked at the registry", deadline, async (): Promise<RegistryLook | undefined> => {
        const sight = await link.look(stream, `${markAt}none`, deadline.tryMs());
        if (sight === "missing") {
          if (++missing >= 8) throw new SheafError("CORRUPT", `NATS: stream ${stream} is gone`);
          return undefined;
        }
        const [from = NaN, upTo = NaN] = (since ?? "").split(".").map(Number);
        // A stream that is shorter than it was has been emptied.
        if (!(from >= 0 && upTo <= sight.last) || keys.length > most) return lookAtAll(sight.last, keys);
        const ask = { seq: from + 1, next_by_subj: `${markAt}*`, batch: most, max_bytes: getBytes };
        const marks = await link.get(stream, ask, deadline.tryMs());
        if (marks.isCut) return lookAtAll(sight.last, keys);
        const told = new Set(marks.messages.flatMap(({ subject, isGone }) => (isGone ? [] : [keyOf(subject)])));
        const cursor = `${lastMark(marks.messages, from)}.${sight.last}`;
        const names = [...new Set([...told, ...keys])].map(codeOf);
        if (names.length === 0) return { cursor, told: new Map(), found: new Map() };
        const wanted = names.flatMap((name) => [valueAt + name, markAt + name]);
        const {
          messages,
          isCut,
          upTo: seen,
        } = await link.get(stream, { multi_last: wanted, max_bytes: getBytes }, deadline.tryMs());
        // Where nothing is found it says nothing of how old that is.
        if (isCut || (messages.length > 0 && seen < sight.last)) return undefined;
        return { cursor, told: shown(messages, told), found: shown(messages, new Set(keys)) };
      });
    },
  };
}
