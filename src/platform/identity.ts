// Who this node is to other nodes: its name, and the certificate and key that show it, made anew well before they end.
//
// I1. A certificate is renewed at two thirds of its life, with a new key. While that fails the old one serves to its end, and the
//     renewal is tried again and again.

import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { type Instant, messageOf, type Millis } from "../base/index.ts";
import type { Host, Timer } from "../host/index.ts";
import { checkNodeName } from "../security/index.ts";
import { type ClusterCa, skewMs } from "./cluster-ca.ts";

/** A certificate, PEM, its key, and the root that it and every other node's must be signed by. */
export type Credentials = {
  readonly key: KeyObject;
  readonly certificate: string;
  readonly root: string;
  readonly notBefore: Instant;
  readonly notAfter: Instant;
};

export interface CertifiedIdentity {
  readonly kind: "certified";
  readonly cluster: string;
  readonly name: string;
  /** Those to use now. */
  current(): Credentials;
  /** Calls `fn` after each renewal, until the returned function is called. */
  watch(fn: () => void): () => void;
  /** Ends the renewals. */
  close(): void;
}

/** Names without proof: for nodes that speak over this machine's loopback only. */
export type PlainIdentity = { readonly kind: "plain"; readonly cluster: string; readonly name: string };

export type PeerIdentity = CertifiedIdentity | PlainIdentity;

export type IdentityHost = Pick<Host, "clock" | "log">;

/** The clock that certificates are judged by may jump, and a sleeping machine's timers stand still: it is looked at this often. */
const lookMs: Millis = 10 * 60_000;

export const newKey = (): KeyObject => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;

/** A private key as PEM. */
export const pemOf = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }).toString();

/** The public half of a private key: SubjectPublicKeyInfo, DER. */
export const publicOf = (key: KeyObject): Uint8Array =>
  new Uint8Array(createPublicKey(key.export({ type: "pkcs8", format: "pem" })).export({ type: "spki", format: "der" }));

export function credentialsOf(key: KeyObject | string, certificate: X509Certificate, root: string): Credentials {
  return {
    key: typeof key === "string" ? createPrivateKey(key) : key,
    certificate: certificate.toString(),
    root,
    notBefore: certificate.validFromDate.getTime(),
    notAfter: certificate.validToDate.getTime(),
  };
}

/** When to renew: at two thirds of the life that began when it was made, `skewMs` after it is valid from. */
export function renewalOf({ notBefore, notAfter }: Pick<Credentials, "notBefore" | "notAfter">): Instant {
  return notAfter - (notAfter - notBefore - skewMs) / 3;
}

/** The identity of a node on a machine that holds the certificate authority. Throws as `ClusterCa.issue` does. */
export function issuedIdentity(
  ca: ClusterCa,
  options: { readonly name: string; readonly world: IdentityHost },
): CertifiedIdentity {
  const { name, world } = options;
  const make = (): Credentials => {
    const key = newKey();
    const { certificate } = ca.issue({ name, publicKey: publicOf(key), now: world.clock.now() });
    return credentialsOf(key, new X509Certificate(certificate), ca.root);
  };
  return renewed({ cluster: ca.cluster, name, first: make(), renew: async () => make(), world });
}

type Renewed = {
  readonly cluster: string;
  readonly name: string;
  readonly first: Credentials;
  readonly renew: (old: Credentials) => Promise<Credentials>;
  readonly world: IdentityHost;
};

/** An identity that is kept fresh by `renew` (I1). */
export function renewed({ cluster, name, first, renew, world }: Renewed): CertifiedIdentity {
  checkNodeName(name);
  const { clock, log } = world;
  const watchers = new Set<() => void>();
  let credentials = first;
  let due = renewalOf(first);
  let timer: Timer | undefined;
  let open = true;

  const plan = (): void => {
    if (open) timer = clock.after(Math.min(lookMs, Math.max(0, due - clock.now())), look);
  };
  const look = (): void => {
    if (clock.now() < due) plan();
    else void attempt().finally(plan);
  };
  async function attempt(): Promise<void> {
    try {
      credentials = await renew(credentials);
      due = renewalOf(credentials);
      for (const fn of watchers) fn();
      log.info("certificate renewed", { node: name, until: new Date(credentials.notAfter).toISOString() });
    } catch (error) {
      const left = credentials.notAfter - clock.now();
      due = clock.now() + Math.min(lookMs, Math.max(1_000, left / 10));
      log.warn("certificate not renewed", { node: name, why: messageOf(error), leftMs: left });
    }
  }
  plan();
  return {
    kind: "certified",
    cluster,
    name,
    current: () => credentials,
    watch(fn) {
      // Of its own, so that one function may watch twice.
      const watcher = (): void => fn();
      watchers.add(watcher);
      return () => void watchers.delete(watcher);
    },
    close() {
      open = false;
      timer?.cancel();
      watchers.clear();
    },
  };
}
