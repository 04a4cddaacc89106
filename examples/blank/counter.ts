// How a counter behaves. Each command is one atomic, durable commit; if it throws, nothing happened.

import { Counter } from "./contracts.ts";

export const counter = Counter.implement({
  initial: () => ({ count: 0 }),
  add({ state, input }) {
    state.count += input.by;
    return { count: state.count };
  },
  reset({ state }) {
    state.count = 0;
  },
  current: ({ state }) => state.count,
});
