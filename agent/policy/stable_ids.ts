/** Gives numbers to names; the compiler asks it for rule and CIDR ids. */
export interface IdAllocator {
  /** The number of a name, the same at every call until it is released as often. */
  acquire(name: string): number;
  /** Gives back one acquire. */
  release(name: string): void;
}

/** Options of `StableIds`. */
export interface StableIdsOptions {
  /** The first number to give. */
  readonly first: number;
  /** The last number to give; default 2^32 - 1. */
  readonly last?: number;
  /** Names with their numbers from an earlier life. */
  readonly known?: Iterable<readonly [name: string, id: number]>;
  /** How many released names keep their numbers for when they come back; default 16384. */
  readonly retain?: number;
  /** Called for every new assignment, before it is returned, so that it can be stored. */
  readonly onAssigned?: (name: string, id: number) => void;
  /** Called when a released name has lost its number. */
  readonly onForgotten?: (name: string, id: number) => void;
}

/** All numbers are given. */
export class IdsExhaustedError extends Error {
  override readonly name = "IdsExhaustedError";
  /** gRPC RESOURCE_EXHAUSTED. */
  readonly rpcCode = 8;

  constructor(readonly first: number, readonly last: number) {
    super(`Cannot assign an id: all of ${first} to ${last} are in use`);
  }
}

/**
 * Numbers that stay with their names. A number is not given to another name before the range is
 * used up, so that an old flow record never shows another rule's name. Bounded: of the names that
 * nobody holds only the latest keep their numbers.
 */
export class StableIds implements IdAllocator {
  readonly #first: number;
  readonly #last: number;
  readonly #retain: number;
  readonly #onAssigned: (name: string, id: number) => void;
  readonly #onForgotten: (name: string, id: number) => void;
  readonly #held = new Map<string, { id: number; holders: number }>();
  /** Oldest first. */
  readonly #released = new Map<string, number>();
  readonly #used = new Set<number>();
  #next: number;

  constructor(options: StableIdsOptions) {
    this.#first = options.first;
    this.#last = options.last ?? 0xffffffff;
    this.#retain = options.retain ?? 16384;
    this.#onAssigned = options.onAssigned ?? (() => {});
    this.#onForgotten = options.onForgotten ?? (() => {});
    this.#next = this.#first;
    for (const [name, id] of options.known ?? []) {
      this.#released.set(name, id);
      this.#used.add(id);
      if (id >= this.#next) this.#next = id + 1;
    }
  }

  /** @throws {IdsExhaustedError} */
  acquire(name: string): number {
    const held = this.#held.get(name);
    if (held !== undefined) {
      held.holders += 1;
      return held.id;
    }
    const known = this.#released.get(name);
    const id = known ?? this.#assign(name);
    this.#released.delete(name);
    this.#held.set(name, { id, holders: 1 });
    return id;
  }

  release(name: string): void {
    const held = this.#held.get(name);
    if (held === undefined) return;
    held.holders -= 1;
    if (held.holders > 0) return;
    this.#held.delete(name);
    this.#released.set(name, held.id);
    if (this.#released.size > this.#retain) this.#forgetOldest();
  }

  /** The number of a name that is held or remembered. */
  get(name: string): number | undefined {
    return this.#held.get(name)?.id ?? this.#released.get(name);
  }

  #assign(name: string): number {
    if (this.#used.size > this.#last - this.#first) {
      if (this.#released.size === 0) throw new IdsExhaustedError(this.#first, this.#last);
      this.#forgetOldest();
    }
    while (this.#next > this.#last || this.#used.has(this.#next)) {
      this.#next = this.#next >= this.#last ? this.#first : this.#next + 1;
    }
    const id = this.#next;
    this.#next += 1;
    this.#onAssigned(name, id);
    this.#used.add(id);
    return id;
  }

  #forgetOldest(): void {
    for (const [name, id] of this.#released) {
      this.#released.delete(name);
      this.#used.delete(id);
      this.#onForgotten(name, id);
      return;
    }
  }
}
