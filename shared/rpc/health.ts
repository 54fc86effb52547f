/** The states that grpc.health.v1 tells. */
import { notFound } from "./errors.ts";
import {
  type Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../gen/grpc/health/v1/health_pb.ts";
import type { ServiceImpl } from "./service.ts";

/** States of a server's services; the empty name is the server as a whole. */
export class HealthRegistry {
  readonly #statuses = new Map<string, ServingStatus>([["", ServingStatus.SERVING]]);
  readonly #changes = new EventTarget();

  /** Sets the state of a service. */
  set(service: string, serving: boolean): void {
    const status = serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
    if (this.#statuses.get(service) === status) return;
    this.#statuses.set(service, status);
    this.#changes.dispatchEvent(new Event("change"));
  }

  /** Handlers of grpc.health.v1.Health. */
  readonly service: ServiceImpl<typeof Health> = {
    check: ({ service }) => {
      const status = this.#statuses.get(service);
      if (status === undefined) throw notFound(`service ${JSON.stringify(service)}`);
      return { status };
    },
    list: () => ({
      statuses: Object.fromEntries(
        [...this.#statuses].map(([service, status]) => [service, { status }]),
      ),
    }),
    watch: ({ service }, { signal }) => this.#watch(service, signal),
  };

  async *#watch(service: string, signal: AbortSignal) {
    let sent: ServingStatus | undefined;
    while (!signal.aborted) {
      const status = this.#statuses.get(service) ?? ServingStatus.SERVICE_UNKNOWN;
      if (status !== sent) {
        sent = status;
        yield { status };
        continue;
      }
      await this.#changed(signal);
    }
  }

  #changed(signal: AbortSignal): Promise<void> {
    const settled = new AbortController();
    return new Promise<void>((resolve) => {
      const options = { signal: settled.signal };
      this.#changes.addEventListener("change", () => resolve(), options);
      signal.addEventListener("abort", () => resolve(), options);
    }).finally(() => settled.abort());
  }
}
