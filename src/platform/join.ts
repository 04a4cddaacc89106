// A machine that joins a cluster: its first certificate by a one-use token, each one after by the one before. What it holds is one
// file per node, `NAME.json`, which its owner alone may read.
//
// Q1. The root is fetched first, believed only when it is the one that the token names, and only then is anything said to anyone.
// Q2. The key is kept before it is shown: when the answer is lost, asking again with the same token is asking for the same key.

import { createHash, createPrivateKey, type KeyObject, sign, X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { bytesEqual, catalogue, type ErrorCode, type Millis, SheafError } from "../base/index.ts";
import {
  checkNodeName,
  joinProof,
  type JoinToken,
  nodeOf,
  readJoinAddress,
  readToken,
  rootOf,
} from "../security/index.ts";
import { realCrypto } from "./crypto.ts";
import { replaceFile } from "./disk.ts";
import {
  type CertifiedIdentity,
  type Credentials,
  credentialsOf,
  type IdentityHost,
  newKey,
  pemOf,
  publicOf,
  renewalOf,
  renewed,
} from "./identity.ts";
import { joinBinding, possession, readOne, vouching, writeOne } from "./join-desk.ts";
import { lossOf } from "./peer-pipe.ts";
import { joinProtocol, peerOf } from "./peer-trust.ts";

/** What a machine keeps of its membership; without a certificate, what it has begun with. */
type Membership = {
  readonly issuer: { readonly host: string; readonly port: number };
  /** PEM, all three. */
  readonly key: string;
  readonly root?: string;
  readonly certificate?: string;
};

const usualTimeoutMs: Millis = 10_000;

export type JoinOptions = {
  /** Folder for the node's key and certificate; made when missing. */
  readonly dir: string;
  readonly name: string;
  /** `HOST:PORT#TOKEN`, as `sheaf node token` prints it. */
  readonly address: string;
  readonly world: IdentityHost;
  readonly timeoutMs?: Millis | undefined;
};

/** Makes this machine's node a member. Does nothing when it is one already of the cluster that the token names. Rejects USAGE for
 *  what is no token, UNREACHABLE when nobody answers, UNTRUSTED when the one who answers is not of the cluster that the token
 *  names, and with what the issuer says: UNAUTHENTICATED for a token that is used or expired, IN_USE for a name that is taken. */
export async function joinCluster({
  dir,
  name,
  address,
  world,
  timeoutMs = usualTimeoutMs,
}: JoinOptions): Promise<void> {
  checkNodeName(name);
  const { host, port, token: text } = readJoinAddress(address);
  const token = readToken(realCrypto, text);
  const held = readMembership(dir, name);
  if (held?.certificate !== undefined && held.root !== undefined) {
    if (bytesEqual(fingerprintOf(new X509Certificate(held.root)), token.root)) return;
    throw new SheafError("UNTRUSTED", `${dir} holds a certificate of another cluster for ${name}`, {
      hint: "give the node an empty data folder, or remove that certificate",
    });
  }
  const issuer = { host, port };
  const key = held === undefined ? newKey() : createPrivateKey(held.key);
  const begun: Membership = { issuer, key: pemOf(key) };
  keep(dir, name, begun);
  const root = await fetchRoot(issuer, token, timeoutMs);
  const certificate = await ask({ issuer, root, name, key, world, timeoutMs }, (binding) => ({
    kind: "join",
    rest: [token.id, token.expiresAt, token.name, joinProof(realCrypto, token.secret, binding)],
  }));
  keep(dir, name, { ...begun, root: root.toString(), certificate: certificate.toString() });
}

/** Whether this machine's node has joined a cluster. */
export const hasJoined = (dir: string, name: string): boolean => readMembership(dir, name)?.certificate !== undefined;

/** The identity of a node that has joined, renewed first when that is due. Rejects NOT_FOUND when it has not joined, and as
 *  `joinCluster` does when its certificate has ended and the issuer renews it no more. */
export async function joinedIdentity(options: Omit<JoinOptions, "address">): Promise<CertifiedIdentity> {
  const { dir, name, world, timeoutMs = usualTimeoutMs } = options;
  const held = readMembership(dir, name);
  if (held?.certificate === undefined || held.root === undefined)
    throw new SheafError("NOT_FOUND", `${dir} holds no certificate for ${name}`, {
      hint: "join a cluster with --join",
    });
  const { issuer, root: rootPem } = held;
  const root = new X509Certificate(rootPem);
  const cluster = rootOf(root.subjectAltName);
  if (cluster === undefined) throw new SheafError("CORRUPT", `the root in ${dir} is not a cluster's`);

  async function renew(old: Credentials): Promise<Credentials> {
    const key = newKey();
    const { raw } = new X509Certificate(old.certificate);
    const certificate = await ask({ issuer, root, name, key, world, timeoutMs }, (binding) => ({
      kind: "renew",
      rest: [raw, sign("sha256", vouching(binding), old.key)],
    }));
    keep(dir, name, { issuer, key: pemOf(key), root: rootPem, certificate: certificate.toString() });
    return credentialsOf(key, certificate, rootPem);
  }

  let first = credentialsOf(held.key, new X509Certificate(held.certificate), rootPem);
  if (world.clock.now() >= renewalOf(first)) {
    try {
      first = await renew(first);
    } catch (error) {
      if (world.clock.now() >= first.notAfter) throw error;
    }
  }
  return renewed({ cluster, name, first, renew, world });
}

function readMembership(dir: string, name: string): Membership | undefined {
  const path = join(dir, `${name}.json`);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as Membership;
  } catch (cause) {
    throw new SheafError("CORRUPT", `${path} cannot be read`, { cause, hint: "remove it and join anew" });
  }
}

