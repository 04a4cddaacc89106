// An app with a command that ends the process, one that leaves behind what fails, queues and a schedule, for what is said and done about such.

import process from "node:process";
import { z } from "zod";
import { app, entity, queue, schedule, service, subscription, topic } from "../index.ts";
import { Echo } from "./bench-app.ts";

const Count = z.object({ count: z.number() });
const Thing = entity("thing", {
  state: Count,
  commands: {
    add: { output: z.number() },
    crash: { input: z.object({ how: z.string() }) },
    refuse: { input: z.object({ n: z.number() }), errors: { NO: z.object({}) } },
    leave: {},
  },
  queries: { count: { output: z.number() } },
});

const Rates = service("rates", { procedures: { quote: { output: z.number() } } });

/** Without a worker: its jobs wait. */
const Labels = queue("labels", { input: z.object({ order: z.number() }) });
const Mails = queue("mails", { input: z.object({ to: z.string() }) });

const Orders = topic("orders", { event: z.object({ id: z.string() }), key: ({ id }) => id });
const count = subscription("count-orders", Orders).into(Thing, "add", ({ value }) =>
  value.id === "pass" ? undefined : { key: "orders" },
);

/** The default export that an app file has. */
export { crashing as default };
const crashing = app("crashing", {
  entities: [
    Thing.implement({
      initial: () => ({ count: 0 }),
      add: ({ state }) => ++state.count,
      crash: () => process.exit(9),
      refuse: ({ fail }) => fail("NO", {}),
      leave({ send, after }) {
        for (const n of [1, 2]) send.entity(Thing, "z z").refuse({ n });
        after(24 * 3_600_000, "add", { id: "much later" });
      },
      count: ({ state }) => state.count,
    }),
  ],
  services: [Echo.implement({ say: ({ input }) => input })],
  external: [Rates],
  queues: [Labels, Mails.work(() => undefined, { concurrency: 3 })],
  topics: [Orders],
  subscriptions: [count],
  schedules: [
    schedule("yearly", { cron: "0 0 1 1 *", zone: "Europe/Vienna" }).into(Thing, "add", () => ({ key: "year" })),
  ],
});
