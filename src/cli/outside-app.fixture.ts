// An application that calls a service outside of its cluster: the one that `sheaf bench` measures, run by another cluster.

import { app, entity, service } from "../model/index.ts";
import { z } from "zod";
import { Echo } from "./bench-app.ts";

export const Parrot = service("parrot", { procedures: { repeat: { input: z.string(), output: z.string() } } });
const parrot = Parrot.implement({
  repeat: async ({ input, call }) => (await call.service(Echo).say({ by: 0, memo: input })).memo,
});

export const Diary = entity("diary", {
  state: z.object({ lines: z.array(z.string()) }),
  commands: { note: { input: z.string(), output: z.number() } },
});
const diary = Diary.implement({
  initial: () => ({ lines: [] }),
  note: async ({ state, input, call }) => state.lines.push((await call.service(Echo).say({ by: 0, memo: input })).memo),
});

const outside = app("outside", { entities: [diary], services: [parrot], external: [Echo] });

/** The default export that an app file has. */
export { outside as default };
