/** in-toto statements (github.com/in-toto/attestation, spec/v1/statement.md), as BuildKit 0.34 writes them. */
import type { Predicate } from "./request.ts";

/** What a statement is about. */
export interface Subject {
  readonly name: string;
  readonly digest: { readonly sha256: string };
}

/** The type is the same whatever the predicate's age. */
export function statement({ predicateType, predicate }: Predicate, subject: readonly Subject[]): object {
  return { _type: "https://in-toto.io/Statement/v1", predicateType, subject, predicate };
}
