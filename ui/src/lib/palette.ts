/**
 * Colours of series: ten of them, neighbours different in lightness as well as hue, chosen by the hash of the labels.
 * Pure. Colour never carries state here; state has its own colours and shapes.
 */

export const LIGHT = ["#1f6fb5", "#c8690a", "#2b8a6b", "#a8327f", "#6b8e12", "#5b4bb5", "#b3882a", "#0d9bb5", "#8c4a2f", "#5f6b7a"] as const;
export const DARK = ["#6db3f2", "#f2a65a", "#5fd1a8", "#ec84c4", "#b3d35a", "#a99bf5", "#e6c66a", "#5fd0e0", "#d99a7c", "#a9b4c2"] as const;

/** FNV-1a, 32 bit. */
export function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    h ^= text.charCodeAt(i);
    h = Math.imul(h, 0x01000193);
  }
  return h >>> 0;
}

/**
 * One palette index per key, in the order given. A key's hash picks its colour; if an earlier one of the same ten
 * already has it, the next free colour is taken, so that the first ten never share one.
 */
export function assignColours(keys: readonly string[]): number[] {
  const n = LIGHT.length;
  let used = new Set<number>();
  return keys.map((key) => {
    if (used.size === n) used = new Set();
    let c = hash(key) % n;
    while (used.has(c)) c = (c + 1) % n;
    used.add(c);
    return c;
  });
}

export function colour(index: number, dark: boolean): string {
  const p = dark ? DARK : LIGHT;
  return p[((index % p.length) + p.length) % p.length] ?? p[0];
}

/** "#rrggbb" with an alpha, as rgba(). */
export function alpha(hex: string, a: number): string {
  const n = Number.parseInt(hex.slice(1), 16);
  return `rgba(${(n >> 16) & 255},${(n >> 8) & 255},${n & 255},${a})`;
}
