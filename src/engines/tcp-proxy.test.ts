import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { after, test } from "node:test";
import { type Proxied, type TcpProxy, tcpProxy } from "./tcp-proxy.fixture.ts";

const echo = createServer((socket) => void socket.on("error", () => {}).pipe(socket));
echo.listen(0, "127.0.0.1");
await once(echo, "listening");
const proxies: TcpProxy[] = [];
after(async () => {
  for (const proxy of proxies) await proxy.close();
  echo.close();
});

/** A client that is connected through a proxy of its own. */
async function through(): Promise<{ proxy: TcpProxy; client: Socket; joined: Proxied; heard(): string }> {
  const proxy = await tcpProxy({ port: (echo.address() as AddressInfo).port, host: "127.0.0.1" });
  proxies.push(proxy);
  const joined = new Promise<Proxied>((resolve) => proxy.onConnection(resolve));
  const client = connect(proxy.port, "127.0.0.1").on("error", () => {});
  let heard = "";
  client.setEncoding("utf8").on("data", (text: string) => (heard += text));
  return { proxy, client, joined: await joined, heard: () => heard };
}
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

test("proxy: what is held arrives after its release, in order; what is lost never does", async () => {
  const { client, joined, heard } = await through();
  client.write("a");
  await until(() => heard() === "a");
  joined.hold("down");
  client.write("b");
  let back = "";
  joined.onBytes("down", (bytes) => (back += bytes.toString()));
  await until(() => back === "b");
  client.write("c");
  await until(() => back === "bc");
  assert.equal(heard(), "a");
  joined.release("down");
  await until(() => heard() === "abc");
  joined.lose("up");
  client.write("lost");
  await new Promise((resolve) => client.write("", resolve));
  joined.cut();
  await once(client, "close");
  assert.equal(heard(), "abc");
});

test("proxy: a connection that is cut after a number of bytes has passed exactly those", async () => {
  for (const count of [0, 1, 5]) {
    const { proxy, client, joined, heard } = await through();
    joined.cutAfter("down", count);
    client.write("0123456789");
    await once(client, "close");
    assert.equal(heard(), "0123456789".slice(0, count));
    assert.deepEqual(proxy.connections(), []);
  }
});

test("proxy: while it refuses, a new connection is broken and an old one goes on", async () => {
  const { proxy, client, heard } = await through();
  proxy.refuse(true);
  const other = connect(proxy.port, "127.0.0.1").on("error", () => {});
  await new Promise((resolve) => other.on("close", resolve));
  client.write("still");
  await until(() => heard() === "still");
  client.end();
  await once(client, "close");
});
