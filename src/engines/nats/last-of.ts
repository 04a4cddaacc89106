// The last message of every subject that a pattern covers, as new as the server that leads the stream has them.

import { type Millis, SheafError } from "../../base/index.ts";
import type { Link, Stored } from "./link.ts";
import { deadlineIn, persist } from "./patience.ts";

/** Direct gets are answered by any replica: one that is behind what the leading server counted is asked again. */
export async function lastOf(
  link: Link,
  stream: string,
  pattern: string,
  patienceMs: Millis,
): Promise<readonly Stored[]> {
  const deadline = deadlineIn(patienceMs);
  let missing = 0;
  return persist(`read ${pattern}`, deadline, async () => {
    const sight = await link.look(stream, pattern, deadline.tryMs());
    if (sight === "missing") {
      if (++missing >= 8) throw new SheafError("CORRUPT", `NATS: stream ${stream} is gone`);
      return undefined;
    }
    if (Object.keys(sight.counts).length === 0) return [];
    const get = { multi_last: [pattern], max_bytes: 32 * 1024 * 1024 };
    const { messages, isCut, upTo } = await link.get(stream, get, deadline.tryMs());
    return isCut || upTo < sight.last ? undefined : messages;
  });
}
