// Moleculer over its TCP transporter: no TLS, no validation, JSON.

import { ServiceBroker } from "moleculer";
import { createServer } from "node:net";
import { once } from "node:events";
import { message } from "./message.mjs";

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await once(server.close(), "close");
  return port;
}

const brokerOf = (nodeID, port, other) =>
  new ServiceBroker({
    nodeID,
    logger: false,
    validator: false,
    metrics: false,
    tracing: false,
    transporter: {
      type: "TCP",
      options: { udpDiscovery: false, port, urls: [...other, `127.0.0.1:${port}/${nodeID}`] },
    },
  });

export async function serve() {
  const [port, callerPort] = [await freePort(), await freePort()];
  const broker = brokerOf("server", port, [`127.0.0.1:${callerPort}/caller`]);
  broker.createService({ name: "echo", actions: { say: (context) => context.params } });
  await broker.start();
  return { port, callerPort };
}

export async function open({ port, callerPort }) {
  const broker = brokerOf("caller", callerPort, [`127.0.0.1:${port}/server`]);
  await broker.start();
  await broker.waitForServices("echo", 20_000);
  return { once: () => broker.call("echo.say", message), close: () => broker.stop() };
}
