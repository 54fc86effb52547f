import { type ManifestFile, parseManifest } from "./objects/manifest.ts";
import type { ManifestProblem } from "./objects/problem.ts";
import { type ManifestObject, objectKey } from "./objects/types.ts";
import { ClaimTable } from "./claim_table.ts";
import { ObjectTable } from "./object_table.ts";
import { fingerprint, type PolicyObjects } from "./snapshot.ts";

/** The objects in force, and what is wrong with the files they come from. Immutable. */
export interface ManifestSnapshot extends PolicyObjects {
  /** Why files, or the folder, are not in force as they are. */
  readonly errors: readonly ManifestProblem[];
  /** What is in force but probably not meant so. */
  readonly warnings: readonly ManifestProblem[];
  /** Invalid files whose last valid contents are in force instead. */
  readonly held: readonly string[];
  /** Invalid files that were never valid: their objects are absent, policies among them too. */
  readonly missing: readonly string[];
}

/** Keeps the last valid text of each file over restarts of the process. All calls are synchronous. */
export interface LastGoodTexts {
  /** The files that have a text. */
  files(): Iterable<string>;
  get(file: string): string | undefined;
  set(file: string, text: string): void;
  delete(file: string): void;
}

/** One file as the store knows it. */
interface FileState {
  /** The latest contents; objects empty when invalid. */
  latest: ManifestFile;
  /** The latest text until it is in force. */
  text: string | undefined;
  /** What is in force of the file; undefined when nothing was valid ever. */
  inForce: readonly ManifestObject[] | undefined;
}

/** What the files ask for, before it is known whether they contradict each other. */
type Claims = Map<string, readonly ManifestObject[]>;

/**
 * Turns the texts of a folder's files into snapshots. A file counts whole or not at all: while its
 * latest text is invalid, or holds an object that another file has, its last valid text stays in
 * force. As long as no object stands in two files, a snapshot costs what changed since the last one.
 * Pure, apart from the LastGoodTexts it is given.
 */
export class ManifestStore {
  readonly #files = new Map<string, FileState>();
  readonly #lastGood: LastGoodTexts | undefined;
  readonly #objects = new ObjectTable();
  /** The objects that files hold, or want to, by objectKey. */
  readonly #claims = new ClaimTable();
  /** Files of which it is not decided yet what is in force. */
  readonly #undecided = new Set<string>();
  /** Files that have errors or warnings, or are not in force as they are. */
  readonly #notable = new Set<string>();
  #folderErrors: readonly ManifestProblem[] = [];

  constructor(lastGood?: LastGoodTexts) {
    this.#lastGood = lastGood;
  }

  /** Notes a file's contents. */
  setFile(file: string, text: string): void {
    const state = this.#state(file);
    const latest = parseManifest(file, text);
    state.latest = { ...latest, objects: reuse(latest.objects, state.inForce ?? []) };
    state.text = text;
    this.#touch(file, state);
  }

  /** Notes that a file cannot be read; its last valid contents stay. */
  setUnreadable(file: string, reason: string): void {
    const problem = { file, line: 0, path: "", value: undefined, reason };
    const state = this.#state(file);
    state.latest = { objects: [], errors: [problem], warnings: [] };
    this.#touch(file, state);
  }

