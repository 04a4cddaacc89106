export * from "./api-key.ts";
export * from "./policy.ts";
export * from "./principal.ts";
export * from "./secret.ts";
