import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import { getLogger } from "../../shared/log.ts";
import { Ipv4, Mac } from "../../shared/net/mod.ts";
import { labelKey, type Labels } from "../identity/mod.ts";
import type { Attachment, AttachmentKey } from "./attachment.ts";
import { beginTransaction, endTransaction, openDatabase } from "./database.ts";
import { StateLock } from "./state_lock.ts";

const log = getLogger("agent/state");

type Row = Record<string, SQLOutputValue>;

/** A label set and its number, as stored. */
export interface StoredIdentity {
  readonly id: number;
  readonly labels: Labels;
}

/**
 * The agent's durable state. Each method is one transaction, which outlives the process when it returns;
 * `transaction` makes one of several.
 */
export class Store implements Disposable {
  readonly #path: string;
  readonly #lock: StateLock;
  #db: DatabaseSync;

  private constructor(path: string, lock: StateLock) {
    this.#path = path;
    this.#lock = lock;
    this.#db = openDatabase(path);
  }

  /**
   * Opens (or makes) the state in a directory, for this process alone.
   * @throws {StateLockedError} when another agent has it
   * @throws {SchemaVersionError} when a newer agent wrote it
   */
  static open(dir: string): Store {
    Deno.mkdirSync(dir, { recursive: true, mode: 0o750 });
    const lock = StateLock.acquire(dir);
    try {
      return new Store(`${dir}/agent.db`, lock);
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
  }

  /** Closes the database and lets go of the directory; again is nothing. */
  [Symbol.dispose](): void {
    if (!this.#db.isOpen) return;
    this.#db.close();
    this.#lock[Symbol.dispose]();
  }

  /** Runs several changes as one: all of them are stored, or none. */
  transaction<T>(work: () => T): T {
    if (this.#db.isTransaction) return work();
    this.#begin();
    return endTransaction(this.#db, work);
  }

  /** Stores a new attachment and takes its address. */
  insertAttachment(attachment: Attachment, identityId: number): void {
    this.transaction(() => {
      this.#run(
        `INSERT INTO addresses (ip, state) VALUES (?, 'used')
         ON CONFLICT (ip) DO UPDATE SET state = 'used', released_unix_ms = NULL
         WHERE state = 'resting'`,
        attachment.ip.value,
      );
      this.saveIdentity(attachment.identityLabels, identityId);
      this.#run(
        `INSERT INTO attachments (container_id, if_name, pod_namespace, pod_name, netns, netns_id,
           ip, mac, gateway, prefix_len, mtu, host_if_name, host_ifindex, labels, identity_key, state,
           created_unix_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        attachment.containerId,
        attachment.ifName,
        attachment.podNamespace,
        attachment.podName,
        attachment.netns,
        attachment.netnsId,
        attachment.ip.value,
        attachment.mac.toString(),
        attachment.gateway.value,
        attachment.prefixLen,
        attachment.mtu,
        attachment.hostIfName,
        attachment.hostIfindex,
        JSON.stringify(attachment.labels),
        labelKey(attachment.identityLabels),
        attachment.state,
        attachment.createdUnixMs,
      );
    });
  }

  /** Stores what of an attachment can change: state, host interface, namespace, identity. */
  updateAttachment(attachment: Attachment): void {
    this.#run(
      `UPDATE attachments SET state = ?, host_ifindex = ?, netns = ?, netns_id = ?, identity_key = ?
       WHERE container_id = ? AND if_name = ?`,
      attachment.state,
      attachment.hostIfindex,
      attachment.netns,
      attachment.netnsId,
      labelKey(attachment.identityLabels),
      attachment.containerId,
      attachment.ifName,
    );
  }

  /**
   * Forgets an attachment and gives its address back.
   * @param releasedUnixMs when it was released, or undefined for an address that need not rest
   */
  deleteAttachment(key: AttachmentKey, ip: Ipv4, releasedUnixMs: number | undefined): void {
    this.transaction(() => {
      this.#run(
        "DELETE FROM attachments WHERE container_id = ? AND if_name = ?",
        key.containerId,
        key.ifName,
      );
      if (releasedUnixMs === undefined) this.#run("DELETE FROM addresses WHERE ip = ?", ip.value);
      else {
        this.#run(
          "UPDATE addresses SET state = 'resting', released_unix_ms = ? WHERE ip = ?",
          releasedUnixMs,
          ip.value,
        );
      }
    });
  }

  /** All attachments, oldest first. */
  attachments(): Attachment[] {
    return this.#all(
      `SELECT a.*, i.labels AS identity_labels FROM attachments a
       JOIN identities i ON i.key = a.identity_key ORDER BY created_unix_ms, container_id, if_name`,
    ).map(readAttachment);
  }

  /** Addresses that rest, as numbers, and when they were released (Unix, milliseconds). */
  restingAddresses(): [ip: number, releasedUnixMs: number][] {
    return this.#all("SELECT ip, released_unix_ms FROM addresses WHERE state = 'resting'")
      .map((row) => [integer(row, "ip"), integer(row, "released_unix_ms")]);
  }

  /** Forgets addresses that were released before a time: they have rested. */
  forgetRested(beforeUnixMs: number): void {
    this.#run(
      "DELETE FROM addresses WHERE state = 'resting' AND released_unix_ms < ?",
      beforeUnixMs,
    );
  }

  /** Addresses that are marked as used, as numbers. */
  usedAddresses(): number[] {
    return this.#all("SELECT ip FROM addresses WHERE state = 'used' ORDER BY ip")
      .map((row) => integer(row, "ip"));
  }

  /** Forgets an address that no attachment has. */
  forgetAddress(ip: number): void {
    this.#run(
      "DELETE FROM addresses WHERE ip = ? AND ip NOT IN (SELECT ip FROM attachments)",
      ip,
    );
  }

  /** Stores an attachment, its address and its identity anew, whatever is left of them. */
  restoreAttachment(attachment: Attachment, identityId: number): void {
    this.transaction(() => {
      this.deleteAttachment(attachment, attachment.ip, undefined);
      this.insertAttachment(attachment, identityId);
    });
  }

  /** Stores a label set's number. */
  saveIdentity(labels: Labels, id: number): void {
    this.#run(
      `INSERT INTO identities (key, id, labels) VALUES (?, ?, ?)
       ON CONFLICT (key) DO UPDATE SET id = excluded.id`,
      labelKey(labels),
      id,
      JSON.stringify(labels),
    );
  }

  /** Forgets label sets that no attachment has. */
  forgetUnusedIdentities(): void {
    this.#run("DELETE FROM identities WHERE key NOT IN (SELECT identity_key FROM attachments)");
  }

  /** All stored label sets and their numbers. */
  identities(): StoredIdentity[] {
    return this.#all("SELECT id, labels FROM identities ORDER BY id")
      .map((row) => ({ id: integer(row, "id"), labels: parseLabels(row, "labels") }));
  }

  /** Names of policy rules that have a number. */
  rules(): [id: number, name: string][] {
    return this.#all("SELECT id, name FROM rules ORDER BY id")
      .map((row) => [integer(row, "id"), text(row, "name")]);
  }

  /** Stores a policy rule's number. */
  saveRule(id: number, name: string): void {
    this.#run("INSERT OR REPLACE INTO rules (id, name) VALUES (?, ?)", id, name);
  }

  /** Forgets a policy rule's number. */
  forgetRule(name: string): void {
    this.#run("DELETE FROM rules WHERE name = ?", name);
  }

  /** The last valid text of a manifest file. */
  manifest(file: string): string | undefined {
    const row = this.#db.prepare("SELECT text FROM manifests WHERE file = ?").get(file);
    return row === undefined ? undefined : text(row, "text");
  }

  /** Manifest files that have a valid text. */
  manifestFiles(): string[] {
    return this.#all("SELECT file FROM manifests ORDER BY file").map((row) => text(row, "file"));
  }

  /** Stores the last valid text of a manifest file. */
  saveManifest(file: string, content: string): void {
    this.#run("INSERT OR REPLACE INTO manifests (file, text) VALUES (?, ?)", file, content);
  }

  /** Forgets a manifest file. */
  forgetManifest(file: string): void {
    this.#run("DELETE FROM manifests WHERE file = ?", file);
  }

  #run(sql: string, ...values: (string | number)[]): void {
    this.transaction(() => this.#db.prepare(sql).run(...values));
  }

  /** A lock that the kernel would not take back, as on a network's file system, stays with the connection. */
  #begin(): void {
    try {
      beginTransaction(this.#db);
    } catch (error) {
      log.warn("opening the database anew", { error });
      // What two connections of a process have of a lock they share: the old one goes first.
      if (this.#db.isOpen) this.#db.close();
      this.#db = openDatabase(this.#path);
      beginTransaction(this.#db);
    }
  }

  #all(sql: string): Row[] {
    return this.#db.prepare(sql).all();
  }
}

function readAttachment(row: Row): Attachment {
  return {
    containerId: text(row, "container_id"),
    ifName: text(row, "if_name"),
    podNamespace: text(row, "pod_namespace"),
    podName: text(row, "pod_name"),
    netns: text(row, "netns"),
    netnsId: text(row, "netns_id"),
    ip: Ipv4.fromU32(integer(row, "ip")),
    mac: Mac.parse(text(row, "mac")),
    gateway: Ipv4.fromU32(integer(row, "gateway")),
    prefixLen: integer(row, "prefix_len"),
    mtu: integer(row, "mtu"),
    hostIfName: text(row, "host_if_name"),
    hostIfindex: integer(row, "host_ifindex"),
    labels: parseLabels(row, "labels"),
    identityLabels: parseLabels(row, "identity_labels"),
    state: text(row, "state") as Attachment["state"],
    createdUnixMs: integer(row, "created_unix_ms"),
  };
}

function text(row: Row, column: string): string {
  return String(row[column]);
}

function integer(row: Row, column: string): number {
  return Number(row[column]);
}

function parseLabels(row: Row, column: string): Labels {
  return JSON.parse(text(row, column)) as Labels;
}
