/** Connections between parties, to be opened under one policy and used under another. */
import assert from "node:assert/strict";
import { Ipv4 } from "../../shared/net/mod.ts";
import { eventually } from "../../shared/testing/eventually.ts";
import { icmpEcho, sctp, type TransportLayer } from "../../shared/testing/packets.ts";
import {
  PacketReceiver,
  sendPacket,
  TcpClient,
  TcpEchoServer,
  UdpSocket,
} from "../../shared/testing/sockets.ts";
import { FATE_TIMEOUT_MS, type Party } from "./policy_node.ts";

/** The end of a connection that opened it, or the other one. */
export type Sender = "source" | "target";

/** A connection that both ends have sent on. */
export interface Connection extends AsyncDisposable {
  /** The source's port, or ICMP's identifier. */
  readonly sourcePort: number;
  /** The target's port; 0 for ICMP. */
  readonly targetPort: number;
  /** Sends the next packet. */
  send(sender: Sender): void;
  /** Whether what was sent last has come to the other end. */
  hasArrived(): boolean;
  /** Whether a packet that was dropped is sent again by itself. */
  readonly repeats: boolean;
}

/**
 * Opens a connection and lets both ends send on it.
 * @param protocol TCP and UDP by the kernel's sockets, SCTP and ICMP packet by packet
 * @throws {EventuallyError} when it is not let through
 */
export async function openConnection(
  source: Party,
  target: Party,
  protocol: string,
  port: number,
): Promise<Connection> {
  if (protocol === "TCP") return await TcpConnection.open(source, target, port);
  const connection = protocol === "UDP"
    ? new UdpConnection(source, target, port)
    : new RawConnection(source, target, protocol === "SCTP" ? SCTP : ECHO, port);
  for (const sender of ["source", "target"] as const) {
    connection.send(sender);
    await eventually(() => connection.hasArrived(), {
      timeoutMs: FATE_TIMEOUT_MS,
      intervalMs: 1,
      what: `${protocol}/${port} ${source.ip} to ${target.ip}, opened by its ${sender}`,
    });
  }
  return connection;
}

/** An echo server at the target: only the source sends by itself. */
class TcpConnection implements Connection {
  readonly sourcePort: number;
  readonly targetPort: number;
  readonly repeats = true;
  readonly #server: TcpEchoServer;
  readonly #client: TcpClient;
  #waits = false;

  private constructor(server: TcpEchoServer, client: TcpClient) {
    this.#server = server;
    this.#client = client;
    this.sourcePort = client.address.port;
    this.targetPort = server.port;
  }

  static async open(source: Party, target: Party, port: number): Promise<TcpConnection> {
    await using stack = new AsyncDisposableStack();
    const server = stack.use(new TcpEchoServer(target.netns, port));
    const options = { timeoutMs: FATE_TIMEOUT_MS, localIp: source.ip };
    const client = stack.use(
      await TcpClient.connect(source.netns, { ip: target.ip, port }, options),
    );
    assert.equal(await client.exchange("hello", FATE_TIMEOUT_MS), "hello");
    stack.move();
    return new TcpConnection(server, client);
  }

  send(sender: Sender): void {
    assert.equal(sender, "source");
    this.#client.send("next");
    this.#waits = true;
  }

  hasArrived(): boolean {
    if (this.#client.take() !== undefined) this.#waits = false;
    return !this.#waits;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
    await this.#server[Symbol.asyncDispose]();
  }
}

class UdpConnection implements Connection {
  readonly sourcePort: number;
  readonly targetPort: number;
  readonly repeats = false;
  readonly #sockets: Readonly<Record<Sender, UdpSocket>>;
  readonly #source: Party;
  readonly #target: Party;
  #awaiting: UdpSocket | undefined;

  constructor(source: Party, target: Party, port: number) {
    this.#source = source;
    this.#target = target;
    this.#sockets = {
      source: new UdpSocket(source.netns, { ip: source.ip }),
      target: new UdpSocket(target.netns, { ip: target.ip, port }),
    };
    this.sourcePort = this.#sockets.source.address.port;
    this.targetPort = port;
  }

  send(sender: Sender): void {
    const [to, port, receiver] = sender === "source"
      ? [this.#target, this.targetPort, "target" as const]
      : [this.#source, this.sourcePort, "source" as const];
    this.#sockets[sender].send({ ip: to.ip, port }, "next");
    this.#awaiting = this.#sockets[receiver];
  }

  hasArrived(): boolean {
    return (this.#awaiting?.take().length ?? 0) > 0;
  }

  [Symbol.asyncDispose](): Promise<void> {
    for (const socket of Object.values(this.#sockets)) socket.close();
    return Promise.resolve();
  }
}

/** How a protocol without sockets of the kernel's makes its packets. */
interface RawProtocol {
  readonly number: number;
  /** The first port of the source's; ICMP's identifiers. */
  packet(sender: Sender, sourcePort: number, targetPort: number, count: number): TransportLayer;
}

const SCTP: RawProtocol = {
  number: 132,
  packet(sender, sourcePort, targetPort, count) {
    const [srcPort, dstPort] = sender === "source"
      ? [sourcePort, targetPort]
      : [targetPort, sourcePort];
    // INIT and INIT ACK, then DATA, each with another number.
    const type = count > 2 ? 0 : count;
    const value = new Uint8Array(16);
    value[15] = count;
    return sctp({ srcPort, dstPort, verificationTag: count }, [{ type, value }]);
  },
};

const ECHO: RawProtocol = {
  number: 1,
  packet: (sender, id, _targetPort, seq) => icmpEcho({ id, seq, reply: sender === "target" }),
};

let lastRawPort = 3000;

class RawConnection implements Connection {
  readonly sourcePort = ++lastRawPort;
  readonly targetPort: number;
  readonly repeats = false;
  readonly #parties: Readonly<Record<Sender, Party>>;
  readonly #receivers: Readonly<Record<Sender, PacketReceiver>>;
  readonly #protocol: RawProtocol;
  #count = 0;
  #awaiting: { readonly receiver: PacketReceiver; readonly payload: string } | undefined;

  constructor(source: Party, target: Party, protocol: RawProtocol, port: number) {
    this.targetPort = port;
    this.#protocol = protocol;
    this.#parties = { source, target };
    // The kernel sends no ICMP error about a packet that somebody takes.
    this.#receivers = {
      source: new PacketReceiver(source.netns, protocol.number),
      target: new PacketReceiver(target.netns, protocol.number),
    };
  }

  send(sender: Sender): void {
    const receiver = sender === "source" ? "target" : "source";
    const [src, dst] = [this.#parties[sender], this.#parties[receiver]];
    const packet = this.#protocol.packet(sender, this.sourcePort, this.targetPort, ++this.#count);
    const payload = packet.build(Ipv4.parse(src.ip), Ipv4.parse(dst.ip)).toHex();
    this.#awaiting = { receiver: this.#receivers[receiver], payload };
    sendPacket(src.netns, { src: src.ip, dst: dst.ip }, packet);
  }

  hasArrived(): boolean {
    const awaiting = this.#awaiting;
    return awaiting?.receiver.take().some(({ payload }) => payload.toHex() === awaiting.payload) ===
      true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    for (const receiver of Object.values(this.#receivers)) receiver[Symbol.dispose]();
    return Promise.resolve();
  }
}
