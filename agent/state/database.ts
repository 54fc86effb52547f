import { DatabaseSync } from "node:sqlite";

/** The database is of a newer agent than this one. */
export class SchemaVersionError extends Error {
  override readonly name = "SchemaVersionError";

  constructor(readonly path: string, readonly found: number, readonly known: number) {
    super(
      `Cannot use database ${JSON.stringify(path)}: schema ${found}, this agent knows ${known}`,
    );
  }
}

/**
 * One step for each schema version, oldest first. Steps are never edited once released: a change of
 * the schema is a new step.
 */
export const MIGRATIONS: readonly string[] = [
  `CREATE TABLE addresses (
     ip INTEGER PRIMARY KEY,
     state TEXT NOT NULL CHECK (state IN ('used', 'resting')),
     released_unix_ms INTEGER
   ) STRICT;
   CREATE TABLE identities (
     key TEXT PRIMARY KEY,
     id INTEGER NOT NULL,
     labels TEXT NOT NULL
   ) STRICT;
   CREATE TABLE attachments (
     container_id TEXT NOT NULL,
     if_name TEXT NOT NULL,
     pod_namespace TEXT NOT NULL,
     pod_name TEXT NOT NULL,
     netns TEXT NOT NULL,
     netns_id TEXT NOT NULL,
     ip INTEGER NOT NULL UNIQUE REFERENCES addresses (ip),
     mac TEXT NOT NULL,
     gateway INTEGER NOT NULL,
     prefix_len INTEGER NOT NULL,
     mtu INTEGER NOT NULL,
     host_if_name TEXT NOT NULL UNIQUE,
     host_ifindex INTEGER NOT NULL,
     labels TEXT NOT NULL,
     identity_key TEXT NOT NULL REFERENCES identities (key),
     state TEXT NOT NULL CHECK (state IN ('adding', 'ready', 'deleting')),
     created_unix_ms INTEGER NOT NULL,
     PRIMARY KEY (container_id, if_name)
   ) STRICT;
   CREATE TABLE rules (
     id INTEGER PRIMARY KEY,
     name TEXT NOT NULL UNIQUE
   ) STRICT;
   CREATE TABLE manifests (
     file TEXT PRIMARY KEY,
     text TEXT NOT NULL
   ) STRICT;`,
];

/**
 * Opens the database and brings its schema up to date. A commit outlives the end of this process, however that comes, as soon as it
 * returns. A power failure may take back the last ones, never half of one: it takes all pods too, so that nothing is left that
 * the database would have to know; and waiting for the disk twice a pod is milliseconds that nobody else is served.
 * @throws {SchemaVersionError} when a newer agent wrote it
 */
export function openDatabase(path: string): DatabaseSync {
  const db = new DatabaseSync(path);
  try {
    db.exec(`PRAGMA journal_mode = WAL;
             PRAGMA synchronous = NORMAL;
             PRAGMA foreign_keys = ON;
             PRAGMA busy_timeout = 1000;`);
    migrate(db, path);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Begins a transaction that will write: nobody else can until it ends. */
export function beginTransaction(db: DatabaseSync): void {
  db.exec("BEGIN IMMEDIATE");
}

/** Runs `work` in a transaction that has begun, and ends it; whatever `work` throws undoes all of it. */
export function endTransaction<T>(db: DatabaseSync, work: () => T): T {
  try {
    const result = work();
    db.exec("COMMIT");
    return result;
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

function migrate(db: DatabaseSync, path: string): void {
  const found = Number(db.prepare("PRAGMA user_version").get()?.user_version ?? 0);
  if (found > MIGRATIONS.length) throw new SchemaVersionError(path, found, MIGRATIONS.length);
  for (const [version, step] of MIGRATIONS.entries()) {
    if (version < found) continue;
    beginTransaction(db);
    endTransaction(db, () => {
      db.exec(step);
      db.exec(`PRAGMA user_version = ${version + 1}`);
    });
  }
}
