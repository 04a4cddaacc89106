export * from "./api-key.ts";
export * from "./certificate.ts";
export * from "./join-token.ts";
export * from "./node-name.ts";
export * from "./policy.ts";
export * from "./principal.ts";
export * from "./secret.ts";
