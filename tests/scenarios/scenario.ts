import { NetnsLab } from "../../shared/testing/lab.ts";
import { LeakLedger } from "../../shared/testing/leak_ledger.ts";
import { LabNode, type LabNodeOptions } from "../../shared/testing/node.ts";

const LOG_TAIL = 4000;

/** What a scenario plays with. */
export interface Scenario {
  readonly lab: NetnsLab;
  /** A node whose daemons run. */
  readonly node: LabNode;
  /** One row of the scenario. The next ones are played even if it fails. */
  step(name: string, play: () => void | Promise<void>): Promise<void>;
}

/**
 * Registers a test on one node of its own, from the compiled executables, which must leave nothing behind.
 * @param options of the node; `idle`: its daemons are not started
 */
export function scenario(
  name: string,
  options: LabNodeOptions & { readonly idle?: boolean | undefined },
  play: (scenario: Scenario) => Promise<void>,
): void {
  Deno.test(name, async (test) => {
    const ledger = LeakLedger.take();
    let folder: string;
    {
      await using lab = new NetnsLab();
      const node = await LabNode.create(lab, options);
      folder = node.dir;
      try {
        if (options.idle !== true) await node.start();
        await play({
          lab,
          node,
          async step(name, play) {
            // What a step starts may live as long as the scenario; the ledger sees what stays after that.
            await test.step({
              name,
              fn: () => withLogs(node, play),
              sanitizeOps: false,
              sanitizeResources: false,
            });
          },
        });
      } catch (error) {
        throw new Error(`${error instanceof Error ? error.stack : error}\n${logs(node)}`);
      }
    }
    await ledger.assertNoLeaks();
    await assertGone(folder);
  });
}

async function withLogs(node: LabNode, play: () => void | Promise<void>): Promise<void> {
  try {
    await play();
  } catch (error) {
    console.log(logs(node));
    throw error;
  }
}

function logs(node: LabNode): string {
  return node.daemons.map(({ argv, stderr }) => `--- ${argv.join(" ")}\n${stderr.slice(-LOG_TAIL)}`)
    .join("\n");
}

async function assertGone(folder: string): Promise<void> {
  try {
    await Deno.stat(folder);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  throw new Error(`${folder} is still there`);
}
