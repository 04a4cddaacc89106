// What a certificate says about who holds it: one URI, `sheaf://CLUSTER/NODE` for a node, `sheaf://CLUSTER` for the root.
//
// N1. A node's certificate names one node of one cluster and nothing else; one that names more, or less, names nobody.
// N2. A peer is believed only while its certificate is valid, when it is of this cluster, and when it is the node meant.

import { type Instant, SheafError } from "../base/index.ts";

const clusterPattern = "[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?";
const namePattern = "[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?";
const nodeShape = new RegExp(`^URI:sheaf://(${clusterPattern})/(${namePattern})$`);
const rootShape = new RegExp(`^URI:sheaf://(${clusterPattern})$`);
const wholeName = new RegExp(`^${namePattern}$`);
const wholeCluster = new RegExp(`^${clusterPattern}$`);

export type NodeName = { readonly cluster: string; readonly name: string };

/** Throws USAGE unless the name can be a node's: 1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit at each end. */
export function checkNodeName(name: string): string {
  if (wholeName.test(name)) return name;
  throw new SheafError("USAGE", `${JSON.stringify(name)} cannot be the name of a node`, {
    hint: "a name is 1 to 64 letters, digits, dots, dashes and underscores, and begins and ends with a letter or digit",
  });
}

/** The URI of a node, or of a cluster's root when there is no name. Throws USAGE for what cannot be in one. */
export function nodeUri(cluster: string, name?: string): string {
  if (!wholeCluster.test(cluster))
    throw new SheafError("USAGE", `${JSON.stringify(cluster)} cannot be a cluster's id in a certificate`);
  return name === undefined ? `sheaf://${cluster}` : `sheaf://${cluster}/${checkNodeName(name)}`;
}

/** Who a certificate's alternative names, as Node shows them, speak of; undefined unless they are exactly one node (N1). */
export function nodeOf(names: string | undefined): NodeName | undefined {
  const [, cluster, name] = nodeShape.exec(names ?? "") ?? [];
  return cluster === undefined || name === undefined ? undefined : { cluster, name };
}

/** The cluster whose root these alternative names are of. */
export const rootOf = (names: string | undefined): string | undefined => rootShape.exec(names ?? "")?.[1];

export type ShownCertificate = {
  readonly names: string | undefined;
  readonly notBefore: Instant;
  readonly notAfter: Instant;
};

/** Whether a certificate that the root has signed is good enough (N2): the node's name, or why it is refused. */
export function judgePeer(
  shown: ShownCertificate,
  wanted: { readonly cluster: string; readonly name?: string | undefined; readonly now: Instant },
): { readonly name: string } | { readonly refusal: string } {
  const found = nodeOf(shown.names);
  if (found === undefined) return { refusal: "the certificate names no node" };
  if (found.cluster !== wanted.cluster) return { refusal: `the certificate is of another cluster, ${found.cluster}` };
  if (wanted.name !== undefined && found.name !== wanted.name)
    return { refusal: `the certificate is of ${found.name}, not of ${wanted.name}` };
  if (wanted.now >= shown.notAfter) return { refusal: `the certificate of ${found.name} has expired` };
  if (wanted.now < shown.notBefore) return { refusal: `the certificate of ${found.name} is not valid yet` };
  return { name: found.name };
}
