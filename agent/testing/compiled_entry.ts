import type { CompiledEntry } from "../policy/mod.ts";

/** An entry that lets anybody reach an identity's TCP port 80. */
export function compiledEntry(dstIdentity: number, ruleId = 16): CompiledEntry {
  return {
    srcIdentity: 0,
    dstIdentity,
    protocol: 6,
    dstPort: 80,
    portPrefixLen: 0,
    action: 1,
    direction: 1,
    isolation: false,
    ruleId,
  };
}
