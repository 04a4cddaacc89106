// A call with nothing optional in it, for tests of frames.

import type { CallFields } from "./index.ts";

export const bareCall: CallFields = {
  kind: 2,
  type: "rates",
  key: undefined,
  name: "quote",
  input: undefined,
  op: undefined,
  issuedAt: undefined,
  consistency: undefined,
  ifVersion: undefined,
  trace: undefined,
  session: undefined,
};
