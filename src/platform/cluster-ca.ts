// A cluster's certificate authority: one folder, which makes the machines that hold it the issuers of node certificates.
//   ca.pem        the root's private key and its certificate, in one file
//   names/N.json  for each node name given out: hash of the key that last held it, and of the one before
//   used/T        for each join token used: hash of the key it was used for
//
// A1. Whoever comes first makes the root; all who come at the same time end with that one. Half of one is never seen.
// A2. A join token lets in one key. The same key may come again, so that an answer that was lost can be asked for again.
// A3. A name belongs to the key it was given to, and moves on only with a certificate renewal by that key, or by a token
//     that was made for that very name. Removing names/N.json ends the renewals of N.

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  X509Certificate,
} from "node:crypto";
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { bytesEqual, type Instant, type Millis, SheafError } from "../base/index.ts";
import {
  certificateBody,
  checkNodeName,
  mintToken,
  nodeOf,
  nodeUri,
  rootOf,
  type TokenClaim,
  tokenSecret,
  wholeCertificate,
} from "../security/index.ts";
import { realCrypto } from "./crypto.ts";
import { replaceFile, syncFolder } from "./disk.ts";

const hour = 3_600_000;
const day = 24 * hour;
/** A certificate is valid from a little before it is made: clocks differ. */
export const skewMs: Millis = 15 * 60_000;
const nodeLifeMs: Millis = day;
const rootLifeMs: Millis = 10 * 365 * day;
/** A machine that was off for this long after its certificate ended may still renew it; later it joins anew. */
const returnMs: Millis = 30 * day;
/** What was used is remembered this long after it could be used: clocks go backwards too. */
const rememberMs: Millis = day;

export type Issued = {
  /** DER. */
  readonly certificate: Uint8Array;
  readonly notAfter: Instant;
};

/** A key that wants to be a node's: SubjectPublicKeyInfo, DER. Whoever passes it on has seen proof that the other holds it. */
export type Applicant = { readonly name: string; readonly publicKey: Uint8Array; readonly now: Instant };

export interface ClusterCa {
  readonly cluster: string;
  /** The root's certificate, PEM, and the SHA-256 of its DER. */
  readonly root: string;
  readonly fingerprint: Uint8Array;
  /** For a node on a machine that holds the folder. Throws IN_USE when a machine that joined has the name. */
  issue(applicant: Applicant): Issued;
  /** For a newcomer, when `proves` accepts the secret of its token. Throws UNAUTHENTICATED or IN_USE. */
  admit(applicant: Applicant, claim: TokenClaim, proves: (secret: Uint8Array) => boolean): Issued;
  /** For a node whose certificate nears its end; `held` is that certificate, and its key has vouched. Throws UNAUTHENTICATED. */
  renew(applicant: Applicant, held: X509Certificate): Issued;
  /** The text of a new join token, good for one newcomer until `ttlMs` from now, and for this name only when there is one. */
  mint(good: { readonly now: Instant; readonly ttlMs: Millis; readonly name?: string | undefined }): string;
}

const thisMachine = "this machine";
type Holder = { readonly key: string; readonly before?: string | undefined };

