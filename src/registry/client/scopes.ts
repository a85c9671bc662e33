/** Scopes of tokens. https://distribution.github.io/distribution/spec/auth/scope/ */

export function pushScope(path: string): string {
  return `repository:${path}:pull,push`;
}

export function pullScope(path: string): string {
  return `repository:${path}:pull`;
}
