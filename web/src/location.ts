export type Tab = 'publish' | 'watch';

/** The server's address as the page has it, a path of a proxy included, with a slash at its end. */
export const serverAddress = (): string => new URL('.', location.href).href;

export const withoutSlash = (address: string): string => address.replace(/\/$/, '');

/** The streams that an address asks to watch: `?watch=a&watch=b`. */
export function watchedIn(search: string): string[] {
  const names = new URLSearchParams(search).getAll('watch').map((name) => name.trim());
  return [...new Set(names.filter((name) => name !== ''))];
}

/** The address of the page that watches these streams; other parameters stay. */
export function withWatched(search: string, names: readonly string[]): string {
  const parameters = new URLSearchParams(search);
  parameters.delete('watch');
  for (const name of names) parameters.append('watch', name);
  const text = parameters.toString();
  return text ? `?${text}` : '';
}

/** An address that names streams opens on watching; otherwise the hash decides. */
export function tabIn(search: string, hash: string): Tab {
  if (hash === '#watch' || hash === '#publish') return hash.slice(1) as Tab;
  return watchedIn(search).length > 0 ? 'watch' : 'publish';
}