const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const pem = (certificate: Uint8Array): string => new X509Certificate(certificate).toString();

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Writes a file that its owner alone may read, unless there is one by that name; false then. All of it or nothing. */
function writeFirst(dir: string, name: string, content: string): boolean {
  const draft = join(dir, `.${randomBytes(8).toString("hex")}`);
  const file = openSync(draft, "wx", 0o600);
  try {
    writeSync(file, content);
    fsyncSync(file);
    linkSync(draft, join(dir, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    closeSync(file);
    rmSync(draft, { force: true });
  }
  syncFolder(dir);
  return true;
}

/** The authority in `dir`, or undefined when there is none. `lifeMs` is how long what it issues is good. Throws UNTRUSTED when others may read its key. */
export function openCa(dir: string, lifeMs = nodeLifeMs): ClusterCa | undefined {
  const path = join(dir, "ca.pem");
  const text = readIfThere(path);
  if (text === undefined) return undefined;
  if (process.platform !== "win32" && (statSync(path).mode & 0o077) !== 0) {
    throw new SheafError("UNTRUSTED", `others than its owner may read ${path}`, { hint: `chmod 600 ${path}` });
  }
  try {
    return authority(dir, text, lifeMs);
  } catch (error) {
    if (error instanceof SheafError) throw error;
    throw new SheafError("CORRUPT", `${path} cannot be read as a key and a certificate`, {
      cause: error,
      hint: "bring it back from a backup; to make a new authority, remove the folder and let every other machine join anew",
    });
  }
}

/** The authority in `dir`, made when there is none (A1). Throws WRONG_CLUSTER when there is one of another cluster. */
export function ensureCa(
  dir: string,
  options: { readonly cluster: string; readonly now: Instant; readonly lifeMs?: Millis | undefined },
): ClusterCa {
  const { cluster, now, lifeMs } = options;
  let ca = openCa(dir, lifeMs);
  if (ca === undefined) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    writeFirst(dir, "ca.pem", makeRoot(cluster, now));
    ca = openCa(dir, lifeMs) as ClusterCa;
  }
  if (ca.cluster === cluster) return ca;
  throw new SheafError("WRONG_CLUSTER", `${dir} holds the certificate authority of the cluster ${ca.cluster}`, {
    hint: "give the node the folder of its cluster, or an empty one",
  });
}

function makeRoot(cluster: string, now: Instant): string {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const subject = {
    title: `sheaf ${cluster}`,
    uri: nodeUri(cluster),
    publicKey: publicKey.export({ type: "spki", format: "der" }),
  };
  const body = certificateBody(realCrypto, {
    serial: newSerial(),
    subject,
    issuer: subject,
    notBefore: now - skewMs,
    notAfter: now + rootLifeMs,
  });
  const certificate = wholeCertificate(body, sign("sha256", body, privateKey));
  return privateKey.export({ type: "pkcs8", format: "pem" }) + pem(certificate);
}

/** 16 random bytes, the first from 1 to 127: a positive number of full length (RFC 5280 §4.1.2.2). */
function newSerial(): Uint8Array {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] as number) & 0x7f) | 0x01;
  return serial;
}

