export { placesOf } from "./place.ts";
export { groupMark } from "./stream.ts";
export { type Gateway, gateway, type GatewayOptions } from "./gateway.ts";
export { callOut, type Post, type PostAnswer, type PostRequest } from "./outward.ts";
export { type SocketOptions, sockets, type Sockets } from "./socket.ts";
