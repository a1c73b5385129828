import { describe, expect, it } from 'vitest';
import { linkOf, roomIn } from '../src/link.js';

describe('the link of a room', () => {
  it('names it, and keeps the path and what else it says', () => {
    const page = { pathname: '/spaces/', search: '?theme=dark' };
    expect(linkOf('a b', page)).toBe('/spaces/?theme=dark&room=a+b');
    expect(roomIn('?theme=dark&room=a+b')).toBe('a b');
    expect(linkOf(undefined, { ...page, search: '?room=x' })).toBe('/spaces/');
    expect(roomIn('?room=')).toBeUndefined();
  });
});
