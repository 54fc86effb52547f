import type { ManifestFile } from "./objects/manifest.ts";
import { ManifestReader } from "./objects/manifest_reader.ts";
import type { ManifestProblem } from "./objects/problem.ts";
import { type ManifestObject, objectKey } from "./objects/types.ts";
import { fingerprint, groupObjects, type PolicyObjects, replaceObjects } from "./snapshot.ts";

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

/** Which files have which objects. */
class Holders {
  readonly #keysOf = new Map<string, ReadonlySet<string>>();
  readonly #counts = new Map<string, number>();
  #contested = 0;

  /** Whether more than one file has the same object. */
  get contested(): boolean {
    return this.#contested > 0;
  }

  /** Says what a file has; nothing: it is gone. */
  set(file: string, objects: readonly ManifestObject[]): void {
    for (const key of this.#keysOf.get(file) ?? []) {
      const count = (this.#counts.get(key) ?? 0) - 1;
      if (count === 1) this.#contested--;
      if (count > 0) this.#counts.set(key, count);
      else this.#counts.delete(key);
    }
    const keys = new Set(objects.map(objectKey));
    for (const key of keys) {
      const count = (this.#counts.get(key) ?? 0) + 1;
      if (count === 2) this.#contested++;
      this.#counts.set(key, count);
    }
    if (keys.size > 0) this.#keysOf.set(file, keys);
    else this.#keysOf.delete(file);
  }
}

/** The objects in force, put together file by file. */
class ObjectsInForce {
  readonly #ofFile = new Map<string, readonly ManifestObject[]>();
  #current: PolicyObjects = groupObjects([]);

  get current(): PolicyObjects {
    return this.#current;
  }

  /** Says what is in force of some files, once each or more often. */
  replace(files: readonly (readonly [file: string, objects: readonly ManifestObject[]])[]): void {
    const changed = files.filter(([file, now]) => (this.#ofFile.get(file) ?? []) !== now);
    if (changed.length === 0) return;
    const gone = changed.flatMap(([file]) => this.#ofFile.get(file) ?? []);
    for (const [file, now] of changed) {
      if (now.length > 0) this.#ofFile.set(file, now);
      else this.#ofFile.delete(file);
    }
    this.#current = replaceObjects(this.#current, gone, changed.flatMap(([, now]) => now));
  }
}

/** One file as the store knows it. */
interface FileState {
  readonly reader: ManifestReader;
  /** The latest contents; objects empty when invalid. */
  latest: ManifestFile;
  /** The latest text until it is in force. */
  text: string | undefined;
  /** What is in force of the file; undefined when nothing was valid ever. */
  inForce: readonly ManifestObject[] | undefined;
  /** Whether the latest contents are not what is in force. */
  isOut: boolean;
}

/** What the files ask for, before it is known whether they contradict each other. */
type Claims = Map<string, readonly ManifestObject[]>;

/**
 * Turns the texts of a folder's files into snapshots. A file counts whole or not at all: while its
 * latest text is invalid, or holds an object that another file has, its last valid text stays in
 * force. Pure, apart from the LastGoodTexts it is given.
 */
export class ManifestStore {
  readonly #files = new Map<string, FileState>();
  readonly #lastGood: LastGoodTexts | undefined;
  /** Which files hold an object, or held it while they were valid. */
  readonly #holders = new Holders();
  /** Files about which something was noted since the last snapshot. */
  readonly #noted = new Set<string>();
  /** Files of which there is something to say. */
  readonly #troubled = new Set<string>();
  readonly #objects = new ObjectsInForce();
  /** Whether files contradicted each other at the last snapshot. */
  #contradicted = false;
  #folderErrors: readonly ManifestProblem[] = [];

  constructor(lastGood?: LastGoodTexts) {
    this.#lastGood = lastGood;
  }

  /** Notes a file's contents. */
  setFile(file: string, text: string): void {
    const state = this.#state(file);
    const latest = state.reader.read(text);
    state.latest = { ...latest, objects: reuse(latest.objects, state.inForce ?? []) };
    state.text = text;
    this.#note(file);
  }

  /** Notes that a file cannot be read; its last valid contents stay. */
  setUnreadable(file: string, reason: string): void {
    const problem = { file, line: 0, path: "", value: undefined, reason };
    this.#state(file).latest = { objects: [], errors: [problem], warnings: [] };
    this.#note(file);
  }

  /** Notes that a file is gone, and its objects with it. */
  removeFile(file: string): void {
    this.#files.delete(file);
    this.#lastGood?.delete(file);
    this.#note(file);
  }

  /** The files that are known now or were in an earlier life. */
  files(): string[] {
    return [...new Set([...this.#files.keys(), ...this.#lastGood?.files() ?? []])];
  }

  /** Notes what is wrong with the folder as a whole; replaces what was noted before. */
  setFolderErrors(errors: readonly ManifestProblem[]): void {
    this.#folderErrors = errors;
  }

  /** Works out what is in force now, from what was noted since the last time. */
  snapshot(): ManifestSnapshot {
    const contradicts = this.#holders.contested || this.#contradicted;
    const looked = contradicts ? [...this.#files.keys(), ...this.#noted] : [...this.#noted];
    const repeats = contradicts ? this.#settle() : this.#acceptNoted();
    this.#contradicted = repeats.length > 0;
    this.#noted.clear();
    for (const file of looked) this.#conclude(file);
    this.#objects.replace(
      looked.map((file) => [file, this.#files.get(file)?.inForce ?? []]),
    );
    const errors = [...this.#folderErrors, ...repeats];
    const warnings: ManifestProblem[] = [];
    const held: string[] = [];
    const missing: string[] = [];
    for (const file of [...this.#troubled].sort()) {
      const { latest, inForce, isOut } = this.#state(file);
      errors.push(...latest.errors);
      if (isOut) (inForce === undefined ? missing : held).push(file);
      else warnings.push(...latest.warnings);
    }
    return Object.freeze({ ...this.#objects.current, errors, warnings, held, missing });
  }

  /** Nobody else has what these files hold. */
  #acceptNoted(): ManifestProblem[] {
    for (const file of this.#noted) {
      const state = this.#files.get(file);
      if (state?.latest.errors.length === 0) this.#accept(file, state);
      else if (state !== undefined) state.isOut = true;
    }
    return [];
  }

  /** Decides between files that hold the same objects. @returns what is wrong with those that lose */
  #settle(): ManifestProblem[] {
    const files = [...this.#files].sort(([a], [b]) => (a < b ? -1 : 1));
    const { claims, errors } = settle(files);
    for (const [file, state] of files) {
      const wins = claims.get(file) === state.latest.objects && state.latest.errors.length === 0;
      if (wins) this.#accept(file, state);
      else state.isOut = true;
    }
    return errors;
  }

  #note(file: string): void {
    this.#noted.add(file);
    const state = this.#files.get(file);
    this.#holders.set(file, [...state?.latest.objects ?? [], ...state?.inForce ?? []]);
  }

  #conclude(file: string): void {
    const state = this.#files.get(file);
    this.#holders.set(file, [...state?.latest.objects ?? [], ...state?.inForce ?? []]);
    const { errors = [], warnings = [] } = state?.latest ?? {};
    const isTroubled = state !== undefined && (errors.length + warnings.length > 0 || state.isOut);
    if (isTroubled) this.#troubled.add(file);
    else this.#troubled.delete(file);
  }

  #accept(file: string, state: FileState): void {
    state.inForce = state.latest.objects;
    state.isOut = false;
    if (state.text === undefined) return;
    this.#lastGood?.set(file, state.text);
    state.text = undefined;
  }

  #state(file: string): FileState {
    const known = this.#files.get(file);
    if (known !== undefined) return known;
    const text = this.#lastGood?.get(file);
    const reader = new ManifestReader(file);
    const earlier = text === undefined ? undefined : reader.read(text);
    const state: FileState = {
      reader,
      latest: { objects: [], errors: [], warnings: [] },
      text: undefined,
      inForce: earlier?.errors.length === 0 ? earlier.objects : undefined,
      isOut: false,
    };
    this.#files.set(file, state);
    return state;
  }
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
  const had = new Set(before);
  const has = new Set(now);
  const known = new Map(
    before.filter((object) => !has.has(object)).map((object) => [fingerprint(object), object]),
  );
  return now.map((object) => had.has(object) ? object : known.get(fingerprint(object)) ?? object);
}
