/** AttachProgram and DetachProgram. */

import type { DataplaneExt } from "../../shared/gen/novanet/ext/v1/ext_pb.ts";
import { AttachType, type DataplaneControl } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { getLogger } from "../../shared/log.ts";
import { invalidArgument } from "../../shared/rpc/errors.ts";
import type { ServiceImpl } from "../../shared/rpc/server.ts";
import type { Direction } from "../programs/attachments.ts";
import type { Dataplane } from "./dataplane.ts";

/** IFNAMSIZ without the zero at the end. */
const LONGEST_NAME = 15;
const log = getLogger("dataplane/programs");

interface HookRequest {
  readonly interfaceName: string;
  readonly attachType: AttachType;
}

/** The handlers of AttachProgram and DetachProgram. */
export function programHandlers({ attachments }: Dataplane): ServiceImpl<typeof DataplaneControl> {
  return {
    async attachProgram(request: HookRequest & { readonly quick: boolean }) {
      const { interfaceName, direction } = parseHook(request);
      const { quick } = request;
      await attachments.attach(interfaceName, direction, quick);
      log.debug("attached", { interface: interfaceName, direction, quick });
      return {};
    },
    async detachProgram(request: HookRequest) {
      const { interfaceName, direction } = parseHook(request);
      const known = await attachments.detach(interfaceName, direction);
      log.debug("detached", { interface: interfaceName, direction, known });
      return {};
    },
  };
}

/** ForgetInterfaces. */
export function forgetInterfaces({ attachments }: Dataplane): ServiceImpl<typeof DataplaneExt> {
  return {
    async forgetInterfaces() {
      await attachments.forgetGone();
      return {};
    },
  };
}

function parseHook(
  { interfaceName, attachType }: HookRequest,
): { interfaceName: string; direction: Direction } {
  const length = new TextEncoder().encode(interfaceName).length;
  if (length === 0 || length > LONGEST_NAME) {
    throw invalidArgument("interface_name", interfaceName, `must be 1 to ${LONGEST_NAME} bytes`);
  }
  // What the kernel takes as a name (dev_valid_name).
  if (interfaceName === "." || interfaceName === ".." || /[\s/:\0]/.test(interfaceName)) {
    throw invalidArgument("interface_name", interfaceName, "is no name of an interface");
  }
  switch (attachType) {
    case AttachType.ATTACH_TC_INGRESS:
      return { interfaceName, direction: "ingress" };
    case AttachType.ATTACH_TC_EGRESS:
      return { interfaceName, direction: "egress" };
    default:
      throw invalidArgument("attach_type", attachType, "must be 0 (ingress) or 1 (egress)");
  }
}
