import assert from "node:assert/strict";
import { RpcCode, RpcError } from "../../shared/rpc/errors.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { FakeDataplane } from "../testing/fake_dataplane.ts";
import { DataplaneLink } from "./link.ts";

interface Seen {
  connected: number;
  disconnected: number;
  failures: number;
}

async function withLink(
  run: (dataplane: FakeDataplane, link: DataplaneLink, seen: Seen) => Promise<void>,
): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "nvt-link-" });
  const seen = { connected: 0, disconnected: 0, failures: 0 };
  const socketPath = `${dir}/dataplane.sock`;
  try {
    await using dataplane = new FakeDataplane(socketPath, () => []);
    await using link = new DataplaneLink({ socketPath, waitMs: 1500 }, {
      onConnected: () => {
        if (seen.failures-- > 0) return Promise.reject(new Error("injected"));
        seen.connected++;
        return Promise.resolve();
      },
      onFlow: () => {},
      onDisconnected: () => {
        seen.disconnected++;
      },
    });
    link.start();
    await run(dataplane, link, seen);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

function unavailable(error: unknown): boolean {
  return error instanceof RpcError && error.code === RpcCode.UNAVAILABLE;
}

Deno.test("a call waits for a dataplane that comes, and gives up on one that does not", async () => {
  await withLink(async (dataplane, link) => {
    await assert.rejects(link.call(() => Promise.resolve()), unavailable);
    await assert.rejects(link.callNow(() => Promise.resolve()), unavailable);
    await link.callIfConnected(() => Promise.reject(new Error("not called")));
    const call = link.call((calls) => calls.control.getDataplaneStatus({}));
    await dataplane.start();
    assert.deepEqual((await call).programs, []);
  });
});

Deno.test("nobody's call runs before the dataplane knows what the agent knows", async () => {
  await withLink(async (dataplane, link, seen) => {
    seen.failures = 2;
    const call = link.call(() => Promise.resolve(seen.connected));
    await dataplane.start();
    assert.equal(await call, 1);
  });
});

Deno.test("a restart is noticed, and a call in its midst is made again", async () => {
  await withLink(async (dataplane, link, seen) => {
    await dataplane.start();
    await eventually(() => link.connected);
    let attempts = 0;
    const call = link.call(async (calls) => {
      if (++attempts === 1) await dataplane.stop();
      return await calls.control.getDataplaneStatus({});
    });
    await eventually(() => !link.connected);
    await dataplane.start();
    await call;
    assert.equal(attempts, 2);
    assert.deepEqual([seen.connected, seen.disconnected], [2, 1]);
  });
});

Deno.test("what is not UNAVAILABLE is not repeated", async () => {
  await withLink(async (dataplane, link) => {
    await dataplane.start();
    let attempts = 0;
    dataplane.failNext("deleteEndpoint", 9);
    const call = link.call((calls) => {
      attempts++;
      return calls.control.deleteEndpoint({ ip: 1 });
    });
    await assert.rejects(call, /injected/);
    assert.equal(attempts, 1);
  });
});
