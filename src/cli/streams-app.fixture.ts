// An app with a topic and nothing else, for tests of its readers at real processes.

import type { StandardSchemaV1 } from "@standard-schema/spec";
import { app, topic } from "../model/index.ts";

type Post = { readonly to: string; readonly n: number };
const post: StandardSchemaV1<Post, Post> = {
  "~standard": { version: 1, vendor: "sheaf", validate: (value) => ({ value: value as Post }) },
};
export const Posts = topic("posts", { event: post, key: ({ to }) => to });
/** The default export that an app file has. */
export { streamsApp as default };
const streamsApp = app("streams", { topics: [Posts] });
