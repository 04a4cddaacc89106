export { adminApi, type AdminOptions } from "./admin.ts";
export * from "./operator.ts";
