// What Sheaf keeps about itself on its own shards.

import type { EntityImplementation } from "../model/index.ts";
import { endpointEntity } from "./endpoint-entity.ts";
import { keyEntity } from "./key-entity.ts";
import { pinsEntity } from "./pins-entity.ts";
import { secretEntity } from "./secret-entity.ts";

export { Pins, pinsEntityKey } from "./pins-entity.ts";
export {
  type EndpointOptions,
  type Endpoints,
  endpointBook,
  endpointFinder,
  type EndpointView,
  type Registered,
} from "./endpoints.ts";
export { Schedule, scheduleEntity } from "./schedule-entity.ts";
export {
  followSchedule,
  scheduleBook,
  type ScheduleBookPorts,
  type Schedules,
  type ScheduleView,
} from "./schedules.ts";
export { Secret } from "./secret-entity.ts";
export {
  apiKeys,
  cacheMs,
  type Keys,
  type KeysOptions,
  type KeyView,
  type NewKeyOptions,
  type Search,
} from "./keys.ts";

/** Sheaf's own entities: a node serves them beside the application's. */
export const systemEntities: readonly EntityImplementation[] = [endpointEntity, keyEntity, pinsEntity, secretEntity];
