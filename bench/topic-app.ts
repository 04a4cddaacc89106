// What S4 publishes to: a topic whose events are 100 bytes, kept in order by key.

import { fileURLToPath } from "node:url";
import { z } from "zod";
import { app, topic } from "../src/model/index.ts";

export const Ticks = topic("ticks", {
  event: z.object({ key: z.string(), n: z.number(), memo: z.string() }),
  key: ({ key }) => key,
});

export const topicAppFile = fileURLToPath(import.meta.url);
// Clients of the bench know the application by this name.
const topicApp = app("bench", { topics: [Ticks] });

/** The default export that an app file has. */
export { topicApp as default };
