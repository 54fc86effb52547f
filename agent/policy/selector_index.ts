import type { LabelSelector, LabelSet } from "./objects/types.ts";

/** The scope of what may be in any namespace. */
export const ANYWHERE = "*";

/**
 * Where to look for what a selector selects: labels of which every selected thing has one. Without
 * an In requirement there is no such label.
 */
export function anchorsOf(selector: LabelSelector | undefined): string[] | undefined {
  let anchors: string[] | undefined;
  for (const { key, operator, values } of selector?.requirements ?? []) {
    if (operator !== "In" || (anchors !== undefined && anchors.length <= values.length)) continue;
    anchors = values.map((value) => labelText(key, value));
  }
  return anchors;
}

/** A label as anchors have it; no label key has this sign. */
export function labelText(key: string, value: string): string {
  return `${key}=${value}`;
}

/** Finds the items whose selectors may select some labels, without a look at all the others. */
export class SelectorIndex<T> {
  readonly #items = new Map<string, Set<T>>();

  /** @param scope a namespace, or {@linkcode ANYWHERE}. */
  add(scope: string, selector: LabelSelector | undefined, item: T): void {
    for (const key of keysOf(scope, selector)) {
      const items = this.#items.get(key);
      if (items === undefined) this.#items.set(key, new Set([item]));
      else items.add(item);
    }
  }

  /** Takes an item away that was added with the same scope and selector. */
  remove(scope: string, selector: LabelSelector | undefined, item: T): void {
    for (const key of keysOf(scope, selector)) {
      const items = this.#items.get(key);
      if (items?.delete(item) && items.size === 0) this.#items.delete(key);
    }
  }

  /** The items of a scope that may select these labels, and some that do not; each may come twice. */
  *candidates(scope: string, labels: LabelSet): Generator<T> {
    yield* this.#items.get(scope) ?? [];
    for (const [key, value] of labels) {
      yield* this.#items.get(`${scope} ${labelText(key, value)}`) ?? [];
    }
  }
}

function keysOf(scope: string, selector: LabelSelector | undefined): string[] {
  return anchorsOf(selector)?.map((anchor) => `${scope} ${anchor}`) ?? [scope];
}
