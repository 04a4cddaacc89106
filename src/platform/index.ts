export * from "./disk.ts";
export * from "./host.ts";
export * from "./log.ts";
export * from "./meter.ts";
export * from "./lock.ts";
export * from "./socket.ts";
export * from "./listen.ts";