function authority(dir: string, text: string, lifeMs: Millis): ClusterCa {
  const key = createPrivateKey(text);
  const root = new X509Certificate(text.slice(text.indexOf("-----BEGIN CERTIFICATE")));
  const cluster = rootOf(root.subjectAltName);
  if (cluster === undefined || !root.checkPrivateKey(key)) throw new Error("the key is not the certificate's");
  const fingerprint = createHash("sha256").update(root.raw).digest();
  const publicKey = root.publicKey.export({ type: "spki", format: "der" });
  const tokenKey = realCrypto.hmacSha256(
    key.export({ type: "pkcs8", format: "der" }),
    Buffer.from("sheaf join tokens 1"),
  );
  const rootEnds = root.validToDate.getTime();
  const names = join(dir, "names");
  const used = join(dir, "used");
  for (const folder of [names, used]) mkdirSync(folder, { recursive: true, mode: 0o700 });

  function certify({ name, publicKey: subjectKey, now }: Applicant): Issued {
    const notAfter = Math.min(now + lifeMs, rootEnds);
    const body = certificateBody(realCrypto, {
      serial: newSerial(),
      subject: { title: name, uri: nodeUri(cluster as string, name), publicKey: subjectKey },
      issuer: { title: `sheaf ${cluster}`, publicKey },
      notBefore: now - skewMs,
      notAfter,
    });
    return { certificate: wholeCertificate(body, sign("sha256", body, key)), notAfter };
  }

  function holderOf(name: string): Holder | undefined {
    const found = readIfThere(join(names, `${name}.json`));
    return found === undefined ? undefined : (JSON.parse(found) as Holder);
  }
  const giveTo = (name: string, holder: Holder): void =>
    replaceFile(names, `${name}.json`, Buffer.from(JSON.stringify(holder)));
  const giveFirst = (name: string, holder: Holder): boolean =>
    writeFirst(names, `${name}.json`, JSON.stringify(holder));

  return {
    cluster,
    root: root.toString(),
    fingerprint,
    issue(applicant) {
      const name = checkNodeName(applicant.name);
      const own = { key: thisMachine };
      if (!giveFirst(name, own) && holderOf(name)?.key !== thisMachine)
        throw new SheafError("IN_USE", `a machine that joined the cluster has the name ${name}`);
      giveTo(name, own);
      return certify(applicant);
    },
    admit(applicant, claim, proves) {
      const { now, publicKey: newcomer } = applicant;
      const name = checkNodeName(applicant.name);
      checkPublicKey(newcomer);
      if (!proves(tokenSecret(realCrypto, tokenKey, fingerprint, claim)))
        throw new SheafError("UNAUTHENTICATED", "the join token was not made by this cluster", { hint: makeAnother });
      if (now >= claim.expiresAt)
        throw new SheafError("UNAUTHENTICATED", "the join token has expired", { hint: makeAnother });
      if (claim.name !== undefined && claim.name !== name)
        throw new SheafError("UNAUTHENTICATED", `the join token is good for ${claim.name}, not for ${name}`);
      const by = hashOf(newcomer);
      const taken = (): boolean => claim.name === undefined && ![undefined, by].includes(holderOf(name)?.key);
      if (taken()) throw nameTaken(name);
      const token = `${claim.expiresAt}-${Buffer.from(claim.id).toString("hex")}`;
      if (!writeFirst(used, token, by) && readIfThere(join(used, token)) !== by)
        throw new SheafError("UNAUTHENTICATED", "the join token has been used", { hint: makeAnother });
      if (!giveFirst(name, { key: by })) {
        if (taken()) throw nameTaken(name);
        giveTo(name, { key: by });
      }
      return certify({ ...applicant, name });
    },
    renew(applicant, held) {
      const { now, publicKey: next } = applicant;
      const node = nodeOf(held.subjectAltName);
      checkPublicKey(next);
      const known = held.checkIssued(root) && held.verify(root.publicKey) && node?.cluster === cluster;
      if (!known || node.name !== applicant.name)
        throw new SheafError("UNAUTHENTICATED", "the certificate to renew is not of this cluster");
      if (now > held.validToDate.getTime() + returnMs)
        throw new SheafError("UNAUTHENTICATED", `the certificate of ${node.name} ended too long ago`, {
          hint: makeAnother,
        });
      const before = hashOf(held.publicKey.export({ type: "spki", format: "der" }));
      const by = hashOf(next);
      const holder = holderOf(node.name);
      // The one before the last may ask again: its answer was lost.
      if (holder?.key !== before && holder?.before !== before) {
        const why = holder === undefined ? "was removed from the cluster" : "now belongs to another key";
        throw new SheafError("UNAUTHENTICATED", `the name ${node.name} ${why}`, { hint: makeAnother });
      }
      giveTo(node.name, { key: by, before });
      return certify(applicant);
    },
    mint({ now, ttlMs, name }) {
      forget(used, (token) => Number(token.split("-")[0]) + rememberMs < now);
      forget(names, (file) => statSync(join(names, file)).mtimeMs + nodeLifeMs + returnMs + rememberMs < now);
      const world = { crypto: realCrypto, dice: { bytes: (length: number) => randomBytes(length) } };
      return mintToken(world, tokenKey, fingerprint, { expiresAt: now + ttlMs, name });
    },
  };
}

const nameTaken = (name: string): SheafError =>
  new SheafError("IN_USE", `another machine has the name ${name}`, {
    hint: `choose another name, or make a token for this one: sheaf node token --name ${name}`,
  });

const makeAnother = "make another on a machine that has the certificate authority: sheaf node token";

/** Throws MALFORMED unless these bytes are a key of the one kind that certificates are made for. */
function checkPublicKey(bytes: Uint8Array): void {
  try {
    const key = createPublicKey({ key: Buffer.from(bytes), format: "der", type: "spki" });
    const exact = key.export({ type: "spki", format: "der" });
    if (key.asymmetricKeyDetails?.namedCurve === "prime256v1" && bytesEqual(exact, bytes)) return;
  } catch {
    // Said below.
  }
  throw new SheafError("MALFORMED", "the public key is not one on the curve P-256");
}

/** Removes the files of a folder that `old` accepts. */
function forget(dir: string, old: (name: string) => boolean): void {
  for (const name of readdirSync(dir)) if (old(name)) rmSync(join(dir, name), { force: true });
}
