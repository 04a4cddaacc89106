// Which cluster this engine has found in its schema. Every statement on journals brings back the identity that it saw, so
// that a schema which was dropped, or made anew for another cluster, is noticed on a connection that lived on.

import { SheafError } from "../../base/index.ts";
import type { Cluster } from "../../journal/index.ts";
import { asStatementError } from "./pg-error.ts";

export type Identity = {
  /** The cluster, looked for when it is not yet known. Rejects NO_CLUSTER when there is none. */
  known(): Promise<Cluster>;
  /** As `Engine.identify`. */
  identify(): Promise<Cluster | undefined>;
  /** Throws CORRUPT or WRONG_CLUSTER when a statement has seen another identity, or none. */
  check(seen: string | null | undefined): void;
  /** What an error of a statement means, given that the cluster was there. */
  blame(thrown: unknown): SheafError;
};

/** `look` is asked each time; what was found once is remembered. */
export function identityOf(look: () => Promise<Cluster | undefined>, schema: string): Identity {
  let cluster: Cluster | undefined;
  const vanished = ({ name }: Cluster): SheafError =>
    new SheafError("CORRUPT", `the cluster ${name} has vanished from schema ${schema}`, {
      hint: "stop every node of this cluster, then restore the database from a backup",
    });

  async function identify(): Promise<Cluster | undefined> {
    const found = await look();
    if (cluster && !found) throw vanished(cluster);
    if (cluster && found) check(found.id);
    cluster = found ?? cluster;
    return found;
  }

  function check(seen: string | null | undefined): void {
    if (!cluster || seen === cluster.id) return;
    if (seen === null || seen === undefined) throw vanished(cluster);
    const hint = "stop the nodes of one of the two, and give each cluster a schema of its own";
    throw new SheafError("WRONG_CLUSTER", `schema ${schema} holds the cluster ${seen} now, not ${cluster.name}`, {
      hint,
    });
  }

  return {
    identify,
    async known() {
      const found = cluster ?? (await identify());
      if (found) return found;
      throw new SheafError("NO_CLUSTER", `there is no cluster in schema ${schema}`);
    },
    check,
    blame(thrown) {
      const error = asStatementError(thrown);
      const { code } = (error.cause ?? {}) as { code?: unknown };
      return cluster && (code === "42P01" || code === "3F000") ? vanished(cluster) : error;
    },
  };
}
