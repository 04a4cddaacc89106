// What `sheaf bench` measures: the least an application can be, validated in and out as any other.

import { app, entity, service } from "../model/index.ts";
import type { StandardSchemaV1 } from "@standard-schema/spec";

/** An object whose fields all pass a check. */
const shaped = <T extends object>(checks: { readonly [N in keyof T]: (value: unknown) => boolean }): StandardSchemaV1<
  T,
  T
> => ({
  "~standard": {
    version: 1,
    vendor: "sheaf",
    validate(value) {
      if (typeof value !== "object" || value === null) return { issues: [{ message: "not an object" }] };
      for (const name in checks) {
        if (!checks[name]((value as T)[name])) return { issues: [{ message: "not as it should be", path: [name] }] };
      }
      return { value: value as T };
    },
  },
});

const integer = (value: unknown): boolean => Number.isSafeInteger(value);
const words = (value: unknown): boolean => typeof value === "string" && value.length <= 200;
const Addition = shaped<{ by: number; memo: string }>({ by: integer, memo: words });
const Total = shaped<{ total: number }>({ total: integer });

export const Counter = entity("counter", {
  state: shaped<{ total: number; memo: string }>({ total: integer, memo: words }),
  commands: { add: { input: Addition, output: Total } },
  queries: { total: { output: Total } },
});

export const Echo = service("echo", { procedures: { say: { input: Addition, output: Addition } } });

const counter = Counter.implement({
  initial: () => ({ total: 0, memo: "" }),
  add({ state, input }) {
    state.total += input.by;
    state.memo = input.memo;
    return { total: state.total };
  },
  total: ({ state }) => ({ total: state.total }),
});

const echo = Echo.implement({ say: ({ input }) => input });

/** The default export that an app file has. */
export { benchApp as default };
const benchApp = app("bench", { entities: [counter], services: [echo] });
