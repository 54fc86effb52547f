/** Does each pod's interface have both programs, once each? */

import { detachClsact } from "../../shared/ffi/bpf.ts";
import type { Fault } from "../../shared/doctor/fault.ts";
import { type Attachments, type Direction, DIRECTIONS, interfaceNameOf } from "./attachments.ts";
import { openLink, queryFilter } from "./hooks.ts";
import { linkPin, pinnedProgramIds } from "./pins.ts";
import { unlink } from "../../shared/ffi/files.ts";

/** What is looked at. */
export interface AttachmentAudit {
  readonly attachments: Attachments;
  readonly pinDir: string;
  /** Interfaces that must have both programs, by index. */
  readonly wanted: readonly number[];
  /** All interfaces of the network namespace, by index. */
  readonly interfaces: readonly number[];
}

/** Hooks without a program of ours, with another one, or with two. @throws SysError */
export function attachmentFaults(audit: AttachmentAudit): Fault[] {
  return [...missingPrograms(audit), ...doubledPrograms(audit)];
}

function missingPrograms({ attachments, wanted }: AttachmentAudit): Fault[] {
  const attached = new Map(
    attachments.list().map((
      { ifindex, direction, programId },
    ) => [`${ifindex} ${direction}`, programId]),
  );
  return wanted.flatMap((ifindex) => {
    const name = interfaceNameOf(ifindex);
    if (name === undefined) return [];
    return DIRECTIONS.flatMap((direction): Fault[] => {
      const found = attached.get(`${ifindex} ${direction}`);
      const id = attachments.programId(direction);
      if (found === id) return [];
      return [{
        kind: "program",
        object: `${name} ${direction}`,
        expected: `program ${id} (${attachments.mode})`,
        found: found === undefined ? "no program" : `program ${found}`,
        remedy: "--fix attaches it",
        repair: () => attachments.attach(name, direction),
      }];
    });
  });
}

/** A dataplane that ran with the other way to attach leaves its own on hooks. */
function doubledPrograms({ attachments, pinDir, interfaces }: AttachmentAudit): Fault[] {
  const ours = pinnedProgramIds(pinDir);
  const hasLink = (ifindex: number, direction: Direction) => {
    using link = openLink(linkPin(pinDir, ifindex, direction));
    return link?.info().ifindex === ifindex;
  };
  return interfaces.flatMap((ifindex) => {
    const name = interfaceNameOf(ifindex);
    if (name === undefined) return [];
    return DIRECTIONS.flatMap((direction): Fault[] => {
      const fault = (mode: string, repair: () => void): Fault => ({
        kind: "program",
        object: `${name} ${direction}`,
        expected: `one program, by ${attachments.mode}`,
        found: `a second one, by ${mode}`,
        remedy: "--fix takes the second one off",
        repair,
      });
      if (attachments.mode === "tcx") {
        const id = queryFilter(ifindex, direction);
        // A new pod's program comes by a filter first, and moves to TCX when nobody waits.
        if (id === undefined || !ours.has(id) || !hasLink(ifindex, direction)) return [];
        return [fault("clsact", () => void detachClsact(ifindex, direction))];
      }
      if (!hasLink(ifindex, direction)) return [];
      return [fault("tcx", () => detachPinned(linkPin(pinDir, ifindex, direction)))];
    });
  });
}

function detachPinned(path: string): void {
  using link = openLink(path);
  link?.detach();
  unlink(path);
}
