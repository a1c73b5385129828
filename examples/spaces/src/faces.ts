/** One or two letters for a name. */
export function initials(name: string): string {
  const words = name.split(/[\s._-]+/).filter(Boolean);
  const chosen = words.length > 1 ? [words[0], words.at(-1)] : words;
  return chosen
    .map((word) => [...(word ?? '')][0] ?? '')
    .join('')
    .toLocaleUpperCase();
}

/** Degrees on the circle of colours: the same for the same person everywhere. */
export function hue(id: string): number {
  let sum = 0;
  for (const char of id) sum = (Math.imul(sum, 31) + (char.codePointAt(0) ?? 0)) >>> 0;
  // Steps of the golden angle keep neighbours apart.
  return Math.round((sum * 137.508) % 360);
}

export const counted = (count: number, one: string, many = `${one}s`): string =>
  `${count} ${count === 1 ? one : many}`;
