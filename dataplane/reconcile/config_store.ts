/** The configuration in the kernel: as it was given, and as the programs read it. */

import { type DerivedState, deriveState } from "../config/derived_state.ts";
import type { ConfigValues } from "../config/config_keys.ts";
import type { ConfigMap } from "../maps/config.ts";
import type { DatapathStateMap } from "../maps/datapath_state.ts";

/** Owns the contents of CONFIG and what follows from them in DATAPATH_STATE. */
export class ConfigStore {
  readonly #config: ConfigMap;
  readonly #state: DatapathStateMap;
  readonly #hz: number;

  /**
   * Puts the configuration that is in the map in force.
   *
   * @param hz Jiffies per second.
   * @throws SysError
   */
  constructor(config: ConfigMap, state: DatapathStateMap, hz: number) {
    this.#config = config;
    this.#state = state;
    this.#hz = hz;
    state.write({ ...deriveState(config.values, hz), hz });
  }

  /** What the kernel has of them, read anew. @throws SysError */
  stored(): ConfigValues {
    return this.#config.read();
  }

  /** The keys that were set, with their values. */
  get values(): ConfigValues {
    return this.#config.values;
  }

  /** Writes checked entries and puts them in force. @throws SysError */
  set(entries: Iterable<readonly [key: number, value: bigint]>): void {
    this.#config.set(entries);
    const before = this.#state.value;
    const after = deriveState(this.#config.values, this.#hz);
    this.#state.write(after);
    if (judgesOtherwise(before, after)) this.#state.judgeAgain();
  }
}

/** Whether what was decided for living connections may be decided otherwise now. */
function judgesOtherwise(before: DerivedState, after: DerivedState): boolean {
  return before.defaultDeny !== after.defaultDeny || before.podCidrIp !== after.podCidrIp ||
    before.podCidrMask !== after.podCidrMask;
}
