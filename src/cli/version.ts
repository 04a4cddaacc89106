// `sheaf version`.

import process from "node:process";
import type { Run } from "./context.ts";
import { release } from "./release.ts";

export const version: Run<object> = async ({ output }) => {
  const found = {
    sheaf: release().version,
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
  };
  const text = `sheaf ${found.sheaf}  node ${found.node}  ${found.platform}`;
  output.one("sheaf.version/v1", found, () => text, found.sheaf);
  return 0;
};
