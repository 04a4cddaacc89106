// Has the cluster's schedules follow the code of this node, each time that code is loaded. Nodes do so at their start and when
// they reload, not when shards move: so an older node that takes over a schedule does not set it back to what its own code says.

import { messageOf, type Millis } from "../base/index.ts";
import { followSchedule } from "../control/index.ts";
import type { ScheduleShape } from "../model/index.ts";
import type { Calls } from "../rpc/index.ts";
import type { Placed } from "./membership.ts";

const firstPause: Millis = 100;
const longestPause: Millis = 10_000;

/** Goes on until each follows, unless this node hosts no entities. It ends when other code is loaded or the node stops. */
export function followSchedules(parts: Placed, calls: Calls): void {
  const { app, options, membership } = parts;
  if (membership?.self.entities === false) return;
  const { clock } = options.host;
  const loaded = clock.tick();
  const isOver = (): boolean => parts.app !== app || parts.state === "stopping";
  for (const each of app.schedules ?? []) void follow(each);

  async function follow(schedule: ScheduleShape): Promise<void> {
    for (let pause = firstPause; !isOver(); pause = Math.min(longestPause, 2 * pause)) {
      try {
        return await followSchedule({ host: options.host, calls }, schedule, clock.tick() - loaded);
      } catch (error) {
        const fields = { schedule: schedule.name, reason: messageOf(error) };
        options.host.log.debug("a schedule does not follow the code here yet", fields);
      }
      await new Promise<void>((resolve) => void clock.after(pause, resolve));
    }
  }
}
