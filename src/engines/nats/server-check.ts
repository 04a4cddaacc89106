// What is refused about servers, by name. A client's connection tells the version and limits of the one server that it is
// connected to; whether servers sync each write (`sync_interval: always`) is told by their monitoring alone.

import type { NatsConnection, ServerInfo } from "@nats-io/transport-node";
import { type Millis, SheafError } from "../../base/index.ts";
import { unavailable } from "./link.ts";

/** Room for subject and headers beside a record. */
export const envelopeBytes = 4096;

const oldest = [2, 11] as const;
/** No JetStream for this account, no system account, or nobody listens. */
const switchedOff = new Set([10039, 10076]);

const refused = (says: string, hint: string): SheafError => new SheafError("ENGINE_REFUSED", `NATS: ${says}`, { hint });

/** Throws ENGINE_REFUSED for a server that cannot keep journals. */
export function checkServer(server: ServerInfo, maxRecordBytes: number): void {
  const [major = 0, minor = 0] = server.version.split(".").map((part) => parseInt(part, 10));
  const isNewEnough = major > oldest[0] || (major === oldest[0] && minor >= oldest[1]);
  if (!isNewEnough)
    throw refused(
      `server ${server.server_name} is version ${server.version}; journals need ${oldest.join(".")} or newer`,
      "older servers accept several writers at once, or lose what they acknowledged",
    );
  if (!server.headers)
    throw refused(`server ${server.server_name} has headers switched off`, "remove no_header_support");
  if (server.max_payload < maxRecordBytes + envelopeBytes)
    throw refused(
      `server ${server.server_name} takes messages of ${server.max_payload} bytes; records may have ${maxRecordBytes}`,
      `set max_payload to ${maxRecordBytes + envelopeBytes} or more on every server`,
    );
}

/** Rejects ENGINE_REFUSED when JetStream is off, ENGINE_UNAVAILABLE when it does not answer yet. */
export async function checkJetStream(connection: NatsConnection, timeoutMs: Millis): Promise<void> {
  const off = (): SheafError => refused("JetStream is off", "add a jetstream block to every server's configuration");
  let answer: { readonly error?: { readonly err_code?: number; readonly description?: string } };
  try {
    answer = (await connection.request("$JS.API.INFO", undefined, { timeout: timeoutMs })).json();
  } catch (error) {
    // A server that has JetStream says so, though nobody leads yet.
    if (connection.info?.jetstream !== true) throw off();
    throw unavailable("JetStream does not answer", error);
  }
  if (answer.error === undefined) return;
  if (switchedOff.has(answer.error.err_code ?? 0)) throw off();
  throw unavailable(`JetStream: ${answer.error.description ?? "not ready"}`);
}

/** Rejects ENGINE_REFUSED when a server's monitoring says that it acknowledges before it has synced. */
export async function checkSync(monitors: readonly string[], timeoutMs: Millis): Promise<void> {
  await Promise.all(
    monitors.map(async (monitor) => {
      let found: { readonly config?: { readonly sync_always?: boolean } };
      try {
        const answer = await fetch(`${monitor}/jsz?config=true`, { signal: AbortSignal.timeout(timeoutMs) });
        found = (await answer.json()) as typeof found;
      } catch (error) {
        throw unavailable(`the monitoring at ${monitor} does not answer`, error);
      }
      if (found.config?.sync_always === true) return;
      throw refused(
        `the server at ${monitor} acknowledges writes that it has not synced`,
        "set sync_interval: always in its jetstream block",
      );
    }),
  );
}
