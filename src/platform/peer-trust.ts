// Which certificates a node accepts from another, when a connection begins and while it lasts.
//
// T1. A connection outlives no certificate: when the one that its other side has shown ends, so does the connection.
// T2. A node that has renewed its certificate shows the new one on every open connection, signed together with what only the two
//     ends of that connection know (RFC 9266's exporter), so renewals end no connection.

import { constants, sign, verify, X509Certificate } from "node:crypto";
import type { SecureContextOptions, TLSSocket } from "node:tls";
import type { Host, Timer } from "../host/index.ts";
import { judgePeer, nodeUri } from "../security/index.ts";
import { type CertifiedIdentity, type PeerIdentity, pemOf } from "./identity.ts";
import { MalformedMessage } from "./message-reader.ts";
import { controlKind, type PeerPipe } from "./peer-pipe.ts";

/** ALPN: what is spoken inside. Whoever offers neither is refused. */
export const peerProtocol = "sheaf-peer/1";
export const joinProtocol = "sheaf-join/1";

export const loopbackAddress = /^(?:localhost|127(?:\.\d{1,3}){3}|::1|::ffff:127(?:\.\d{1,3}){3})$/;

/** What both sides of a TLS connection are set up with. */
export function secureContextOf(identity: CertifiedIdentity): SecureContextOptions {
  const { key, certificate, root } = identity.current();
  return {
    key: pemOf(key),
    // The root goes along for newcomers, who know only its fingerprint.
    cert: certificate + root,
    ca: root,
    minVersion: "TLSv1.3",
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/** How a node on a plain connection says who it is, and what the other side makes of that. */
export const plainName = ({ cluster, name }: PeerIdentity): Buffer => Buffer.from(`URI:${nodeUri(cluster, name)}`);

export function plainPeer(
  content: Buffer,
  wanted: { readonly cluster: string; readonly name?: string | undefined },
): { readonly name: string } | { readonly refusal: string } {
  const always = { notBefore: 0, notAfter: Number.POSITIVE_INFINITY };
  return judgePeer({ names: content.toString(), ...always }, { ...wanted, now: 0 });
}

/** Bytes that both ends of one TLS connection can work out and nobody else. */
export const bindingOf = (socket: TLSSocket, label: string): Buffer =>
  socket.exportKeyingMaterial(32, `EXPORTER-sheaf-${label}`, Buffer.alloc(0));

/** What the other side's certificate says, once the handshake has proved its key: who it is, or why it is refused. */
export function peerOf(
  socket: TLSSocket,
  identity: Pick<CertifiedIdentity, "cluster">,
  wanted: { readonly name?: string | undefined; readonly clock: Pick<Host["clock"], "now"> },
): { readonly name: string; readonly certificate: X509Certificate } | { readonly refusal: string } {
  if (socket.isSessionReused()) return { refusal: "a resumed connection shows no certificate" };
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return { refusal: "no certificate was shown" };
  if (!socket.authorized) return { refusal: `the certificate is not good: ${String(socket.authorizationError)}` };
  return judged(certificate, identity.cluster, wanted.name, wanted.clock.now());
}

function judged(
  certificate: X509Certificate,
  cluster: string,
  name: string | undefined,
  now: number,
): { readonly name: string; readonly certificate: X509Certificate } | { readonly refusal: string } {
  const shown = {
    names: certificate.subjectAltName,
    notBefore: certificate.validFromDate.getTime(),
    notAfter: certificate.validToDate.getTime(),
  };
  const verdict = judgePeer(shown, { cluster, name, now });
  return "refusal" in verdict ? verdict : { name: verdict.name, certificate };
}

export type Trusted = {
  readonly pipe: PeerPipe;
  readonly socket: TLSSocket;
  readonly identity: PeerIdentity;
  /** The other side, as its certificate has shown. */
  readonly name: string;
  readonly certificate: X509Certificate;
  readonly clock: Host["clock"];
};

export type Trust = {
  /** The other side says that it has a new certificate. Throws MalformedMessage unless it has. */
  renewed(content: Buffer): void;
  stop(): void;
};

/** Watches over one open connection (T1, T2). */
export function keepTrust({ pipe, socket, identity, name, certificate, clock }: Trusted): Trust {
  if (identity.kind === "plain") return { renewed: unexpected, stop() {} };
  const binding = bindingOf(socket, "renewed");
  let timer: Timer;
  const endWith = (shown: X509Certificate): void => {
    timer = clock.after(shown.validToDate.getTime() - clock.now(), () =>
      pipe.end(`the certificate of ${name} has expired`, "untrusted"),
    );
  };
  endWith(certificate);
  const stopWatching = identity.watch(() => {
    const { certificate: own, key } = identity.current();
    const { raw } = new X509Certificate(own);
    const signature = sign("sha256", Buffer.concat([binding, raw]), key);
    pipe.sendControl(controlKind.renewed, Buffer.concat([Buffer.of(signature.length), signature, raw]));
  });
  return {
    renewed(content) {
      const next = readRenewal(content, binding, identity);
      const verdict = judged(next, identity.cluster, name, clock.now());
      if ("refusal" in verdict) throw new MalformedMessage(verdict.refusal);
      timer.cancel();
      endWith(next);
    },
    stop() {
      timer.cancel();
      stopWatching();
    },
  };
}

function unexpected(): never {
  throw new MalformedMessage("a certificate on a connection that has none");
}

function readRenewal(content: Buffer, binding: Buffer, identity: CertifiedIdentity): X509Certificate {
  const length = content[0] ?? 0;
  const signature = content.subarray(1, 1 + length);
  const raw = content.subarray(1 + length);
  try {
    const certificate = new X509Certificate(raw);
    const root = new X509Certificate(identity.current().root);
    const isGood =
      certificate.checkIssued(root) &&
      certificate.verify(root.publicKey) &&
      verify("sha256", Buffer.concat([binding, raw]), certificate.publicKey, signature);
    if (isGood) return certificate;
  } catch {
    // Said below.
  }
  throw new MalformedMessage("the renewed certificate is not good");
}
