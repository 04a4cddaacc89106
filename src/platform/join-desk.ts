// How a machine gets its first certificate from one that issues them, and each one after: one question and one answer over TLS,
// whose server shows a certificate of the cluster. The issuer's side; join.ts is the other.
//
//   question  ["join", name, public key, possession, token id, expiry, token's name or nil, proof]
//             ["renew", name, public key, possession, certificate held, vouching]
//   answer    [certificate] or [code, message, hint or nil]
//
// Everything that is signed or authenticated covers what only the two ends of this connection know, the new key and the name, so
// nothing heard on one connection is good on another.

import { createHash, createPublicKey, type KeyObject, verify, X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { asSheafError, SheafError } from "../base/index.ts";
import type { Host } from "../host/index.ts";
import { joinProof } from "../security/index.ts";
import { pack, unpackUntrusted } from "../wire/index.ts";
import type { Applicant, ClusterCa, Issued } from "./cluster-ca.ts";
import { realCrypto } from "./crypto.ts";
import { maxControlBytes, messageHead, MessageReader } from "./message-reader.ts";
import { bindingOf } from "./peer-trust.ts";

/** What a newcomer's signatures and proofs are over. */
export function joinBinding(socket: TLSSocket, publicKey: Uint8Array, name: string): Buffer {
  return createHash("sha256").update(bindingOf(socket, "join")).update(publicKey).update(name).digest();
}

/** Signed by the new key: its holder asks. */
export const possession = (binding: Uint8Array): Buffer => Buffer.concat([Buffer.from("sheaf possession 1"), binding]);
/** Signed by the key of the certificate held: the new one takes its place. */
export const vouching = (binding: Uint8Array): Buffer => Buffer.concat([Buffer.from("sheaf vouching 1"), binding]);

/** Cuts messages out of a join connection. */
export function readOne(socket: TLSSocket, on: (fields: unknown) => void): void {
  const reader = new MessageReader({
    maxBytes: maxControlBytes,
    on: (bytes) => on(unpackUntrusted(bytes, { maxBytes: maxControlBytes, maxDepth: 3, maxItems: 32 })),
  });
  socket.on("data", (chunk: Buffer) => {
    try {
      reader.feed(chunk);
    } catch (error) {
      socket.destroy(error as Error);
    }
  });
}

export function writeOne(socket: TLSSocket, fields: readonly unknown[]): void {
  const message = pack(fields);
  socket.write(Buffer.concat([messageHead(message.length, false), message]));
}

/** Answers one question on a connection that has just been made; who does not ask in time is cut off by the listener. */
export function serveJoin(socket: TLSSocket, ca: ClusterCa, { clock, log }: Pick<Host, "clock" | "log">): void {
  const from = socket.remoteAddress;
  let asked = false;
  socket.on("error", () => socket.destroy());
  readOne(socket, (fields) => {
    if (asked) return void socket.destroy();
    asked = true;
    try {
      const { certificate } = answer(fields, socket, ca, clock.now());
      log.info("certificate issued", { from, node: (fields as unknown[])[1], by: (fields as unknown[])[0] });
      writeOne(socket, [certificate]);
    } catch (thrown) {
      const { code, message, hint } = asSheafError(thrown);
      log.warn("certificate refused", { from, why: message });
      const isOurs = thrown instanceof SheafError;
      writeOne(socket, isOurs ? [code, message, hint] : ["INTERNAL", "the issuer failed inside", undefined]);
    }
    socket.end();
  });
}

const malformed = (): SheafError => new SheafError("MALFORMED", "this is no question that an issuer answers");

function answer(fields: unknown, socket: TLSSocket, ca: ClusterCa, now: number): Issued {
  if (!Array.isArray(fields)) throw malformed();
  const [kind, name, publicKey, signature, ...rest] = fields as unknown[];
  if (typeof name !== "string" || !isBytes(publicKey) || !isBytes(signature)) throw malformed();
  const applicant: Applicant = { name, publicKey: Buffer.from(publicKey), now };
  const binding = joinBinding(socket, publicKey, name);
  if (!signed(keyOf(publicKey), possession(binding), signature))
    throw new SheafError("UNAUTHENTICATED", "the newcomer does not hold the key that it shows");
  if (kind === "join") {
    const [id, expiresAt, tokenName, proof] = rest;
    if (!isBytes(id) || !Number.isSafeInteger(expiresAt) || !isBytes(proof)) throw malformed();
    const claim = { id, expiresAt: expiresAt as number, name: typeof tokenName === "string" ? tokenName : undefined };
    return ca.admit(applicant, claim, (secret) => realCrypto.equal(joinProof(realCrypto, secret, binding), proof));
  }
  const [held, vouched] = rest;
  if (kind !== "renew" || !isBytes(held) || !isBytes(vouched)) throw malformed();
  const certificate = certificateOf(held);
  if (!signed(certificate.publicKey, vouching(binding), vouched))
    throw new SheafError("UNAUTHENTICATED", "the key of the certificate has not vouched for the new one");
  return ca.renew(applicant, certificate);
}

const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array;

function keyOf(publicKey: Uint8Array): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
  } catch {
    throw malformed();
  }
}

function certificateOf(bytes: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(bytes);
  } catch {
    throw malformed();
  }
}

function signed(key: KeyObject, content: Uint8Array, signature: Uint8Array): boolean {
  try {
    return verify("sha256", content, key, signature);
  } catch {
    return false;
  }
}
