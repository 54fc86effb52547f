/**
 * The syntax rules of the Kubernetes API (apimachinery's validation, as its documentation words
 * them). Each function returns why a value is wrong, or undefined when it is right.
 */

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const NAME_PART = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;

/** A DNS-1123 label, as namespaces are named. */
export function dnsLabelFault(value: string): string | undefined {
  if (value.length > 63) return "it is longer than 63 characters";
  if (DNS_LABEL.test(value)) return undefined;
  return "expected a DNS-1123 label: a-z, 0-9 and '-', first and last a letter or digit";
}

/** A DNS-1123 subdomain, as pods and policies are named. */
export function dnsSubdomainFault(value: string): string | undefined {
  if (value.length > 253) return "it is longer than 253 characters";
  if (DNS_SUBDOMAIN.test(value)) return undefined;
  return "expected a DNS-1123 subdomain: labels of a-z, 0-9 and '-', joined by '.'";
}

/** A label key: `[prefix/]name`. */
export function labelKeyFault(key: string): string | undefined {
  const parts = key.split("/");
  const name = parts.at(-1) ?? "";
  if (parts.length > 2) return "a label key has at most one '/'";
  const prefix = parts.length === 2 ? parts[0] ?? "" : undefined;
  const prefixFault = prefix === undefined ? undefined : dnsSubdomainFault(prefix);
  if (prefixFault !== undefined) return `prefix of the label key: ${prefixFault}`;
  if (name.length > 63) return "the name part of the label key is longer than 63 characters";
  if (NAME_PART.test(name)) return undefined;
  return "a label key's name is A-Z, a-z, 0-9, '-', '_' and '.', first and last a letter or digit";
}

/** A label value; empty is one. */
export function labelValueFault(value: string): string | undefined {
  if (value.length > 63) return "a label value has at most 63 characters";
  if (value === "" || NAME_PART.test(value)) return undefined;
  return "a label value is A-Z, a-z, 0-9, '-', '_' and '.', first and last a letter or digit";
}

/** An IANA_SVC_NAME (RFC 6335), as container ports are named. */
export function portNameFault(name: string): string | undefined {
  if (name.length > 15) return "a port name has at most 15 characters";
  if (!/^[-a-z0-9]+$/.test(name)) return "a port name is a-z, 0-9 and '-'";
  if (!/[a-z]/.test(name)) {
    return "a port name has at least one letter (a port number is written without quotes)";
  }
  if (name.includes("--")) return "a port name has no '--'";
  if (name.startsWith("-") || name.endsWith("-")) {
    return "a port name starts and ends with a letter or digit";
  }
  return undefined;
}

/** A port number. */
export function portNumberFault(port: number): string | undefined {
  if (Number.isInteger(port) && port >= 1 && port <= 65535) return undefined;
  return "a port is an integer from 1 to 65535";
}
