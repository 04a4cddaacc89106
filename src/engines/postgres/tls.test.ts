import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { TLSSocket } from "node:tls";
import { realCrypto } from "../../platform/crypto.ts";
import { certificateBody, wholeCertificate } from "../../security/index.ts";
import { tcpProxy } from "../tcp-proxy.fixture.ts";
import { postgresEngine } from "./engine.ts";
import { serverOfThisFile, serverTest as test } from "./server.fixture.ts";

const server = serverOfThisFile();
const undo: (() => void)[] = [];
after(() => {
  for (const step of undo) step();
});

type Party = { readonly title: string; readonly keys: ReturnType<typeof makeKeys>; readonly publicKey: Uint8Array };
const makeKeys = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
function party(title: string): Party {
  const keys = makeKeys();
  return { title, keys, publicKey: keys.publicKey.export({ type: "spki", format: "der" }) };
}
function certificate(subject: Party, issuer: Party): string {
  const body = certificateBody(realCrypto, {
    serial: Buffer.concat([Buffer.of(1), randomBytes(15)]),
    subject: { title: subject.title, uri: "test:server", publicKey: subject.publicKey },
    issuer,
    notBefore: Date.now() - 60_000,
    notAfter: Date.now() + 3_600_000,
  });
  const der = wholeCertificate(body, sign("sha256", body, issuer.keys.privateKey));
  return `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString("base64")}\n-----END CERTIFICATE-----\n`;
}

/** The server behind TLS, for the host name "localhost": what a server on a TCP port does itself. */
async function behindTls(): Promise<{ port: number; authority: string; secured(): number }> {
  const [root, leaf] = [party("authority"), party("localhost")];
  const it = await server();
  let secured = 0;
  const sockets = new Set<Socket>();
  const front = createServer((client) => {
    sockets.add(client.on("error", () => {}));
    client.once("data", () => {
      client.write("S");
      const secure = new TLSSocket(client, {
        isServer: true,
        cert: certificate(leaf, root),
        key: leaf.keys.privateKey.export({ type: "pkcs8", format: "pem" }),
      });
      const behind = connect({ path: `${it.dir}/.s.PGSQL.5432` }).on("error", () => {});
      secure.on("error", () => behind.destroy()).on("secure", () => secured++);
      secure.pipe(behind).pipe(secure);
    });
  });
  front.listen(0);
  await once(front, "listening");
  const dir = mkdtempSync(join(tmpdir(), "sheaf-tls-"));
  const authority = join(dir, "authority.pem");
  writeFileSync(authority, certificate(root, root));
  undo.push(() => {
    front.close();
    for (const socket of sockets) socket.destroy();
    rmSync(dir, { recursive: true, force: true });
  });
  return { port: (front.address() as AddressInfo).port, authority, secured: () => secured };
}

async function open(address: string): Promise<string> {
  try {
    const engine = await postgresEngine({ url: `postgres://sheaf:secret@${address}`, patienceMs: 5000 });
    await engine.identify();
    await engine.close();
    return "open";
  } catch (error) {
    return `${(error as { code: string }).code} ${(error as Error).message}`;
  }
}

test("TLS: the server's certificate must be signed by who is named, and be of the host that is named", async () => {
  const { port, authority, secured } = await behindTls();
  const full = "postgres?sslmode=verify-full";
  assert.equal(await open(`localhost:${port}/${full}&sslrootcert=${authority}`), "open");
  assert.ok(secured() >= 2, "it was TLS");
  assert.match(await open(`localhost:${port}/${full}`), /^ENGINE_REFUSED .*certificate/);
  assert.match(await open(`127.0.0.1:${port}/${full}&sslrootcert=${authority}`), /^ENGINE_REFUSED .*127\.0\.0\.1/);
  assert.equal(await open(`127.0.0.1:${port}/postgres?sslmode=no-verify`), "open");
});

test("TLS: an address that asks for it never falls back to plain text, so no password is sent", async () => {
  const it = await server();
  const proxy = await tcpProxy({ path: `${it.dir}/.s.PGSQL.5432` });
  undo.push(() => void proxy.close());
  let sent = "";
  proxy.onConnection((connection) => connection.onBytes("up", (bytes) => void (sent += bytes.toString("latin1"))));
  assert.match(await open(`127.0.0.1:${proxy.port}/postgres?sslmode=verify-full`), /^ENGINE_REFUSED .*SSL/);
  assert.match(sent, /^(?:\0\0\0\u0008\u0004\u00d2\u0016\u002f)+$/, "nothing but requests for TLS");
});
