export * from "./entities.ts";
export { Poison } from "./poison.ts";
