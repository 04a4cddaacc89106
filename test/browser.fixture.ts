// A headless Chromium for tests of what is served to browsers. Where there is none, CI fails and everybody else is told what to install.

import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { chromium, type Browser } from "playwright-core";

const install = "sudo apt-get update && sudo apt-get install -y chromium";

function found(): string | undefined {
  for (const dir of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(dir, "chromium");
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

const executablePath = found();
if (executablePath === undefined && process.env["CI"] !== undefined)
  throw new Error(`there is no chromium to test with; run: ${install}`);

/** Why browser tests are left out here, or false. Never in CI. */
export const withoutBrowser: string | false =
  executablePath === undefined ? `there is no chromium; run: ${install}` : false;

/** Opens a browser with a profile of its own, which goes when it is closed. */
export const openBrowser = (): Promise<Browser> =>
  chromium.launch({
    executablePath: executablePath ?? "",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
