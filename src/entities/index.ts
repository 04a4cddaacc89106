export { Entities } from "./entities.ts";
export type { EntitiesOptions } from "./options.ts";
export { Poison } from "./poison.ts";
