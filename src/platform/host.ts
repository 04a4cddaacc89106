// The real host: the outside world as this process sees it. Everything below floor 10 reaches the world through it.

import { mkdirSync } from "node:fs";
import type { Faults, Host, Log } from "../host/index.ts";
import { realClock } from "./clock.ts";
import { realCompress, realCrypto } from "./crypto.ts";
import { realDice } from "./dice.ts";
import { folderDisk, type FolderDisk } from "./disk.ts";
import { realLog, type LogOptions } from "./log.ts";
import { realMeter, type RealMeter } from "./meter.ts";
import { processGauges } from "./process-gauges.ts";

export type RealHost = Host & {
  readonly meter: RealMeter;
  readonly disk: FolderDisk;
  /** Stops measuring and closes the files that notes keep open. */
  close(): void;
};

const noFaults: Faults = { mutant: () => false };

/** The world as it is. `dir` is this node's own folder, made when missing; see lock.ts for keeping it to one process. */
export function realHost(options: { readonly dir: string; readonly log?: Log | LogOptions | undefined }): RealHost {
  mkdirSync(options.dir, { recursive: true });
  const clock = realClock();
  const disk = folderDisk(options.dir);
  const meter = realMeter();
  const gauges = processGauges(meter);
  const given = options.log ?? {};
  const log = "info" in given ? given : realLog({ meter, ...given });
  return {
    clock,
    dice: realDice(clock),
    crypto: realCrypto,
    compress: realCompress,
    disk,
    log,
    meter,
    faults: noFaults,
    close() {
      gauges.stop();
      disk.close();
    },
  };
}
