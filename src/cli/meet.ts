// How a node of this machine meets the others: its name, the certificate that shows it, and the port where they reach it.
//
// H1. A certificate authority is made only for a cluster without other nodes: two of them would split it. Where the embedded
//     engine's folder is shared, so is the authority in it.

import { X509Certificate } from "node:crypto";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Checkup } from "../admin/index.ts";
import { bytesEqual, fromUtf8, type Limits, SheafError, utf8 } from "../base/index.ts";
import type { Engine } from "../journal/index.ts";
import type { Meeting } from "../node/index.ts";
import {
  type ClusterCa,
  type Credentials,
  ensureCa,
  hasJoined,
  issuedIdentity,
  joinCluster,
  joinedIdentity,
  openCa,
  openPeers,
  type PeerIdentity,
  type RealHost,
  renewalOf,
} from "../platform/index.ts";
import { checkNodeName } from "../security/index.ts";
import type { MeetingOptions, ServerOptions } from "./server-options.ts";

export type World = {
  readonly host: RealHost;
  readonly engine: Engine;
  /** Id of the cluster. */
  readonly cluster: string;
  readonly limits: Limits;
};

export type Met = {
  readonly meeting: Meeting;
  /** By which other nodes know this one; null where none are shown. */
  certificates(): Checkup["certificates"];
  close(): Promise<void>;
};

/** Opens the port for other nodes. Rejects as `joinCluster` and `openPeers` do, and UNTRUSTED when this machine has nothing
 *  by which the others would know it. */
export async function meet(options: ServerOptions, given: MeetingOptions, world: World): Promise<Met> {
  const { host, limits } = world;
  const name = nameOf(host, given.name);
  const { identity, issuer } = await identityOf(options, given, name, world);
  const forget = (): void => void (identity.kind === "certified" && identity.close());
  const { host: at, port, advertise, zone, weight, roles, copies } = given;
  const peers = await openPeers({ host: at, port, advertise, identity, limits, world: host, issuer }).catch(
    (error: unknown) => {
      forget();
      throw error;
    },
  );
  const { address, dial, listen } = peers;
  return {
    meeting: { name, address, dial, listen, zone, weight, roles, copies },
    certificates: () => (identity.kind === "certified" ? timesOf(identity.current()) : null),
    async close() {
      forget();
      await peers.close();
    },
  };
}

const timesOf = (credentials: Credentials): Checkup["certificates"] => ({
  until: credentials.notAfter,
  renewsAt: renewalOf(credentials),
  rootUntil: new X509Certificate(credentials.root).validToDate.getTime(),
});

const nameFile = "name";

/** The node's name, kept in its folder so that it is the same over restarts. */
function nameOf(host: RealHost, given: string | undefined): string {
  const kept = host.disk.read(nameFile);
  const name = given ?? (kept === undefined ? undefined : fromUtf8(kept)) ?? madeUp(host);
  if (kept === undefined || fromUtf8(kept) !== name) host.disk.write(nameFile, utf8(name));
  return name;
}

function madeUp({ dice }: RealHost): string {
  const machine = hostname()
    .split(".")[0]
    ?.replaceAll(/[^A-Za-z0-9-]/g, "")
    .replace(/^-+/, "")
    .slice(0, 32);
  return checkNodeName(`${machine || "node"}-${dice.id().slice(-6)}`);
}

type Shown = { readonly identity: PeerIdentity; /** Answers newcomers. */ readonly issuer: ClusterCa | undefined };

async function identityOf(options: ServerOptions, given: MeetingOptions, name: string, world: World): Promise<Shown> {
  const { host, cluster } = world;
  if (given.plain) return { identity: { kind: "plain", cluster, name }, issuer: undefined };
  const dir = join(options.data, "peer");
  if (given.join !== undefined) await joinCluster({ dir, name, address: given.join, world: host });
  if (hasJoined(dir, name)) {
    const identity = await joinedIdentity({ dir, name, world: host });
    if (identity.cluster === cluster) return { identity, issuer: undefined };
    identity.close();
    throw new SheafError(
      "WRONG_CLUSTER",
      `the certificate of ${name} is of the cluster ${identity.cluster}; the engine holds ${cluster}`,
      {
        hint: "check --engine and the address that was joined, or give the node an empty data folder",
      },
    );
  }
  const isOurs = options.engineFolder !== undefined || openCa(given.authority) !== undefined;
  if (!isOurs) await refuseSecondAuthority(options, world);
  const issuer = ensureCa(given.authority, { cluster, now: host.clock.now() });
  return { identity: issuedIdentity(issuer, { name, world: host }), issuer };
}

/** H1 */
async function refuseSecondAuthority({ create, home }: ServerOptions, world: World): Promise<void> {
  const found = create && (await othersLive(world));
  if (create && !found) return;
  const why = found
    ? "the cluster has nodes already, and this one has nothing to show them"
    : "this node has no certificate to show to the others";
  throw new SheafError("UNTRUSTED", why, {
    hint:
      "On a machine of the cluster run: sheaf node token --address HOST:PORT. Then start here with --join. " +
      `The cluster's first machine is started with --create. This folder is ${home}.`,
  });
}

/** Whether anybody renews a record in the registry: records of nodes that were killed stay there. */
async function othersLive({ engine, host, limits }: World): Promise<boolean> {
  const before = await engine.registry.list();
  if (before.size === 0) return false;
  await new Promise<void>((resolve) => void host.clock.after(10 * limits.beatMs, resolve));
  const after = await engine.registry.list();
  return [...after].some(([id, record]) => !bytesEqual(record, before.get(id) ?? new Uint8Array()));
}
