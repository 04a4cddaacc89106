export * from "./engine.ts";
export * from "./record.ts";
export * from "./codec.ts";
export * from "./chain.ts";
export * from "./key-check.ts";
export * from "./memory.ts";
export { type MemoryCopy, type MemoryDisk, memoryDisk, type MemoryDiskOptions } from "./memory-disk.ts";
export { type EngineBed, engineContract, type KitTools } from "./contract.ts";
export * from "./snapshot.ts";
