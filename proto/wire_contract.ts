/**
 * The frozen part of novanet.v1, written down from the published API and not from our .proto files: what clients
 * of the seed profile rely on. wire_test.ts compares the two. Never change a line here to make a test pass.
 */

/** Services and their RPCs: `Name(Request) Response`. */
export const SERVICES = `
novanet.v1.DataplaneControl
  UpsertEndpoint(UpsertEndpointRequest) UpsertEndpointResponse
  DeleteEndpoint(DeleteEndpointRequest) DeleteEndpointResponse
  UpsertPolicy(UpsertPolicyRequest) UpsertPolicyResponse
  DeletePolicy(DeletePolicyRequest) DeletePolicyResponse
  SyncPolicies(SyncPoliciesRequest) SyncPoliciesResponse
  UpsertTunnel(UpsertTunnelRequest) UpsertTunnelResponse
  DeleteTunnel(DeleteTunnelRequest) DeleteTunnelResponse
  UpdateConfig(UpdateConfigRequest) UpdateConfigResponse
  AttachProgram(AttachProgramRequest) AttachProgramResponse
  DetachProgram(DetachProgramRequest) DetachProgramResponse
  UpsertEgressPolicy(UpsertEgressPolicyRequest) UpsertEgressPolicyResponse
  DeleteEgressPolicy(DeleteEgressPolicyRequest) DeleteEgressPolicyResponse
  UpsertSockmapEndpoint(UpsertSockmapEndpointRequest) UpsertSockmapEndpointResponse
  DeleteSockmapEndpoint(DeleteSockmapEndpointRequest) DeleteSockmapEndpointResponse
  GetSockmapStats(GetInternalSockmapStatsRequest) GetInternalSockmapStatsResponse
  UpsertMeshService(UpsertMeshServiceRequest) UpsertMeshServiceResponse
  DeleteMeshService(DeleteMeshServiceRequest) DeleteMeshServiceResponse
  ListMeshServices(ListInternalMeshServicesRequest) ListInternalMeshServicesResponse
  UpdateRateLimitConfig(UpdateRateLimitConfigRequest) UpdateRateLimitConfigResponse
  GetInternalRateLimitStats(GetInternalRateLimitStatsRequest) GetInternalRateLimitStatsResponse
  GetBackendHealthStats(GetBackendHealthStatsRequest) GetBackendHealthStatsResponse
  StreamFlows(StreamFlowsRequest) stream FlowEvent
  GetDataplaneStatus(GetDataplaneStatusRequest) GetDataplaneStatusResponse
novanet.v1.AgentControl
  AddPod(AddPodRequest) AddPodResponse
  DelPod(DelPodRequest) DelPodResponse
  GetAgentStatus(GetAgentStatusRequest) GetAgentStatusResponse
  StreamAgentFlows(StreamAgentFlowsRequest) stream FlowEvent
  ListPolicies(ListPoliciesRequest) ListPoliciesResponse
  ListIdentities(ListIdentitiesRequest) ListIdentitiesResponse
  ListTunnels(ListTunnelsRequest) ListTunnelsResponse
  ListEgressPolicies(ListEgressPoliciesRequest) ListEgressPoliciesResponse
  GetRoutingPeers(GetRoutingPeersRequest) GetRoutingPeersResponse
  GetRoutingPrefixes(GetRoutingPrefixesRequest) GetRoutingPrefixesResponse
  GetRoutingBFDSessions(GetRoutingBFDSessionsRequest) GetRoutingBFDSessionsResponse
  GetRoutingOSPFNeighbors(GetRoutingOSPFNeighborsRequest) GetRoutingOSPFNeighborsResponse
  StreamRoutingEvents(StreamRoutingEventsRequest) stream RoutingEvent
novanet.v1.EBPFServices
  EnableSockmap(EnableSockmapRequest) EnableSockmapResponse
  DisableSockmap(DisableSockmapRequest) DisableSockmapResponse
  GetSockmapStats(GetSockmapStatsRequest) GetSockmapStatsResponse
  AddMeshRedirect(AddMeshRedirectRequest) AddMeshRedirectResponse
  RemoveMeshRedirect(RemoveMeshRedirectRequest) RemoveMeshRedirectResponse
  ListMeshRedirects(ListMeshRedirectsRequest) ListMeshRedirectsResponse
  ConfigureRateLimit(ConfigureRateLimitRequest) ConfigureRateLimitResponse
  RemoveRateLimit(RemoveRateLimitRequest) RemoveRateLimitResponse
  GetRateLimitStats(GetRateLimitStatsRequest) GetRateLimitStatsResponse
  GetBackendHealth(GetBackendHealthRequest) GetBackendHealthResponse
  StreamBackendHealth(StreamBackendHealthRequest) stream BackendHealthEvent
`;

