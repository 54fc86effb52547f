import type { LabNetns } from "../../shared/testing/lab.ts";

/** What a network namespace's stack counted that a connection would feel. */
export interface NetCounters {
  /** Segments that TCP sent again, without those that the other end said it had twice. */
  readonly retransmissions: number;
  /** Connections that ended by a reset or failed to begin. */
  readonly resets: number;
  /** Datagrams that came and found no room. */
  readonly udpErrors: number;
}

/** Reads /proc/net/snmp and /proc/net/netstat of a namespace. @throws {CommandError} */
export async function netCounters(netns: LabNetns): Promise<NetCounters> {
  const { stdout } = await netns.run(["cat", "/proc/net/snmp", "/proc/net/netstat"]);
  const values = parse(stdout);
  const value = (name: string) => {
    const found = values.get(name);
    if (found === undefined) throw new Error(`the kernel has no counter ${name}`);
    return found;
  };
  return {
    // A tail loss probe of a stack that had no CPU for a while sends again what had arrived.
    retransmissions: value("Tcp.RetransSegs") - value("TcpExt.TCPDSACKRecv"),
    resets: value("Tcp.EstabResets") + value("Tcp.OutRsts") + value("Tcp.AttemptFails"),
    udpErrors: value("Udp.InErrors") + value("Udp.RcvbufErrors"),
  };
}

/** Pairs of lines: the names of a group, and their values. Pure. */
function parse(text: string): Map<string, number> {
  const values = new Map<string, number>();
  const lines = text.trim().split("\n").map((line) => line.split(/:? +/));
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const [names = [], numbers = []] = [lines[i], lines[i + 1]];
    for (let j = 1; j < names.length; j++) {
      values.set(`${names[0]}.${names[j]}`, Number(numbers[j]));
    }
  }
  return values;
}
