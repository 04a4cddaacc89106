// `sheaf node token`: lets one new machine join the cluster whose certificate authority is in this machine's data folder.

import { join, resolve } from "node:path";
import { SheafError } from "../base/index.ts";
import { openCa } from "../platform/index.ts";
import { readJoinAddress } from "../security/index.ts";
import { type Run, parseSpan } from "./context.ts";
import { readNodeFile } from "./node-file.ts";

type TokenOptions = {
  readonly data: string;
  readonly ttl: string;
  readonly name?: string;
  readonly address?: string;
};

const mostMs = 7 * 24 * 60 * 60_000;

const loopback = /^(?:127\.|localhost:|\[::1\])/;

export const token: Run<TokenOptions> = async ({ cwd, output }, _args, { data, ttl, name, address: given }) => {
  const ttlMs = parseSpan(ttl, "--ttl");
  if (ttlMs < 1 || ttlMs > mostMs) throw new SheafError("USAGE", "--ttl is at most 7d");
  if (given !== undefined) readJoinAddress(`${given}#token`);
  const folder = resolve(cwd, data);
  const running = readNodeFile(folder)?.peer;
  const dir = join(folder, "ca");
  const ca = openCa(dir) ?? (running && openCa(running.authority));
  if (ca === undefined) {
    throw new SheafError("NOT_FOUND", `there is no certificate authority in ${dir}`, {
      hint: "run this on a machine that issues certificates, with its --data; of --engine sqlite:DIR that is DIR",
    });
  }
  const now = Date.now();
  const address = given ?? running?.address;
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
  if (address === undefined) output.note("Before it belongs HOST:PORT#, where a node listens to others: --address.");
  else if (given === undefined && loopback.test(address))
    output.note(`Only this machine reaches ${address}: others need nodes with --peer-host or --advertise.`);
  return 0;
};