  /** Notes that a file is gone, and its objects with it. */
  removeFile(file: string): void {
    for (const object of this.#files.get(file)?.inForce ?? []) this.#objects.remove(object);
    this.#files.delete(file);
    this.#claims.set(file, []);
    this.#undecided.delete(file);
    this.#notable.delete(file);
    this.#lastGood?.delete(file);
  }

  /** The files that are known now or were in an earlier life. */
  files(): string[] {
    return [...new Set([...this.#files.keys(), ...this.#lastGood?.files() ?? []])];
  }

  /** Notes what is wrong with the folder as a whole; replaces what was noted before. */
  setFolderErrors(errors: readonly ManifestProblem[]): void {
    this.#folderErrors = errors;
  }

  /** Works out what is in force now. */
  snapshot(): ManifestSnapshot {
    const errors = [...this.#folderErrors, ...this.#decide()];
    const warnings: ManifestProblem[] = [];
    const held: string[] = [];
    const missing: string[] = [];
    for (const file of [...this.#notable].sort()) {
      const { latest, inForce } = this.#files.get(file) as FileState;
      errors.push(...latest.errors);
      if (isAccepted(latest, inForce)) warnings.push(...latest.warnings);
      else (inForce === undefined ? missing : held).push(file);
    }
    return Object.freeze({ ...this.#objects.picture(), errors, warnings, held, missing });
  }

  /** Puts in force what can be. @returns what files have that others keep. */
  #decide(): ManifestProblem[] {
    if (!this.#claims.isContested) {
      for (const file of this.#undecided) {
        const state = this.#files.get(file) as FileState;
        if (state.latest.errors.length === 0) this.#accept(file, state);
        this.#note(file, state);
      }
      this.#undecided.clear();
      return [];
    }
    const files = [...this.#files].sort(([a], [b]) => (a < b ? -1 : 1));
    const { claims, errors } = settle(files);
    for (const [file, state] of files) {
      const isValid = state.latest.errors.length === 0;
      if (isValid && claims.get(file) === state.latest.objects) this.#accept(file, state);
      this.#note(file, state);
      // Who had to give way gets its turn when the other one is gone.
      if (!isValid || isAccepted(state.latest, state.inForce)) this.#undecided.delete(file);
      else this.#undecided.add(file);
    }
    return errors;
  }

  #accept(file: string, state: FileState): void {
    const before = state.inForce ?? [];
    state.inForce = state.latest.objects;
    const now = new Set(state.inForce);
    for (const object of before) if (!now.has(object)) this.#objects.remove(object);
    for (const object of now) this.#objects.put(object);
    this.#claims.set(file, keysOf(state.inForce));
    if (state.text === undefined) return;
    this.#lastGood?.set(file, state.text);
    state.text = undefined;
  }

  #note(file: string, { latest, inForce }: FileState): void {
    const isPlain = isAccepted(latest, inForce) && latest.warnings.length === 0;
    if (isPlain) this.#notable.delete(file);
    else this.#notable.add(file);
  }

  #touch(file: string, { latest, inForce = [] }: FileState): void {
    this.#undecided.add(file);
    this.#claims.set(file, keysOf([...latest.objects, ...inForce]));
  }

  #state(file: string): FileState {
    const known = this.#files.get(file);
    if (known !== undefined) return known;
    const text = this.#lastGood?.get(file);
    const earlier = text === undefined ? undefined : parseManifest(file, text);
    const state: FileState = {
      latest: { objects: [], errors: [], warnings: [] },
      text: undefined,
      inForce: earlier?.errors.length === 0 ? earlier.objects : undefined,
    };
    for (const object of state.inForce ?? []) this.#objects.put(object);
    this.#files.set(file, state);
    return state;
  }
}

function isAccepted(latest: ManifestFile, inForce: FileState["inForce"]): boolean {
  return latest.errors.length === 0 && inForce === latest.objects;
}

function keysOf(objects: readonly ManifestObject[]): string[] {
  return [...new Set(objects.map(objectKey))];
}

/**
 * Decides between files that hold the same object: the file that it is in force from keeps it, else
 * the first by name. A file that loses falls back to what is in force of it, which may decide against
 * yet another one.
 */
function settle(
  files: readonly (readonly [string, FileState])[],
): { claims: Claims; errors: ManifestProblem[] } {
  const holders = new Map<string, string>();
  const fallbacks = new Map<string, readonly ManifestObject[]>();
  const claims: Claims = new Map();
  for (const [file, { latest, inForce }] of files) {
    for (const object of inForce ?? []) holders.set(objectKey(object), file);
    fallbacks.set(file, inForce ?? []);
    claims.set(file, latest.errors.length === 0 ? latest.objects : inForce ?? []);
  }
  const errors: ManifestProblem[] = [];
  for (;;) {
    const lost = findRepeats(claims, holders);
    if (lost.size === 0) return { claims, errors };
    for (const [file, problem] of lost) {
      claims.set(file, fallbacks.get(file) ?? []);
      errors.push(problem);
    }
  }
}

/** @returns the files that must give way, each with the reason. */
function findRepeats(
  claims: Claims,
  holders: ReadonlyMap<string, string>,
): Map<string, ManifestProblem> {
  const first = new Map<string, ManifestObject>();
  const lost = new Map<string, ManifestProblem>();
  for (const objects of claims.values()) {
    for (const object of objects) {
      const key = objectKey(object);
      const other = first.get(key);
      if (other === undefined) {
        first.set(key, object);
        continue;
      }
      const keeps = holders.get(key) === object.source.file ? object : other;
      const loses = keeps === object ? other : object;
      first.set(key, keeps);
      const { file, line } = keeps.source;
      const reason = `the same object stands in ${file}:${line}, which keeps it`;
      lost.set(loses.source.file, {
        file: loses.source.file,
        line: loses.source.line,
        path: "metadata.name",
        value: JSON.stringify(key),
        reason,
      });
    }
  }
  return lost;
}

/** Objects that are as they were stay the same references, which makes differences cheap to find. */
function reuse(
  now: readonly ManifestObject[],
  before: readonly ManifestObject[],
): readonly ManifestObject[] {
  const known = new Map(before.map((object) => [fingerprint(object), object]));
  return now.map((object) => known.get(fingerprint(object)) ?? object);
}
