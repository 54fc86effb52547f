import {
  bool,
  cidr,
  type Field,
  integer,
  listOfLater,
  optionalInteger,
  optionalWord,
  path,
  text,
  textList,
  word,
} from "./field.ts";

const NAME = {
  test: /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/,
  allowed: "a DNS name in lower case, or empty for the host's own name",
};
const NODE_NAME = { test: new RegExp(`${NAME.test.source}|^$`), allowed: NAME.allowed };
const LISTEN = {
  test: /^$|^[^\s/]*:\d{1,5}$/,
  allowed: "host:port, :port, or empty for no server",
};

/** A switch whose feature comes with a later version: off is fine, on is an error. */
function later(feature: string) {
  return { missing: (on: boolean) => on ? feature : undefined };
}

/**
 * Every configuration key by its dotted path. The one source for parsing, for the dump in a sysdump,
 * and for the check of docs/configuration.md.
 */
export const FIELDS = {
  node_name: text("Name of this node; empty for the host's name.", "", NODE_NAME, {
    env: ["NOVANET_NODE_NAME"],
  }),
  state_dir: path(
    "Directory of the agent's database and of the spool of deferred deletions.",
    "/var/lib/novanet",
  ),
  manifests_dir: path(
    "Directory of Kubernetes objects (NetworkPolicy, Pod, Namespace) as YAML or JSON.",
    "/etc/novanet/manifests",
  ),
  listen_socket: path("Socket of AgentControl for novanetctl.", "/run/novanet/novanet.sock"),
  cni_socket: path("Socket of AgentControl for the CNI plugin.", "/run/novanet/cni.sock"),
  dataplane_socket: path("Socket of novanet-dataplane.", "/run/novanet/dataplane.sock"),
  cluster_cidr: cidr("Addresses of all pods of the cluster.", "10.244.0.0/16", {
    env: ["NOVANET_CLUSTER_CIDR", "NOVAROUTE_CLUSTER_CIDR"],
  }),
  node_cidr_mask_size: integer("Prefix length of one node's share of cluster_cidr.", 24, 16, 28),
  address_rest_seconds: integer(
    "How long a released pod address is not given again; 0 for at once. When every other address is " +
      "in use, the one that has rested longest is given rather than refusing the pod.",
    30,
    0,
    86_400,
  ),
  mtu: integer(
    "MTU of pods in bytes; 0 for the default route's less what a tunnel adds.",
    0,
    0,
    65_535,
  ),
  big_tcp: bool("IPv4 BIG TCP on pod interfaces, where the kernel has it (6.3 and later).", true),
  identity_exclude_labels: textList(
    "Pod labels that take no part in identities; a trailing * stands for any ending.",
    [
      "pod-template-hash",
      "controller-revision-hash",
      "pod-template-generation",
      "statefulset.kubernetes.io/pod-name",
      "apps.kubernetes.io/pod-index",
      "batch.kubernetes.io/*",
      "controller-uid",
      "job-name",
    ],
  ),
  tunnel_protocol: optionalWord(
    "Encapsulation between nodes; unset: geneve where the kernel has it, else vxlan.",
    ["geneve", "vxlan"],
    { env: ["NOVANET_TUNNEL_PROTOCOL", "NOVAROUTE_TUNNEL_PROTOCOL"] },
  ),
  routing_mode: word(
    "How nodes reach each other's pods.",
    "overlay",
    ["overlay", "native"],
    {
      env: ["NOVANET_ROUTING_MODE", "NOVAROUTE_ROUTING_MODE"],
      missing: (mode) => mode === "native" ? "native routing" : undefined,
    },
  ),
  "routing.protocol": word("Routing protocol in native mode.", "bgp", ["bgp", "ospf"]),
  "routing.frr_socket_dir": path("Directory of FRR's sockets.", "/run/frr"),
  "routing.control_plane_vip": text("Virtual address of the control plane.", "", undefined, {
    missing: (vip) => vip === "" ? undefined : "the control plane's virtual address",
  }),
  "routing.control_plane_vip_health_interval": integer(
    "Seconds between health checks of the control plane; 0 for none.",
    0,
    0,
    3600,
  ),
  "routing.bfd_enabled": bool("BFD beside the routing protocol.", false, later("BFD")),
  "routing.bfd_min_rx_ms": integer("BFD receive interval in milliseconds.", 0, 0, 60_000),
  "routing.bfd_min_tx_ms": integer("BFD transmit interval in milliseconds.", 0, 0, 60_000),
  "routing.bfd_detect_mult": integer("BFD detection multiplier; 0 for FRR's 3.", 0, 0, 255),
  "routing.peers": listOfLater("BGP neighbours of this node.", "native routing"),
  "egress.masquerade_enabled": bool(
    "Masquerade what leaves the cluster.",
    false,
    later("masquerading"),
  ),
  "policy.default_deny": bool("Deny what no policy allows, in the whole cluster.", false),
  "l4lb.enabled": bool("Service load balancing in eBPF.", false, {
    env: ["NOVANET_L4LB_ENABLED"],
    ...later("the service load balancer"),
  }),
  "l4lb.default_algorithm": word(
    "How a service picks a backend.",
    "random",
    ["random", "round-robin", "maglev"],
  ),
  "encryption.type": word("Encryption between nodes.", "disabled", ["disabled", "wireguard"], {
    env: ["NOVANET_ENCRYPTION_TYPE"],
    missing: (type) => type === "disabled" ? undefined : "WireGuard encryption",
  }),
  "encryption.wireguard_port": integer("UDP port of WireGuard.", 51_871, 1, 65_535),
  "encryption.node_annotation_key": text(
    "Node annotation that carries the public key.",
    "novanet.io/wireguard-pubkey",
    undefined,
  ),
  "host_firewall.enabled": bool("Policy for the node's own traffic.", false, {
    env: ["NOVANET_HOST_FIREWALL_ENABLED"],
    ...later("the host firewall"),
  }),
  "bandwidth.enabled": bool("Bandwidth limits from pod annotations.", false, {
    env: ["NOVANET_BANDWIDTH_ENABLED"],
    ...later("bandwidth limits"),
  }),
  "lb_ipam.enabled": bool("Addresses for services of type LoadBalancer.", false, {
    env: ["NOVANET_LBIPAM_ENABLED"],
    ...later("LoadBalancer address management"),
  }),
  "lb_ipam.l2_announcement_enabled": bool("ARP announcements of those addresses.", true),
  "ebpf_services.enabled": bool("Serve novanet.v1.EBPFServices.", true),
  "ebpf_services.socket_path": path("Its socket.", "/run/novanet/ebpf-services.sock"),
  "ipv6.enabled": bool("IPv6 for pods.", false, {
    env: ["NOVANET_IPV6_ENABLED"],
    ...later("IPv6"),
  }),
  "ipv6.cluster_cidr_v6": text("IPv6 addresses of all pods.", "", undefined, {
    env: ["NOVANET_CLUSTER_CIDR_V6"],
  }),
  "ipv6.node_cidr_v6_mask_size": integer("Prefix length of one node's share.", 112, 48, 120),
  dsr: bool("Direct server return of the load balancer.", false, {
    env: ["NOVANET_DSR_ENABLED"],
    ...later("direct server return"),
  }),
  xdp_acceleration: word(
    "XDP for the load balancer.",
    "disabled",
    ["disabled", "native", "best-effort"],
    {
      env: ["NOVANET_XDP_ACCELERATION"],
      missing: (mode) => mode === "disabled" ? undefined : "XDP acceleration",
    },
  ),
  "conntrack.tcp_syn_seconds": timeout("an unfinished TCP handshake", 60),
  "conntrack.tcp_established_seconds": timeout("an established TCP connection", 21_600),
  "conntrack.tcp_closing_seconds": timeout("a closing TCP connection", 15),
  "conntrack.udp_new_seconds": timeout("a UDP flow without a reply", 30),
  "conntrack.udp_stream_seconds": timeout("a UDP flow with replies", 180),
  "conntrack.sctp_seconds": timeout("an SCTP association", 210),
  "conntrack.icmp_seconds": timeout("an ICMP exchange", 30),
  "conntrack.other_seconds": timeout("a flow of another protocol", 60),
  "conntrack.fragment_seconds": timeout("a fragmented packet", 30),
  log_level: word("Least level that is logged.", "info", ["debug", "info", "warn", "error"]),
  metrics_address: text(
    "Where /metrics, /healthz and /readyz are served.",
    "127.0.0.1:9103",
    LISTEN,
  ),
} satisfies Record<string, Field<unknown>>;

function timeout(what: string, dataplaneDefault: number) {
  return optionalInteger(
    `Seconds after which ${what} is forgotten; unset: the dataplane's ${dataplaneDefault}.`,
    1,
    31_536_000,
  );
}

/** A key's dotted path. */
export type ConfigKey = keyof typeof FIELDS;

/** The value of each key. */
export type ConfigValues = {
  readonly [K in ConfigKey]: (typeof FIELDS)[K] extends Field<infer T> ? T : never;
};

/** Every key, in the order of the documentation. */
export const CONFIG_KEYS = Object.keys(FIELDS) as readonly ConfigKey[];
