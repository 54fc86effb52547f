import assert from "node:assert/strict";
import { Cidr, Ipv4 } from "../../shared/net/mod.ts";
import { AddressError } from "../ipam/address_pool.ts";
import { Store } from "../state/mod.ts";
import { hostIfNames } from "./names.ts";
import { type NewAttachment, PodRegistry, type RegistryOptions } from "./registry.ts";

function withStore(run: (open: () => Store) => void): () => void {
  return () => {
    const dir = Deno.makeTempDirSync({ prefix: "nvt-registry-" });
    using stack = new DisposableStack();
    stack.defer(() => Deno.removeSync(dir, { recursive: true }));
    let store: Store | undefined;
    stack.defer(() => close());
    const close = () => {
      store?.[Symbol.dispose]();
      store = undefined;
    };
    run(() => {
      close();
      return store = Store.open(dir);
    });
  };
}

function options(more: Partial<RegistryOptions> = {}): RegistryOptions {
  return {
    podCidr: Cidr.parse("10.244.0.0/28"),
    restMs: 30_000,
    isHostAddress: () => false,
    hostIfExists: () => false,
    now: () => 1_000_000,
    ...more,
  };
}

function pod(name: string, more: Partial<NewAttachment> = {}): NewAttachment {
  return {
    containerId: `${name}-0123456789abcdef`,
    ifName: "eth0",
    podNamespace: "default",
    podName: name,
    netns: `/run/netns/${name}`,
    netnsId: "4:1",
    labels: { app: name },
    identityLabels: { app: name, "novanet.io/namespace": "default" },
    requestedIp: undefined,
    mtu: 1450,
    ...more,
  };
}

Deno.test(
  "pods, addresses and identities are the same after a restart",
  withStore((open) => {
    const registry = new PodRegistry(open(), options());
    const a = registry.begin(pod("a"));
    const b = registry.begin(pod("b"));
    registry.update(a, { state: "ready", hostIfindex: 7 });
    registry.remove(b, true);
    assert.deepEqual([a.ip.toString(), a.hostIfName], ["10.244.0.2", "nva-012345678"]);

    const again = new PodRegistry(open(), options());
    assert.deepEqual(again.list(), [{ ...a, state: "ready", hostIfindex: 7 }]);
    assert.equal(again.identityId(a), registry.identityId(a));
    assert.equal(again.byIp(a.ip.value)?.podName, "a");
    assert.equal(again.byPod("default", "a").length, 1);
    assert.equal(again.identities().length, 1);
    assert.notEqual(again.begin(pod("c")).ip.toString(), b.ip.toString());
  }),
);

Deno.test(
  "exhaustion and a refused address change nothing",
  withStore((open) => {
    const registry = new PodRegistry(open(), options());
    for (let i = 0; i < 13; i++) registry.begin(pod(`pod${i}`));
    const before = registry.identities();
    assert.throws(() => registry.begin(pod("late")), AddressError);
    const asked = pod("asks", { requestedIp: Ipv4.parse("10.244.0.2") });
    assert.throws(() => registry.begin(asked), AddressError);
    assert.deepEqual(registry.identities(), before);
    assert.deepEqual(registry.addresses, { used: 13, total: 13, outside: 0 });
    assert.equal(new PodRegistry(open(), options()).list().length, 13);
  }),
);

Deno.test(
  "what cannot be stored is undone in memory",
  withStore((open) => {
    const store = open();
    const registry = new PodRegistry(store, options());
    const a = registry.begin(pod("a"));
    const identities = registry.identities();
    assert.throws(() => registry.begin(pod("a", { podName: "other" })));
    store[Symbol.dispose]();
    assert.throws(() => registry.begin(pod("b")));
    assert.throws(() => registry.relabel(a, { app: "z" }));
    assert.throws(() => registry.remove(a, true));
    assert.deepEqual(registry.list(), [a]);
    assert.equal(registry.addresses.used, 1);
    assert.deepEqual(registry.identities(), identities);
  }),
);

Deno.test(
  "host interface names: the id's beginning, or a hash when that is taken",
  withStore((open) => {
    const registry = new PodRegistry(
      open(),
      options({ hostIfExists: (name) => name === "nvelse-012345" }),
    );
    const [eth0, eth1] = [pod("same"), pod("same", { ifName: "eth1" })];
    assert.equal(registry.begin(eth0).hostIfName, "nvsame-012345");
    assert.equal(registry.begin(eth1).hostIfName, hostIfNames(eth1)[1]);
    assert.equal(registry.begin(pod("else")).hostIfName, hostIfNames(pod("else"))[1]);
    for (const { hostIfName } of registry.list()) assert.equal(hostIfName.length, 13);
  }),
);

Deno.test(
  "a pod whose labels change has a new identity, also after a restart",
  withStore((open) => {
    const registry = new PodRegistry(open(), options());
    const a = registry.begin(pod("a"));
    const before = registry.identityId(a);
    assert.equal(registry.relabel(a, { ...a.identityLabels }), undefined);
    const changed = registry.relabel(a, { app: "z", "novanet.io/namespace": "default" });
    assert.ok(changed !== undefined);
    assert.notEqual(registry.identityId(a), before);
    assert.equal(registry.identities().length, 1);
    const again = new PodRegistry(open(), options());
    assert.deepEqual(again.get(a)?.identityLabels, changed.identityLabels);
    assert.equal(again.identityId(a), registry.identityId(a));
  }),
);

Deno.test(
  "a pod that cannot be begun has nothing",
  withStore((open) => {
    const hostIfExists = () => {
      throw new Error("no answer from the kernel");
    };
    const registry = new PodRegistry(open(), options({ hostIfExists }));
    assert.throws(() => registry.begin(pod("a")), /no answer/);
    assert.equal(registry.addresses.used, 0);
    assert.deepEqual(registry.identities(), []);
  }),
);
