/** What is said of a list of measured values. */
export interface Summary {
  readonly median: number;
  readonly least: number;
  readonly most: number;
  /** How many values there were. */
  readonly count: number;
}

/**
 * The value below which `share` of the values lie, by linear interpolation between the two nearest.
 * @param share 0 to 1
 * @throws {RangeError} without values
 */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const position = (sorted.length - 1) * share;
  const below = sorted[Math.floor(position)];
  const above = sorted[Math.ceil(position)];
  if (below === undefined || above === undefined) throw new RangeError("no values");
  return below + (above - below) * (position - Math.floor(position));
}

/** The middle value. @throws {RangeError} without values */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Median and spread. @throws {RangeError} without values */
export function summarize(values: readonly number[]): Summary {
  return {
    median: median(values),
    least: Math.min(...values),
    most: Math.max(...values),
    count: values.length,
  };
}
