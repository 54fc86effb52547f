/** Do the programs read the configuration that this dataplane was given? */

import { configText } from "../../shared/doctor/config_text.ts";
import type { Fault } from "../../shared/doctor/fault.ts";
import type { DatapathState } from "../../shared/gen/abi.ts";
import { ConfigKey } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { Ipv4 } from "../../shared/net/mod.ts";
import type { DatapathStateMap } from "../maps/datapath_state.ts";
import type { ConfigStore } from "./config_store.ts";

const ADDRESSES: ReadonlySet<string> = new Set(["podCidrIp", "podCidrMask"]);
const REMEDY = "--fix writes it anew";

/** Elements of CONFIG and members of DATAPATH_STATE that are others than they should be. @throws SysError */
export function stateFaults(config: ConfigStore, state: DatapathStateMap): Fault[] {
  return [...configFaults(config), ...memberFaults(state)];
}

function configFaults(config: ConfigStore): Fault[] {
  const stored = config.stored();
  const repair = () => config.set([...config.values]);
  return [...new Set([...config.values.keys(), ...stored.keys()])].sort((a, b) => a - b)
    .filter((key) => config.values.get(key) !== stored.get(key))
    .map((key) => ({
      kind: "configuration map",
      object: `CONFIG ${ConfigKey[key] ?? key}`,
      expected: configText(key, config.values.get(key)),
      found: configText(key, stored.get(key)),
      remedy: REMEDY,
      repair,
    }));
}

function memberFaults(state: DatapathStateMap): Fault[] {
  const [wanted, stored] = [Object.entries(state.value), Object.entries(state.read())];
  const repair = () => state.write({});
  return wanted.flatMap(([member, value], index) => {
    const expected = memberText(member, value);
    const found = memberText(member, stored[index]?.[1]);
    if (expected === found) return [];
    const object = `DATAPATH_STATE ${member}`;
    return [{ kind: "state map", object, expected, found, remedy: REMEDY, repair }];
  });
}

function memberText(member: string, value: DatapathState[keyof DatapathState] | undefined): string {
  const isAddress = typeof value === "number" && ADDRESSES.has(member);
  return isAddress ? `${Ipv4.fromU32(value)}` : JSON.stringify(value);
}
