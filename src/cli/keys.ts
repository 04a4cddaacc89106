// Single keys on the terminal, and the one thing a key can open.

import { spawn } from "node:child_process";
import process from "node:process";

/** Calls the action of each key pressed. stdin gives keys, not lines, until the process ends. */
export function listenForKeys(actions: Readonly<Record<string, () => void>>): void {
  process.stdin.setRawMode(true);
  process.once("exit", () => process.stdin.setRawMode(false));
  process.stdin.setEncoding("utf8");
  process.stdin.on("data", (keys: string) => {
    for (const key of keys) if (Object.hasOwn(actions, key)) actions[key]!();
  });
  // Keys alone keep no process alive.
  process.stdin.unref();
}

/** Opens a page in the user's browser, if the system knows how; silent when it does not, as the address is on the screen. */
export function openInBrowser(url: string): void {
  const openers: Partial<Record<NodeJS.Platform, string>> = { darwin: "open", win32: "explorer" };
  const child = spawn(openers[process.platform] ?? "xdg-open", [url], { stdio: "ignore", detached: true });
  child.on("error", () => {});
  child.unref();
}
