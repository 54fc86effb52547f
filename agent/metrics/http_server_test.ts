import assert from "node:assert/strict";
import { serveHttp } from "./http_server.ts";

function freeAddress(): string {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return `127.0.0.1:${listener.addr.port}`;
}

Deno.test("many who ask for the metrics at once let them be gathered twice at most", async () => {
  const gate = Promise.withResolvers<void>();
  let [gathered, atOnce, mostAtOnce] = [0, 0, 0];
  const metrics = async () => {
    mostAtOnce = Math.max(mostAtOnce, ++atOnce);
    await gate.promise;
    atOnce--;
    return { text: `gathered ${++gathered}\n`, contentType: "text/plain" };
  };
  const address = freeAddress();
  const stop = serveHttp(address, {
    version: "1",
    notReady: () => [],
    dataplaneConnected: () => true,
    metrics,
  });
  try {
    const scrapes = Array.from({ length: 50 }, () => fetch(`http://${address}/metrics`));
    // One that is answered shows that those before it were taken.
    await (await fetch(`http://${address}/healthz`)).text();
    gate.resolve();
    const texts = await Promise.all(scrapes.map(async (scrape) => await (await scrape).text()));
    assert(texts.every((text) => /^gathered \d+\n$/.test(text)));
    assert.equal(mostAtOnce, 1);
    assert(gathered < 10, `${gathered} times`);
  } finally {
    await stop();
  }
});
