export { gateway, type GatewayOptions } from "./gateway.ts";
export { type SocketOptions, sockets, type Sockets } from "./socket.ts";
