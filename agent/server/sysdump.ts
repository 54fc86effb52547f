import { RtnetlinkSocket } from "../../shared/netlink/mod.ts";
import { versionLine } from "../../shared/version.ts";
import { configToJson } from "../config/mod.ts";
import { formatProblem } from "../policy/mod.ts";
import type { AgentParts } from "./parts.ts";
import { agentStatus, dataplaneStatus } from "./status.ts";

/** Bytes of a file in one message. */
const CHUNK_BYTES = 1 << 20;
const SECRET_KEY = /secret|token|password|private/i;

/** One message of GetSysdump. */
export interface DumpFile {
  readonly name: string;
  readonly data: Uint8Array;
}

type Section = readonly [name: string, content: () => unknown];

/** The files of a report for bug hunting. A part that fails is a file that says why. */
export async function* sysdump(parts: AgentParts): AsyncGenerator<DumpFile> {
  for (const [name, content] of sections(parts)) {
    let text: string;
    try {
      text = toText(await content());
    } catch (error) {
      text = `${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}\n`;
    }
    const bytes = new TextEncoder().encode(text);
    for (let offset = 0; offset === 0 || offset < bytes.length; offset += CHUNK_BYTES) {
      yield { name, data: bytes.subarray(offset, offset + CHUNK_BYTES) };
    }
  }
}

function sections(parts: AgentParts): Section[] {
  const { config, registry, enforcer } = parts;
  return [
    ["version.txt", () => `${versionLine("novanet-agent")}\n`],
    ["agent/status.json", () => agentStatus(parts)],
    ["agent/config.json", () => configToJson(config)],
    ["agent/pods.json", () => registry.list()],
    ["agent/identities.json", () => registry.identities()],
    ["agent/addresses.json", () => registry.addresses],
    ["agent/doctor.json", () => parts.inspect({ repair: false })],
    ["agent/policies.json", () => enforcer.desired],
    [
      "agent/manifests.json",
      () => ({
        policies: [...enforcer.snapshot.policies.values()],
        pods: [...enforcer.snapshot.pods.values()],
        namespaces: [...enforcer.snapshot.namespaces.values()],
        errors: enforcer.snapshot.errors.map(formatProblem),
        held: enforcer.snapshot.held,
        missing: enforcer.snapshot.missing,
      }),
    ],
    ["dataplane/status.json", () => dataplaneStatus(parts)],
    ["dataplane/endpoints.json", () => parts.link.callNow((calls) => calls.ext.listEndpoints({}))],
    [
      "dataplane/policies.json",
      () => parts.link.callNow((calls) => calls.ext.listPolicyEntries({})),
    ],
    ["kernel/links.json", () => withRtnetlink((socket) => socket.linkList())],
    ["kernel/addresses.json", () => withRtnetlink((socket) => socket.addrList())],
    ["kernel/routes.json", () => withRtnetlink((socket) => socket.routeList())],
    ["kernel/neighbours.json", () => withRtnetlink((socket) => socket.neighList())],
    ["kernel/release.txt", () => `${Deno.osRelease()}\n`],
  ];
}

function withRtnetlink<T>(read: (socket: RtnetlinkSocket) => T): T {
  using socket = RtnetlinkSocket.openIn();
  return read(socket);
}

function toText(content: unknown): string {
  if (typeof content === "string") return content;
  if (content === undefined) return "not available\n";
  return `${JSON.stringify(content, readable, 2)}\n`;
}

function readable(key: string, value: unknown): unknown {
  if (SECRET_KEY.test(key)) return "[redacted]";
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Uint8Array) return value.toHex();
  if (value instanceof Map) return Object.fromEntries(value);
  return value;
}
