/** The address of the page names the room that it shows, so that it can be sent to others. */
const KEY = 'room';

/** The room that an address names. */
export const roomIn = (search: string): string | undefined =>
  new URLSearchParams(search).get(KEY) || undefined;

/** The address of a room, or of none, at the same page. */
export function linkOf(
  room: string | undefined,
  { pathname, search }: Pick<Location, 'pathname' | 'search'>,
): string {
  const parameters = new URLSearchParams(search);
  if (room) parameters.set(KEY, room);
  else parameters.delete(KEY);
  const rest = parameters.toString();
  return rest ? `${pathname}?${rest}` : pathname;
}
