export { realClock } from "./clock.ts";
export { realCompress, realCrypto } from "./crypto.ts";
export * from "./disk.ts";
export * from "./host.ts";
export * from "./log.ts";
export * from "./meter.ts";
export * from "./lock.ts";
export * from "./socket.ts";
export * from "./listen.ts";
export { type ClusterCa, ensureCa, openCa } from "./cluster-ca.ts";
export {
  type CertifiedIdentity,
  type Credentials,
  issuedIdentity,
  type PeerIdentity,
  type PlainIdentity,
  renewalOf,
} from "./identity.ts";
export { hasJoined, joinCluster, joinedIdentity, type JoinOptions } from "./join.ts";
export { openPeers, type OpenPeersOptions, type Peers } from "./peers.ts";
export { outwardPost, type Poster } from "./post.ts";
