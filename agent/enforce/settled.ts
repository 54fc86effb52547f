/**
 * Waits for all, also when one fails: what still goes on must not run into what is undone then.
 * @throws what the first in the list that failed throws
 */
export async function allSettled(work: readonly Promise<void | object>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  const failed = results.find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
}
