// X.509 certificates (RFC 5280) of a cluster: what is signed, and the whole once it is. ECDSA on P-256 with SHA-256.
// A node's key signs only handshakes, as either side; the root's signs only certificates, and none that could sign further ones.

import { type Instant, utf8 } from "../base/index.ts";
import type { Crypto } from "../host/index.ts";
import { bits, der, identifier, integer, octets, sequence, text, time, yes } from "./der.ts";

export type CertificateSubject = {
  /** Shown as CN. */
  readonly title: string;
  readonly uri: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
};

export type CertificateOrder = {
  /** Random; 16 bytes. */
  readonly serial: Uint8Array;
  readonly subject: CertificateSubject;
  /** The root; the subject itself for the root's own certificate. */
  readonly issuer: Pick<CertificateSubject, "title" | "publicKey">;
  readonly notBefore: Instant;
  readonly notAfter: Instant;
};

const ecdsaWithSha256 = sequence(identifier("1.2.840.10045.4.3.2"));
const context = 0xa0;

const name = (title: string): Uint8Array => sequence(der(0x31, sequence(identifier("2.5.4.3"), text(title))));

const extension = (id: string, content: Uint8Array): Uint8Array => sequence(identifier(id), octets(content));
const critical = (id: string, content: Uint8Array): Uint8Array => sequence(identifier(id), yes, octets(content));

/** Names a key, to find the certificate that signed another. */
const keyId = (crypto: Crypto, publicKey: Uint8Array): Uint8Array => crypto.sha256(publicKey).slice(0, 20);

const rootUses = [
  critical("2.5.29.19", sequence(yes, integer(Uint8Array.of(0)))), // may sign, and only leaves
  critical("2.5.29.15", bits(Uint8Array.of(0x04), 2)), // keyCertSign
];
const nodeUses = [
  critical("2.5.29.19", sequence()), // may sign no certificate
  critical("2.5.29.15", bits(Uint8Array.of(0x80), 7)), // digitalSignature
  extension("2.5.29.37", sequence(identifier("1.3.6.1.5.5.7.3.1"), identifier("1.3.6.1.5.5.7.3.2"))), // server, client
];

/** The part of a certificate that the issuer signs. It is a root's when the subject's key is the issuer's own. */
export function certificateBody(crypto: Crypto, order: CertificateOrder): Uint8Array {
  const { subject, issuer } = order;
  const isRoot = subject.publicKey === issuer.publicKey;
  const extensions = [
    ...(isRoot ? rootUses : nodeUses),
    extension("2.5.29.14", octets(keyId(crypto, subject.publicKey))),
    extension("2.5.29.35", sequence(der(0x80, keyId(crypto, issuer.publicKey)))),
    extension("2.5.29.17", sequence(der(0x86, utf8(subject.uri)))),
  ];
  return sequence(
    der(context, integer(Uint8Array.of(2))), // version 3
    integer(order.serial),
    ecdsaWithSha256,
    name(issuer.title),
    sequence(time(order.notBefore), time(order.notAfter)),
    name(subject.title),
    subject.publicKey,
    der(context | 3, sequence(...extensions)),
  );
}

/** The certificate, DER, from its body and the issuer's signature on it, DER too. */
export const wholeCertificate = (body: Uint8Array, signature: Uint8Array): Uint8Array =>
  sequence(body, ecdsaWithSha256, bits(signature));
