import { Cidr, NetParseError } from "../../../shared/net/mod.ts";
import type { Fields } from "./fields.ts";
import { type Ipv6Cidr, isStrictlyInsideIpv6, parseIpv6Cidr } from "./ipv6_cidr.ts";
import type { BlockPeer, Ipv6Peer } from "./types.ts";

interface Place {
  readonly line: number;
  readonly path: string;
}

/**
 * Reads an ipBlock. As with the API server, bits beyond the prefix are tolerated (and masked, with
 * a warning), `except` must be strictly inside `cidr`, and both are of one family.
 */
export function readIpBlock(block: Fields): BlockPeer | Ipv6Peer | undefined {
  block.refuseUnknown(["cidr", "except"]);
  const except = block.strings("except") ?? [];
  const text = block.string("cidr");
  if (text === undefined || text === "") {
    block.error("cidr", text, "required");
    return undefined;
  }
  const place = { line: block.lineOf("cidr"), path: block.at("cidr") };
  const ipv6 = parseIpv6Cidr(text);
  if (ipv6 !== undefined) {
    for (const item of except) checkIpv6Except(block, item, ipv6, text);
    const reason = "an IPv6 block matches nothing: NovaNet carries IPv4 only so far";
    block.problems.warn(place.line, place.path, text, reason);
    return { kind: "ipv6", cidr: text };
  }
  const cidr = readCidr(block, text, place);
  if (cidr === undefined) return undefined;
  const excepted: Cidr[] = [];
  for (const item of except) {
    const inner = readCidr(block, item.value, item);
    if (inner === undefined) continue;
    if (inner.prefixLen > cidr.prefixLen && cidr.contains(inner)) excepted.push(inner);
    else refuseExcept(block, item.value, item, text);
  }
  return { kind: "block", cidr, except: excepted };
}

function checkIpv6Except(
  block: Fields,
  item: Place & { value: string },
  outer: Ipv6Cidr,
  outerText: string,
): void {
  const inner = parseIpv6Cidr(item.value);
  if (inner === undefined) {
    block.problems.error(item.line, item.path, item.value, "expected an IPv6 CIDR, as in cidr");
  } else if (!isStrictlyInsideIpv6(inner, outer)) {
    refuseExcept(block, item.value, item, outerText);
  }
}

function refuseExcept(block: Fields, value: string, place: Place, outer: string): void {
  const reason = `it must be inside cidr ${outer} and smaller`;
  block.problems.error(place.line, place.path, value, reason);
}

function readCidr(block: Fields, text: string, place: Place): Cidr | undefined {
  try {
    const { host, cidr } = Cidr.parseHost(text);
    if (!host.equals(cidr.address)) {
      const reason = `bits beyond the prefix are ignored: it means ${cidr}`;
      block.problems.warn(place.line, place.path, text, reason);
    }
    return cidr;
  } catch (error) {
    if (!(error instanceof NetParseError)) throw error;
    block.problems.error(place.line, place.path, text, error.why);
    return undefined;
  }
}
