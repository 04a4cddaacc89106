// What work costs beside time, read from the kernel's accounts: processor time and memory of processes with all that descend from
// them, so that a server's workers are counted; bytes on the loopback interface and bytes written to the disk, of the whole
// machine, which is to do nothing else. Linux only.

import { readdirSync, readFileSync, statSync } from "node:fs";

/** Scheduler ticks are a hundredth of a second on every Linux that Node runs on. */
const microsPerTick = 10_000;
/** Of the kernel's accounts, whatever the disk's own. */
const sectorBytes = 512;

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** The fields of a process from its state on: what comes before may hold spaces. */
const statOf = (pid: number): readonly string[] => read(`/proc/${pid}/stat`).split(") ").at(-1)!.split(" ");

/** The processes and all that descend from them. */
export function treeOf(roots: readonly number[]): readonly number[] {
  const all = readdirSync("/proc").map(Number).filter(Number.isInteger);
  const children = Map.groupBy(all, (pid) => Number(statOf(pid)[1]));
  const found = new Set<number>();
  const visit = (pid: number): void => {
    found.add(pid);
    for (const child of children.get(pid) ?? []) visit(child);
  };
  for (const root of roots) visit(root);
  return [...found];
}

/** Processor time up to now, of these and all that descend from them; what children that have ended used counts too. */
export function cpuMicrosOf(roots: readonly number[]): number {
  const used = treeOf(roots).flatMap((pid) => statOf(pid).slice(11, 15).map(Number));
  return microsPerTick * used.reduce((sum, ticks) => sum + ticks, 0);
}

/** Written so far to the disk that a folder is on. */
export function diskBytes(folder: string): number {
  const { dev } = statSync(folder);
  const [major, minor] = [(dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00)];
  const line = new RegExp(`^ *${major} +${minor} .*$`, "m").exec(read("/proc/diskstats"))?.[0] ?? "";
  return sectorBytes * Number(line.trim().split(/ +/)[9] ?? 0);
}

/** Resident now, of these and all that descend from them; what they share counts once for each. */
export const residentBytes = (roots: readonly number[]): number =>
  treeOf(roots).reduce(
    (sum, pid) => sum + 1024 * Number(/VmRSS:\s+(\d+)/.exec(read(`/proc/${pid}/status`))?.[1] ?? 0),
    0,
  );

/** Everything that has gone over the loopback interface since the machine started, each byte once. */
export const loopbackBytes = (): number => Number(/^\s*lo:\s*(\d+)/m.exec(read("/proc/net/dev"))?.[1] ?? 0);
