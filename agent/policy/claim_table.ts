/** Who claims what, and whether anything is claimed twice. */
export class ClaimTable {
  readonly #claimants = new Map<string, Set<string>>();
  readonly #claims = new Map<string, readonly string[]>();
  readonly #contested = new Set<string>();

  /** Whether two claim one thing. */
  get isContested(): boolean {
    return this.#contested.size > 0;
  }

  /** Replaces the claims of one claimant. @param keys without repeats. */
  set(claimant: string, keys: readonly string[]): void {
    for (const key of this.#claims.get(claimant) ?? []) {
      const claimants = this.#claimants.get(key);
      claimants?.delete(claimant);
      if (claimants?.size === 0) this.#claimants.delete(key);
      if ((claimants?.size ?? 0) < 2) this.#contested.delete(key);
    }
    if (keys.length === 0) this.#claims.delete(claimant);
    else this.#claims.set(claimant, keys);
    for (const key of keys) {
      const claimants = this.#claimants.get(key);
      if (claimants === undefined) this.#claimants.set(key, new Set([claimant]));
      else if (claimants.add(claimant).size > 1) this.#contested.add(key);
    }
  }
}
