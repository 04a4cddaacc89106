// A secret that all nodes of a cluster share, as a system entity: whoever asks first decides what it is.

import { systemEntity } from "../model/index.ts";
import { record, text, value } from "./schema.ts";

export const Secret = systemEntity("sheaf.secret", {
  /** Hexadecimal; empty until it is made. */
  state: record({ secret: text }),
  commands: {
    /** Takes the secret that is offered if there is none yet; gives the one that stands. */
    share: { input: value(text), output: value(text) },
  },
});

export const secretEntity = Secret.implement({
  initial: () => ({ secret: "" }),
  share({ state, input }) {
    if (state.secret === "") state.secret = input;
    return state.secret;
  },
});