function keep(dir: string, name: string, membership: Membership): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  replaceFile(dir, `${name}.json`, Buffer.from(JSON.stringify(membership, null, 2)), 0o600);
}

const fingerprintOf = (certificate: X509Certificate): Buffer => createHash("sha256").update(certificate.raw).digest();

/** The root that the other side shows, when it is the one that the token names (Q1). */
async function fetchRoot(issuer: Membership["issuer"], token: JoinToken, timeoutMs: Millis): Promise<X509Certificate> {
  // Nothing is believed yet, and nothing is said: this is to see certificates only.
  return over({ ...issuer, rejectUnauthorized: false }, timeoutMs, (socket, done) => {
    for (let shown = socket.getPeerX509Certificate(); shown !== undefined; shown = shown.issuerCertificate)
      if (bytesEqual(fingerprintOf(shown), token.root)) return done(shown);
    throw new SheafError(
      "UNTRUSTED",
      `the node at ${issuer.host}:${issuer.port} is not of the cluster that the token names`,
      {
        hint: "check the address; if it is right, somebody may be in between",
      },
    );
  });
}

type Question = {
  readonly issuer: Membership["issuer"];
  readonly root: X509Certificate;
  readonly name: string;
  /** Whose certificate is asked for. */
  readonly key: KeyObject;
  readonly world: IdentityHost;
  readonly timeoutMs: Millis;
};

/** Asks a node of the cluster for a certificate, and looks that it is the one asked for. */
function ask(
  { issuer, root, name, key, world, timeoutMs }: Question,
  say: (binding: Uint8Array) => { readonly kind: string; readonly rest: readonly unknown[] },
): Promise<X509Certificate> {
  const cluster = rootOf(root.subjectAltName) ?? "";
  const publicKey = publicOf(key);
  const trusting = { ...issuer, ca: root.toString(), checkServerIdentity: () => undefined };
  return over(trusting, timeoutMs, (socket, done, fail) => {
    const peer = peerOf(socket, { cluster }, { clock: world.clock });
    if ("refusal" in peer) throw new SheafError("UNTRUSTED", `the issuer is not believed: ${peer.refusal}`);
    const binding = joinBinding(socket, publicKey, name);
    readOne(socket, (fields) => {
      const issued = readAnswer(fields);
      if (issued instanceof SheafError) return fail(issued);
      const node = nodeOf(issued.subjectAltName);
      const isOurs = issued.checkPrivateKey(key) && node?.cluster === cluster && node.name === name;
      if (isOurs && issued.checkIssued(root) && issued.verify(root.publicKey)) done(issued);
      else fail(new SheafError("UNTRUSTED", "the issuer's certificate is not the one that was asked for"));
    });
    const { kind, rest } = say(binding);
    writeOne(socket, [kind, name, publicKey, sign("sha256", possession(binding), key), ...rest]);
  });
}

function readAnswer(fields: unknown): X509Certificate | SheafError {
  const [first, message, hint] = Array.isArray(fields) ? (fields as unknown[]) : [];
  if (first instanceof Uint8Array) return new X509Certificate(first);
  const code = typeof first === "string" && Object.hasOwn(catalogue, first) ? (first as ErrorCode) : "INTERNAL";
  return new SheafError(code, typeof message === "string" ? message : undefined, {
    hint: typeof hint === "string" ? hint : undefined,
  });
}

/** One connection that speaks the join protocol; `begin` runs once it stands, and says when it is done. */
function over<T>(
  to: ConnectionOptions & Membership["issuer"],
  timeoutMs: Millis,
  begin: (socket: TLSSocket, done: (value: T) => void, fail: (error: SheafError) => void) => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const socket = connect({ minVersion: "TLSv1.3", ALPNProtocols: [joinProtocol], ...to });
    const at = `${to.host}:${to.port}`;
    const timer = setTimeout(
      () => fail(new SheafError("UNREACHABLE", `the node at ${at} did not answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    const end = (): void => {
      clearTimeout(timer);
      socket.destroy();
    };
    const fail = (error: SheafError): void => {
      end();
      reject(error);
    };
    const done = (value: T): void => {
      end();
      resolve(value);
    };
    const broke = (error: NodeJS.ErrnoException): void => {
      if (error instanceof SheafError) return fail(error);
      if (lossOf(error) === "untrusted")
        return fail(new SheafError("UNTRUSTED", `the node at ${at} is not believed: ${error.message}`));
      const why = lossOf(error) === "refused" ? "nothing listens there" : error.message;
      fail(new SheafError("UNREACHABLE", `no answer from ${at}: ${why}`, { cause: error }));
    };
    socket.on("error", broke);
    socket.on("close", () => fail(new SheafError("UNREACHABLE", `the node at ${at} ended the connection`)));
    socket.once("secureConnect", () => {
      try {
        if (socket.alpnProtocol !== joinProtocol)
          throw new SheafError("UNREACHABLE", `the node at ${at} issues no certificates`);
        begin(socket, done, fail);
      } catch (error) {
        broke(error as Error);
      }
    });
  });
}