/** Messages and their fields: `number name type`. A message that is not alone on its line has fields. */
export const MESSAGES = `
UpsertEndpointRequest: 1 ip uint32; 2 ifindex uint32; 3 mac bytes; 4 identity_id uint32; 5 pod_name
    string; 6 namespace string; 7 node_ip uint32
UpsertEndpointResponse
DeleteEndpointRequest: 1 ip uint32
DeleteEndpointResponse
UpsertPolicyRequest: 1 src_identity uint32; 2 dst_identity uint32; 3 protocol uint32; 4 dst_port
    uint32; 5 action PolicyAction
UpsertPolicyResponse
DeletePolicyRequest: 1 src_identity uint32; 2 dst_identity uint32; 3 protocol uint32; 4 dst_port
    uint32
DeletePolicyResponse
SyncPoliciesRequest: 1 policies repeated PolicyEntry
PolicyEntry: 1 src_identity uint32; 2 dst_identity uint32; 3 protocol uint32; 4 dst_port uint32; 5
    action PolicyAction
SyncPoliciesResponse: 1 added uint32; 2 removed uint32; 3 updated uint32
UpsertTunnelRequest: 1 node_ip uint32; 2 tunnel_ifindex uint32; 3 vni uint32
UpsertTunnelResponse
DeleteTunnelRequest: 1 node_ip uint32
DeleteTunnelResponse
UpdateConfigRequest: 1 entries map<uint32,uint64>
UpdateConfigResponse
AttachProgramRequest: 1 interface_name string; 2 attach_type AttachType
AttachProgramResponse
DetachProgramRequest: 1 interface_name string; 2 attach_type AttachType
DetachProgramResponse
StreamFlowsRequest: 1 identity_filter uint32
FlowEvent: 1 src_ip uint32; 2 dst_ip uint32; 3 src_identity uint32; 4 dst_identity uint32; 5
    protocol uint32; 6 src_port uint32; 7 dst_port uint32; 8 verdict PolicyAction; 9 bytes uint64;
    10 packets uint64; 11 timestamp_ns int64; 12 drop_reason DropReason; 13 tcp_flags uint32; 14
    ip_version IPVersion
GetDataplaneStatusRequest
GetDataplaneStatusResponse: 1 endpoint_count uint32; 2 policy_count uint32; 3 tunnel_count uint32; 4
    programs repeated AttachedProgram; 5 mode string; 6 tunnel_protocol string; 7 drop_counters
    map<uint32,uint64>; 8 service_count uint32; 9 conntrack_count uint32
AttachedProgram: 1 interface_name string; 2 attach_type string; 3 program_id uint32
AddPodRequest: 1 pod_name string; 2 pod_namespace string; 3 container_id string; 4 netns string; 5
    if_name string; 6 labels map<string,string>
AddPodResponse: 1 ip string; 2 gateway string; 3 mac string; 4 prefix_length int32; 5 ipv6 string; 6
    gateway_v6 string; 7 prefix_length_v6 int32
DelPodRequest: 1 pod_name string; 2 pod_namespace string; 3 container_id string; 4 netns string; 5
    if_name string
DelPodResponse
GetAgentStatusRequest
GetAgentStatusResponse: 1 routing_mode string; 2 tunnel_protocol string; 3 endpoint_count uint32; 4
    policy_count uint32; 5 tunnel_count uint32; 6 identity_count uint32; 7 node_ip string; 8
    pod_cidr string; 9 cluster_cidr string; 10 novaroute_connected bool; 11 dataplane
    DataplaneStatusInfo; 12 encryption string; 13 host_firewall bool; 14 bandwidth_enabled bool; 15
    ipv6_enabled bool; 16 dsr_enabled bool; 17 xdp_mode string; 18 lb_ipam_enabled bool
DataplaneStatusInfo: 1 connected bool; 2 attached_programs uint32
StreamAgentFlowsRequest: 2 drops_only bool; 1 identity_filter uint32
UpsertEgressPolicyRequest: 1 src_identity uint32; 2 dst_cidr_ip uint32; 3 dst_cidr_prefix_len
    uint32; 4 protocol uint32; 5 dst_port uint32; 6 action EgressAction; 7 snat_ip uint32
UpsertEgressPolicyResponse
DeleteEgressPolicyRequest: 1 src_identity uint32; 2 dst_cidr_ip uint32; 3 dst_cidr_prefix_len
    uint32; 4 protocol uint32; 5 dst_port uint32
DeleteEgressPolicyResponse
ListPoliciesRequest
ListPoliciesResponse: 1 rules repeated PolicyRuleInfo
PolicyRuleInfo: 1 src_identity uint32; 2 dst_identity uint32; 3 protocol uint32; 4 dst_port uint32;
    5 action PolicyAction
ListIdentitiesRequest
ListIdentitiesResponse: 1 identities repeated IdentityInfo
IdentityInfo: 1 identity_id uint32; 2 labels map<string,string>; 3 ref_count uint32
ListTunnelsRequest
ListTunnelsResponse: 1 tunnels repeated TunnelInfoMsg
TunnelInfoMsg: 1 node_name string; 2 node_ip string; 3 pod_cidr string; 4 interface_name string; 5
    ifindex uint32; 6 protocol string
ListEgressPoliciesRequest
ListEgressPoliciesResponse: 1 rules repeated EgressPolicyInfo
EgressPolicyInfo: 1 namespace string; 2 name string; 3 src_identity uint32; 4 dst_cidr string; 5
    protocol uint32; 6 dst_port uint32; 7 action EgressAction
GetRoutingPeersRequest
GetRoutingPeersResponse: 1 peers repeated RoutingPeerInfo
RoutingPeerInfo: 1 neighbor_address string; 2 remote_as uint32; 3 state string; 4 uptime string; 5
    prefixes_received uint32; 6 prefixes_sent uint32; 8 msg_received uint32; 9 msg_sent uint32; 10
    bfd_status string; 11 owner string; 7 description string
GetRoutingPrefixesRequest
GetRoutingPrefixesResponse: 1 prefixes repeated RoutingPrefixInfo
RoutingPrefixInfo: 1 prefix string; 2 protocol string; 3 state string; 4 owner string
GetRoutingBFDSessionsRequest
GetRoutingBFDSessionsResponse: 1 sessions repeated RoutingBFDSessionInfo
RoutingBFDSessionInfo: 1 peer_address string; 2 status string; 3 uptime string; 4 min_rx_ms uint32;
    5 min_tx_ms uint32; 6 detect_multiplier uint32; 7 interface_name string; 8 owner string
GetRoutingOSPFNeighborsRequest
GetRoutingOSPFNeighborsResponse: 1 neighbors repeated RoutingOSPFNeighborInfo
RoutingOSPFNeighborInfo: 1 neighbor_id string; 2 address string; 3 interface_name string; 4 state
    string; 5 owner string
StreamRoutingEventsRequest: 1 owner_filter string; 2 event_types repeated string
RoutingEvent: 1 timestamp_ns int64; 2 event_type string; 3 owner string; 4 detail string; 5 metadata
    map<string,string>
EnableSockmapRequest: 1 pod_namespace string; 2 pod_name string
EnableSockmapResponse
DisableSockmapRequest: 1 pod_namespace string; 2 pod_name string
DisableSockmapResponse
GetSockmapStatsRequest
GetSockmapStatsResponse: 1 redirected uint64; 2 fallback uint64; 3 active_sockets uint32
AddMeshRedirectRequest: 1 ip string; 2 port uint32; 3 redirect_port uint32
AddMeshRedirectResponse
RemoveMeshRedirectRequest: 1 ip string; 2 port uint32
RemoveMeshRedirectResponse
ListMeshRedirectsRequest
ListMeshRedirectsResponse: 1 entries repeated MeshRedirectEntry
MeshRedirectEntry: 1 ip string; 2 port uint32; 3 redirect_port uint32
ConfigureRateLimitRequest: 1 cidr string; 2 rate uint32; 3 burst uint32
ConfigureRateLimitResponse
RemoveRateLimitRequest: 1 cidr string
RemoveRateLimitResponse
GetRateLimitStatsRequest: 1 cidr string
GetRateLimitStatsResponse: 1 allowed uint64; 2 denied uint64
GetBackendHealthRequest: 1 ip string; 2 port uint32
GetBackendHealthResponse: 1 backends repeated BackendHealthInfo
BackendHealthInfo: 1 ip string; 2 port uint32; 3 total_conns uint64; 4 failed_conns uint64; 5
    timeout_conns uint64; 6 success_conns uint64; 7 avg_rtt_ns uint64; 8 failure_rate double
StreamBackendHealthRequest: 1 poll_interval_ms uint32
BackendHealthEvent: 1 backend BackendHealthInfo; 2 timestamp_ns uint64
UpsertSockmapEndpointRequest: 1 ip string; 2 port uint32
UpsertSockmapEndpointResponse
DeleteSockmapEndpointRequest: 1 ip string; 2 port uint32
DeleteSockmapEndpointResponse
GetInternalSockmapStatsRequest
GetInternalSockmapStatsResponse: 1 redirected uint64; 2 fallback uint64; 3 active_endpoints uint32
UpsertMeshServiceRequest: 1 ip string; 2 port uint32; 3 redirect_port uint32
UpsertMeshServiceResponse
DeleteMeshServiceRequest: 1 ip string; 2 port uint32
DeleteMeshServiceResponse
ListInternalMeshServicesRequest
ListInternalMeshServicesResponse: 1 entries repeated InternalMeshServiceEntry
InternalMeshServiceEntry: 1 ip string; 2 port uint32; 3 redirect_port uint32
UpdateRateLimitConfigRequest: 1 rate uint32; 2 burst uint32; 3 window_ns uint64
UpdateRateLimitConfigResponse
GetInternalRateLimitStatsRequest
GetInternalRateLimitStatsResponse: 1 allowed uint64; 2 denied uint64
GetBackendHealthStatsRequest: 1 ip string; 2 port uint32
GetBackendHealthStatsResponse: 1 backends repeated InternalBackendHealthInfo
InternalBackendHealthInfo: 1 ip string; 2 port uint32; 3 total_conns uint64; 4 failed_conns uint64;
    5 timeout_conns uint64; 6 success_conns uint64; 7 avg_rtt_ns uint64; 8 failure_rate double
`;

