/** Sorts names as people read them: `net2` before `net10`. */
export function naturalOrder(a: string, b: string): number {
  const left = a.match(/\d+|\D+/g) ?? [];
  const right = b.match(/\d+|\D+/g) ?? [];
  for (let at = 0; at < Math.min(left.length, right.length); at += 1) {
    const one = left[at] ?? "";
    const other = right[at] ?? "";
    if (one === other) continue;
    const both = /^\d/.test(one) && /^\d/.test(other);
    if (both && Number(one) !== Number(other)) return Number(one) - Number(other);
    return one < other ? -1 : 1;
  }
  return left.length - right.length;
}
