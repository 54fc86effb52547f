/** One policy decision, made as bpf/lib/policy.h makes it, from the same maps. */

import { type PolicyKey, PolicyKind, type PolicyShape } from "../../shared/gen/abi.ts";
import { PolicyAction, PolicyDirection } from "../../shared/gen/novanet/v1/novanet_pb.ts";
import { hasPorts } from "../../shared/net/ip_protocol.ts";
import type { KernelView, StoredDecision } from "./kernel_view.ts";

/** What is to be decided. */
export interface Question {
  /** INGRESS or EGRESS. */
  readonly direction: PolicyDirection;
  readonly selected: number;
  readonly peer: number;
  /** 0: none. */
  readonly peerCidr: number;
  readonly protocol: number;
  /** 0 for protocols without ports. */
  readonly port: number;
}

/** What was decided. */
export interface Decision extends StoredDecision {
  /** The entry of POLICIES that decided; undefined: the default did. */
  readonly key: PolicyKey | undefined;
  /** Keys that were looked up. */
  readonly lookups: number;
}

/** enum reserved_rule of bpf/lib/policy.h. */
const RULE_DEFAULT_DENY = 1;
const RULE_DEFAULT_ALLOW = 2;
/** Bit n stands for port prefix length n; what has no port matches no port. */
const ALL_LENGTHS = 0x1ffff;
const NO_PORT = 1;
const LONGEST = 16;

type Pair = readonly [direction: PolicyDirection, selected: number, peer: number];

/** @throws SysError */
export function decide(view: KernelView, question: Question): Decision {
  const search = new Search(view, question);
  for (const level of [2, 1, 0] as const) {
    const found = search.level(level);
    if (found !== undefined) return { ...found, lookups: search.lookups };
  }
  const isolation = search.isolation();
  if (isolation !== undefined) return { ...isolation, lookups: search.lookups };
  const denies = view.state.defaultDeny !== 0;
  return {
    action: denies ? PolicyAction.DENY : PolicyAction.ALLOW,
    ruleId: denies ? RULE_DEFAULT_DENY : RULE_DEFAULT_ALLOW,
    key: undefined,
    lookups: search.lookups,
  };
}

type Hit = StoredDecision & { readonly key: PolicyKey };

/** One decision under way. */
class Search {
  readonly #view: KernelView;
  readonly #question: Question;
  readonly #selectedShape: PolicyShape;
  readonly #wildcardShape: PolicyShape;
  readonly #bothShape: PolicyShape;
  lookups = 0;

  constructor(view: KernelView, question: Question) {
    const { wildcardShapes } = view.state;
    const none = { exactProtocol: 0, anyProtocol: 0 };
    this.#view = view;
    this.#question = question;
    this.#selectedShape = view.shape(question.selected, question.direction);
    this.#wildcardShape = wildcardShapes[question.direction] ?? none;
    this.#bothShape = wildcardShapes[PolicyDirection.BOTH] ?? none;
  }

  /** Level 2 names both identities, 1 one, 0 none; the exact protocol and the longest port prefix win. */
  level(level: 0 | 1 | 2): Hit | undefined {
    const lengths = hasPorts(this.#question.protocol) ? ALL_LENGTHS : NO_PORT;
    for (const exact of [true, false]) {
      const used = this.#bits(this.#selectedShape, exact) | this.#bits(this.#wildcardShape, exact) |
        this.#bits(this.#bothShape, exact);
      for (let length = LONGEST; length >= 0; length--) {
        if ((used & lengths & 1 << length) === 0) continue;
        const hit = this.#shape(level, exact, length);
        if (hit !== undefined) return hit;
      }
    }
    return undefined;
  }

  isolation(): Hit | undefined {
    const { direction, selected } = this.#question;
    const ingress = direction === PolicyDirection.INGRESS;
    return this.#lookup({
      srcIdentity: ingress ? 0 : selected,
      dstIdentity: ingress ? selected : 0,
      protocol: 0,
      direction,
      dstPort: 0,
      prefixLen: 0,
      kind: PolicyKind.POLICY_KIND_ISOLATION,
    });
  }

  /** Deny beats what was found before at the same specificity. */
  #shape(level: 0 | 1 | 2, exact: boolean, prefixLen: number): Hit | undefined {
    let best: Hit | undefined;
    for (const [direction, selected, peer] of this.#pairs(level, exact, 1 << prefixLen)) {
      const ingress = this.#question.direction === PolicyDirection.INGRESS;
      const hit = this.#lookup({
        srcIdentity: ingress ? peer : selected,
        dstIdentity: ingress ? selected : peer,
        protocol: exact ? this.#question.protocol : 0,
        direction,
        dstPort: this.#question.port & 0xffff0000 >>> prefixLen,
        prefixLen,
        kind: PolicyKind.POLICY_KIND_RULE,
      });
      if (hit !== undefined && (best === undefined || hit.action === PolicyAction.DENY)) best = hit;
    }
    return best;
  }

  /** The pairs of identities of a level, in the order in which the datapath tries them. */
  #pairs(level: 0 | 1 | 2, exact: boolean, bit: number): Pair[] {
    const { direction, selected, peer, peerCidr } = this.#question;
    const own = (this.#bits(this.#selectedShape, exact) & bit) !== 0;
    const wildcard = (this.#bits(this.#wildcardShape, exact) & bit) !== 0;
    const both = (this.#bits(this.#bothShape, exact) & bit) !== 0;
    const any = PolicyDirection.BOTH;
    const pairs = (...all: readonly (readonly [boolean, ...Pair])[]): Pair[] =>
      all.filter(([tried]) => tried).map(([, ...pair]) => pair);
    const cidr = peerCidr !== 0;
    switch (level) {
      case 2:
        return pairs(
          [own, direction, selected, peer],
          [both, any, selected, peer],
          [own && cidr, direction, selected, peerCidr],
          [both && cidr, any, selected, peerCidr],
        );
      case 1:
        return pairs(
          [own, direction, selected, 0],
          [wildcard, direction, 0, peer],
          [wildcard && cidr, direction, 0, peerCidr],
          [both, any, selected, 0],
          [both, any, 0, peer],
          [both && cidr, any, 0, peerCidr],
        );
      case 0:
        return pairs([wildcard, direction, 0, 0], [both, any, 0, 0]);
    }
  }

  #bits(shape: PolicyShape, exact: boolean): number {
    return exact ? shape.exactProtocol : shape.anyProtocol;
  }

  #lookup(key: PolicyKey): Hit | undefined {
    this.lookups++;
    const found = this.#view.policy(key);
    return found && { ...found, key };
  }
}
