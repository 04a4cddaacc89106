// The addresses of one service outside of the cluster, as a system entity keyed by the service's name.

import { systemEntity } from "../model/index.ts";
import { flag, record, text, texts } from "./schema.ts";

/** Addresses of one service. */
export const mostUrls = 16;

const endpointState = record({
  urls: texts,
  /** They may be of a private network, and without TLS. */
  private: flag,
  changedBy: text,
});

export const Endpoint = systemEntity("sheaf.endpoint", {
  state: endpointState,
  commands: {
    /** Once more does nothing but set whether addresses may be private. */
    add: { input: record({ url: text, private: flag, by: text }), errors: { FULL: record({}) } },
    /** "" removes all. */
    remove: { input: record({ url: text, by: text }), errors: { UNKNOWN: record({}) } },
  },
  queries: { get: { output: endpointState, consistency: "strong" } },
});

export const endpointEntity = Endpoint.implement({
  initial: () => ({ urls: [], private: false, changedBy: "" }),
  add(context) {
    const { state, input } = context;
    if (!state.urls.includes(input.url)) {
      if (state.urls.length >= mostUrls) return context.fail("FULL", {});
      state.urls.push(input.url);
    }
    state.private = input.private;
    state.changedBy = input.by;
  },
  remove(context) {
    const { state, input } = context;
    const left = input.url === "" ? [] : state.urls.filter((url) => url !== input.url);
    if (left.length === state.urls.length) return context.fail("UNKNOWN", {});
    state.urls = left;
    state.changedBy = input.by;
  },
  get: ({ state }) => state as never,
});
