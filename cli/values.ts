import { message, text } from "@optique/core/message";
import type { NonEmptyString } from "@optique/core/nonempty";
import type { ValueParser } from "@optique/core/valueparser";
import { Cidr } from "../shared/net/cidr.ts";
import { Ipv4 } from "../shared/net/ipv4.ts";
import { ipProtocolName, ipProtocolNumber } from "../shared/net/ip_protocol.ts";

/** A name of a pod, perhaps with its namespace. */
export interface PodRef {
  /** `undefined` when only the name was given. */
  readonly namespace: string | undefined;
  readonly name: string;
}

const NAME = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/;

/** Parses an IPv4 address or CIDR; an address is a CIDR of 32 bits. */
export function address(): ValueParser<"sync", Cidr> {
  return valueParser("IP|CIDR", Cidr.parse("0.0.0.0/0"), String, (input) => {
    return input.includes("/") ? Cidr.parse(input) : Cidr.parse(`${Ipv4.parse(input)}/32`);
  });
}

/** Parses `NAME` or `NAMESPACE/NAME`. */
export function podRef(): ValueParser<"sync", PodRef> {
  const format = ({ namespace, name }: PodRef) =>
    namespace === undefined ? name : `${namespace}/${name}`;
  return valueParser("POD", { namespace: undefined, name: "pod" }, format, (input) => {
    const [first = "", second, ...more] = input.split("/");
    const name = second ?? first;
    const namespace = second === undefined ? undefined : first;
    const good = more.length === 0 && NAME.test(name) &&
      (namespace === undefined || NAME.test(namespace));
    if (good) return { namespace, name };
    throw new Error(`Cannot parse pod ${JSON.stringify(input)}: expected NAME or NAMESPACE/NAME`);
  });
}

/** Parses one end of a packet, which stays text: a pod's name, an IPv4 address, or `node`. */
export function traceEnd(): ValueParser<"sync", string> {
  return valueParser("POD|IP", "pod", String, (input) => {
    if (/^[0-9.]+$/.test(input)) return Ipv4.parse(input).toString();
    if (/^[0-9.]+\/[0-9]+$/.test(input)) {
      throw new Error(`Cannot parse ${JSON.stringify(input)}: a CIDR is no end, give one address`);
    }
    const parts = input.split("/");
    if (parts.length <= 2 && parts.every((part) => NAME.test(part))) return input;
    const why = "expected NAME, NAMESPACE/NAME, an IPv4 address or node";
    throw new Error(`Cannot parse ${JSON.stringify(input)}: ${why}`);
  });
}

/** Parses the name of a namespace. */
export function namespaceName(): ValueParser<"sync", string> {
  return valueParser("NAMESPACE", "default", String, (input) => {
    if (NAME.test(input)) return input;
    throw new Error(`Cannot parse namespace ${JSON.stringify(input)}: expected a name like shop`);
  });
}

/** Parses the name of an IP protocol, or its number. @param min the least number */
export function protocol(min: 0 | 1): ValueParser<"sync", number> {
  const format = (number: number) => ipProtocolName(number).toLowerCase();
  return valueParser("PROTOCOL", 6, format, (input) => {
    const number = ipProtocolNumber(input);
    if (number !== undefined && number >= min) return number;
    const why = `expected tcp, udp, sctp, icmp or a number from ${min} to 255`;
    throw new Error(`Cannot parse protocol ${JSON.stringify(input)}: ${why}`);
  });
}

/** Parses a whole number. */
export function wholeNumber(
  metavar: NonEmptyString,
  min: number,
  max: number,
): ValueParser<"sync", number> {
  return valueParser(metavar, min, String, (input) => {
    const number = /^-?\d+$/.test(input) ? Number(input) : NaN;
    if (number >= min && number <= max) return number;
    const why = `expected a whole number from ${min} to ${max}`;
    throw new Error(`Cannot parse ${JSON.stringify(input)}: ${why}`);
  });
}

/** A value parser from a function that throws. */
function valueParser<T>(
  metavar: NonEmptyString,
  placeholder: T,
  format: (value: T) => string,
  parse: (input: string) => T,
): ValueParser<"sync", T> {
  return {
    mode: "sync",
    metavar,
    placeholder,
    format,
    parse(input) {
      try {
        return { success: true, value: parse(input) };
      } catch (thrown) {
        const why = thrown instanceof Error ? thrown.message : String(thrown);
        return { success: false, error: message`${text(why)}` };
      }
    },
  };
}
