// The sequential behaviour of small things, for the linearizability checker.

import { impossible, type Model } from "./linearizability.ts";

export type RegisterInput =
  | { readonly kind: "read" }
  | { readonly kind: "write"; readonly value: number }
  | { readonly kind: "cas"; readonly from: number; readonly to: number };

/** A read answers the value; a write answers nothing that is looked at; a compare-and-set answers 1 (set) or 0. */
export const register = (initial = 0): Model<number, RegisterInput, number> => ({
  initial,
  key: (state) => state,
  reads: (input) => input.kind === "read",
  step(state, input, output, known) {
    switch (input.kind) {
      case "read":
        return known && output !== state ? impossible : state;
      case "write":
        return input.value;
      case "cas": {
        const sets = state === input.from;
        if (known && output !== (sets ? 1 : 0)) return impossible;
        return sets ? input.to : state;
      }
    }
  },
});

export type CounterInput = { readonly kind: "read" } | { readonly kind: "add"; readonly amount: number };

/** Both answer the value; an addition the one after it. */
export const counter = (initial = 0): Model<number, CounterInput, number> => ({
  initial,
  key: (state) => state,
  reads: (input) => input.kind === "read",
  step(state, input, output, known) {
    const after = input.kind === "add" ? state + input.amount : state;
    return known && output !== after ? impossible : after;
  },
});
