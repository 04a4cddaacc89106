import assert from "node:assert/strict";
import { test } from "node:test";
import { natsAddress } from "./options.ts";

const plain = (url: string): unknown => JSON.parse(JSON.stringify(natsAddress(url)));

test("nats address: servers, space, who one is and settings are told apart", () => {
  assert.deepEqual(plain("nats://a,b:4222,[::1]:4333"), { servers: ["a", "b:4222", "[::1]:4333"] });
  assert.deepEqual(plain("nats://me:p%40ss%3Aword@a/staging?replicas=1&streams=8"), {
    servers: ["a"],
    space: "staging",
    user: "me",
    password: "p@ss:word",
    replicas: 1,
    streams: 8,
  });
  assert.deepEqual(
    plain("tls://s3cret@a/?ca=/x/ca.pem&cert=/x/c.pem&key=/x/k.pem&creds=/x/u.creds&monitor=a:8222,b:8222"),
    {
      servers: ["a"],
      tls: true,
      token: "s3cret",
      caFile: "/x/ca.pem",
      certFile: "/x/c.pem",
      keyFile: "/x/k.pem",
      credentialsFile: "/x/u.creds",
      monitors: ["http://a:8222", "http://b:8222"],
    },
  );
});

test("nats address: what is not understood is USAGE and is not repeated", () => {
  const wrong = [
    "nats:hunter2",
    "nats://",
    "nats://hunter2@",
    "nats://me:hunter2@a b",
    "nats://me:hunter2@a/../b",
    "nats://me:hunter2@a/b.c",
    "nats://me:hunter2%zz@a",
    "nats://a?hunter2=1",
    "nats://a?monitor=http://hunter2",
  ];
  for (const url of wrong)
    assert.throws(
      () => natsAddress(url),
      (error: { code?: unknown; message?: unknown }) =>
        error.code === "USAGE" && !String(error.message).includes("hunter2"),
      url,
    );
});