/** Enums and their values: `number NAME`. */
export const ENUMS = `
IPVersion: 0 IP_VERSION_UNSPECIFIED; 1 IPv4; 2 IPv6
PolicyAction: 0 POLICY_ACTION_DENY; 1 POLICY_ACTION_ALLOW
AttachType: 0 ATTACH_TC_INGRESS; 1 ATTACH_TC_EGRESS
DropReason: 0 DROP_REASON_NONE; 1 DROP_REASON_POLICY_DENIED; 2 DROP_REASON_NO_IDENTITY; 3
    DROP_REASON_NO_ROUTE; 4 DROP_REASON_NO_TUNNEL; 5 DROP_REASON_TTL_EXCEEDED
EgressAction: 0 EGRESS_ACTION_DENY; 1 EGRESS_ACTION_ALLOW; 2 EGRESS_ACTION_SNAT
ConfigKey: 0 CONFIG_KEY_MODE; 1 CONFIG_KEY_TUNNEL_TYPE; 2 CONFIG_KEY_NODE_IP; 3
    CONFIG_KEY_CLUSTER_CIDR_IP; 4 CONFIG_KEY_CLUSTER_CIDR_PL; 5 CONFIG_KEY_DEFAULT_DENY; 6
    CONFIG_KEY_MASQUERADE_ENABLE; 7 CONFIG_KEY_SNAT_IP; 8 CONFIG_KEY_POD_CIDR_IP; 9
    CONFIG_KEY_POD_CIDR_PL; 10 CONFIG_KEY_L4LB_ENABLED
ConfigMode: 0 CONFIG_MODE_OVERLAY; 1 CONFIG_MODE_NATIVE
ConfigTunnelType: 0 CONFIG_TUNNEL_GENEVE; 1 CONFIG_TUNNEL_VXLAN
`;
