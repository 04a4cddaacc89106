// How an event gets to the log of its topic: as a message.

import type { Message, Published } from "../journal/index.ts";
import { topicType } from "../model/index.ts";
import { pack, unpack } from "../wire/index.ts";

/** A message that takes an event to the log of its topic, at the shard of its key. */
export const eventMessage = (topic: string, key: string, { schema, value }: Published): Message => ({
  type: topicType,
  key,
  command: topic,
  input: pack([schema, value]),
  by: [],
});

export function eventOf({ input }: Message): Published {
  const [schema, value] = unpack(input) as [number, Uint8Array];
  return { schema, value };
}
