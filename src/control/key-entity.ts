// One API key as a system entity, keyed by the key's id. It holds the hash, never the key. Times are cluster time.

import { systemEntity } from "../model/index.ts";
import { orNull, record, text, texts, time, value } from "./schema.ts";

const keyState = record({
  /** SHA-256 of the key, hex; empty until it is made. */
  hash: text,
  name: text,
  roles: texts,
  createdAt: time,
  createdBy: text,
  expiresAt: orNull(time),
  revokedAt: orNull(time),
  lastUsedAt: orNull(time),
});

export const Key = systemEntity("sheaf.key", {
  state: keyState,
  commands: {
    create: {
      input: record({ hash: text, name: text, roles: texts, by: text, expiresAt: orNull(time) }),
      errors: { EXISTS: record({}) },
    },
    revoke: { errors: { UNKNOWN: record({}) } },
    /** Notes that the key was used, about now. */
    touch: { input: value(time) },
  },
  queries: { get: { output: keyState, consistency: "strong" } },
});

export const keyEntity = Key.implement({
  initial: () => ({
    hash: "",
    name: "",
    roles: [],
    createdAt: 0,
    createdBy: "",
    expiresAt: null,
    revokedAt: null,
    lastUsedAt: null,
  }),
  create(context) {
    const { state, input, now } = context;
    if (state.hash !== "") return context.fail("EXISTS", {});
    Object.assign(state, {
      hash: input.hash,
      name: input.name,
      roles: input.roles,
      createdAt: now,
      createdBy: input.by,
      expiresAt: input.expiresAt,
    });
  },
  revoke(context) {
    const { state, now } = context;
    if (state.hash === "") return context.fail("UNKNOWN", {});
    state.revokedAt ??= now;
  },
  touch({ state, input }) {
    if (state.hash !== "") state.lastUsedAt = Math.max(state.lastUsedAt ?? 0, input);
  },
  get: ({ state }) => state as never,
});
