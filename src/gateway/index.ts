export { gateway, type GatewayOptions } from "./gateway.ts";
