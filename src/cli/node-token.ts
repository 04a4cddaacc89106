// `sheaf node token`: lets one new machine join the cluster whose certificate authority is in this machine's data folder.

import { join, resolve } from "node:path";
import { SheafError } from "../base/index.ts";
import { openCa } from "../platform/index.ts";
import { readJoinAddress } from "../security/index.ts";
import { type Run, parseSpan } from "./context.ts";

type TokenOptions = {
  readonly data: string;
  readonly ttl: string;
  readonly name?: string;
  readonly address?: string;
};

const mostMs = 7 * 24 * 60 * 60_000;

export const token: Run<TokenOptions> = async ({ cwd, output }, _args, { data, ttl, name, address }) => {
  const ttlMs = parseSpan(ttl, "--ttl");
  if (ttlMs < 1 || ttlMs > mostMs) throw new SheafError("USAGE", "--ttl is at most 7d");
  if (address !== undefined) readJoinAddress(`${address}#token`);
  const dir = join(resolve(cwd, data), "ca");
  const ca = openCa(dir);
  if (ca === undefined) {
    throw new SheafError("NOT_FOUND", `there is no certificate authority in ${dir}`, {
      hint: "run this on a machine that issues certificates, with its --data",
    });
  }
  const now = Date.now();
  const text = ca.mint({ now, ttlMs, name });
  const whole = address === undefined ? text : `${address}#${text}`;
  const expiresAt = now + ttlMs;
  output.one(
    "sheaf.node.token/v1",
    { token: whole, cluster: ca.cluster, name: name ?? null, expiresAt },
    () => whole,
    whole,
  );
  const who = name === undefined ? "one machine" : `the node ${name}, also in place of the one that has the name,`;
  output.note(
    `It lets ${who} join until ${new Date(expiresAt).toISOString()}. Whoever has it first may use it: keep it secret.`,
  );
  return 0;
};
