import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, randomBytes, sign, X509Certificate } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import type { Crypto } from "../host/index.ts";
import { certificateBody, nodeUri, wholeCertificate } from "./index.ts";
import { der, identifier, integer, text, time } from "./der.ts";

const crypto = { sha256: (bytes: Uint8Array) => createHash("sha256").update(bytes).digest() } as unknown as Crypto;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const keys = () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { privateKey, publicKey: publicKey.export({ type: "spki", format: "der" }) };
};

function chain(notAfter = Date.now() + 60_000): { root: X509Certificate; leaf: X509Certificate; serial: Buffer } {
  const ca = keys();
  const serial = Buffer.concat([Buffer.of(0x7f), randomBytes(15)]);
  const common = { serial, notBefore: Date.now() - 60_000, notAfter };
  const issuer = { title: "sheaf c1", uri: nodeUri("c1"), publicKey: ca.publicKey };
  const signed = (body: Uint8Array): X509Certificate =>
    new X509Certificate(wholeCertificate(body, sign("sha256", body, ca.privateKey)));
  const subject = { title: "a", uri: nodeUri("c1", "a"), publicKey: keys().publicKey };
  return {
    serial,
    root: signed(certificateBody(crypto, { ...common, subject: issuer, issuer })),
    leaf: signed(certificateBody(crypto, { ...common, subject, issuer })),
  };
}

test("certificates: what OpenSSL reads is what was ordered, and the root's signature holds", () => {
  const { root, leaf, serial } = chain();
  assert.deepEqual([root.ca, leaf.ca], [true, false]);
  assert.deepEqual([root.subject, leaf.subject, leaf.issuer], ["CN=sheaf c1", "CN=a", "CN=sheaf c1"]);
  assert.deepEqual([root.subjectAltName, leaf.subjectAltName], ["URI:sheaf://c1", "URI:sheaf://c1/a"]);
  assert.equal(leaf.serialNumber.toLowerCase(), serial.toString("hex"));
  assert.deepEqual(leaf.keyUsage, ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
  assert.ok(leaf.checkIssued(root) && leaf.verify(root.publicKey) && root.verify(root.publicKey));
  assert.ok(!leaf.verify(chain().root.publicKey));
  assert.ok(leaf.validToDate.getTime() > Date.now() && leaf.validFromDate.getTime() < Date.now());
});

test("certificates: years before and after 2050 are told apart as the standard says", () => {
  const at = (when: string): [string, number] => {
    const { leaf } = chain(Date.parse(when));
    return [leaf.validTo, leaf.validToDate.getTime()];
  };
  for (const when of ["2049-12-31T23:59:59Z", "2050-01-01T00:00:00Z", "2127-06-05T04:03:02Z"])
    assert.equal(at(when)[1], Date.parse(when));
  assert.equal(time(Date.parse("2049-12-31T23:59:59Z"))[0], 0x17);
  assert.equal(time(Date.parse("2050-01-01T00:00:00Z"))[0], 0x18);
});

test("DER: numbers, lengths and identifiers are in their one shortest form", () => {
  assert.equal(hex(integer(Uint8Array.of(0, 0, 0))), "020100");
  assert.equal(hex(integer(Uint8Array.of(0, 0x7f))), "02017f");
  assert.equal(hex(integer(Uint8Array.of(0x80))), "02020080");
  assert.equal(hex(identifier("1.2.840.10045.4.3.2")), "06082a8648ce3d040302");
  assert.equal(hex(text("é")), "0c02c3a9");
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 70_000 }), (length) => {
      const whole = der(0x04, new Uint8Array(length));
      const head = whole.length - length;
      assert.equal(head, length < 0x80 ? 2 : length < 0x100 ? 3 : length < 0x1_0000 ? 4 : 5);
      const digits = hex(whole.subarray(head === 2 ? 1 : 2, head));
      assert.equal(Number.parseInt(digits, 16), length);
    }),
  );
});
