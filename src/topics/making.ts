// What a subscription makes of one event: which message, and in which line.

import { hash32 } from "../base/index.ts";
import { type CompiledSubscription, plain, type SubscriptionShape } from "../model/index.ts";
import { type Agenda, jobMessage, jobTaskId, type Logged, type Shard, type Shards } from "../shards/index.ts";
import { unpack } from "../wire/index.ts";
import type { Made } from "./parcel.ts";

/** What an event is called by everywhere. */
export const eventId = (shard: Shard, topic: string, { n }: Pick<Logged, "n">): string =>
  `${topic}/${shard.number}/${n}`;

/** What is sent for an event; undefined where it is passed over. Throws what the code throws, and BAD_INPUT. */
export function makeOf(
  shards: Shards,
  shard: Shard,
  { contract, topic, make }: CompiledSubscription,
  event: Logged,
): Made | undefined {
  const id = eventId(shard, contract.topic.name, event);
  const made = make({
    id,
    topic: contract.topic.name,
    key: event.key,
    at: event.at,
    value: topic.restore(event.schema, unpack(event.value)),
  });
  if (!made) return undefined;
  const { target, name } = contract;
  const input = made.input === undefined ? undefined : plain(made.input, `what ${name} made`, "BAD_INPUT");
  const by = [`subscription:${name}`];
  if (target.kind === "command") {
    const { entity, command } = target;
    const key = made.key!;
    const to = shards.of(entity.name, key).number;
    return {
      line: key,
      event: id,
      input,
      seal: (packed) => ({ to, type: entity.name, key, command, input: packed, by }),
    };
  }
  // It is done from where the event is: an entity's key decides nothing, and order is that of the log.
  const type = typeOf(target.service.name);
  const line = lineOf(contract, event.key);
  const job = { type, key: line, command: target.procedure, name: nameOf(shard, type, `${name}:${id}`), by };
  return { line, event: id, input, seal: (packed) => ({ to: shard.number, ...jobMessage({ ...job, input: packed }) }) };
}

const typeOf = (service: string): string => `service ${service}`;

/** What is met again is called for again, though a job of that name is remembered. */
function nameOf({ fold: { agenda, seq } }: Shard, type: string, name: string): string {
  const id = jobTaskId(type, name);
  return agenda.tasks.has(id) || agenda.ended(id) ? `${name}#${seq}` : name;
}

/** Calls in one line are made one after the other. Keys are dealt out among the lines of a batch. */
function lineOf({ name, batch, concurrency = 1 }: SubscriptionShape, key: string): string {
  return batch ? `${name}/~${hash32(key) % concurrency}${linesOf(concurrency)}` : `${name}/${key}`;
}

const linesOf = (count: number): string => `.${count}`;

/** Do calls of this subscription wait in lines into which it puts none now? */
export function isInOtherLines(agenda: Agenda, { name, target, batch, concurrency = 1 }: SubscriptionShape): boolean {
  if (target.kind === "command") return false;
  const type = typeOf(target.service.name);
  const own = `${name}/`;
  for (const task of agenda.tasks.values()) {
    if (task.due === undefined || task.type !== type || !task.key.startsWith(own)) continue;
    const [, count] = /^~\d+(\.\d+)$/.exec(task.key.slice(own.length)) ?? [];
    if (count !== (batch ? linesOf(concurrency) : undefined)) return true;
  }
  return false;
}
