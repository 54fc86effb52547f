/** Label that puts a pod's namespace into its identity (wire/novanet.md section 11). */
export const NAMESPACE_LABEL = "novanet.io/namespace";

/** The label under which the identity of a CIDR is listed. */
export const CIDR_LABEL = "novanet.io/cidr";

/** Pod labels: name to value. */
export type Labels = Readonly<Record<string, string>>;

/**
 * Makes the filter for labels that take no part in identities.
 * @param excluded names; one that ends in `*` stands for any name with that beginning
 */
export function labelFilter(excluded: readonly string[]): (name: string) => boolean {
  const names = new Set(excluded.filter((name) => !name.endsWith("*")));
  const prefixes = excluded.filter((name) => name.endsWith("*")).map((name) => name.slice(0, -1));
  return (name) => !names.has(name) && !prefixes.some((prefix) => name.startsWith(prefix));
}

/**
 * The labels that a pod's identity stands for: its own that pass the filter, those that the policy
 * adds, and its namespace.
 * @param extra reserved labels, which win over the pod's own of the same name
 */
export function identityLabels(
  namespace: string,
  labels: Labels,
  extra: Labels,
  keep: (name: string) => boolean,
): Labels {
  const own = Object.entries(labels).filter(([name]) => keep(name));
  return sortLabels({ ...Object.fromEntries(own), ...extra, [NAMESPACE_LABEL]: namespace });
}

/**
 * The set's text: `name=value` sorted by name, joined by commas. Equal sets, equal texts, and the
 * other way round: separators inside names and values, which Kubernetes does not allow, are escaped.
 */
export function labelKey(labels: Labels): string {
  return Object.entries(sortLabels(labels))
    .map(([name, value]) => `${escape(name)}=${escape(value)}`).join(",");
}

function escape(text: string): string {
  return text.replace(/[%,=]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

function sortLabels(labels: Labels): Labels {
  return Object.fromEntries(
    Object.entries(labels).sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0),
  );
}
