// What S3 works through: a queue whose worker does next to nothing.

import { fileURLToPath } from "node:url";
import { z } from "zod";
import { app, queue } from "../src/model/index.ts";

export const Jobs = queue("jobs", { input: z.object({ n: z.number(), memo: z.string() }), output: z.number() });

export const queueAppFile = fileURLToPath(import.meta.url);
// Clients of the bench know the application by this name.
const queueApp = app("bench", { queues: [Jobs.work(({ input }) => input.n, { concurrency: 512 })] });

/** The default export that an app file has. */
export { queueApp as default };
