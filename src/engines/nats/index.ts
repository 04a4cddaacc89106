export { natsEngine } from "./engine.ts";
export { natsAddress, type NatsOptions } from "./options.ts";
