import { describe, expect, it } from 'vitest';
import { applied, handsIn, listenersOf, participant, speakersOf, withRoom } from '../src/rooms.js';
import type { Participant, Room, ServerEvent } from '../src/types.js';

const person = (id: string, change: Partial<Participant> = {}): Participant => ({
  id,
  username: id.toUpperCase(),
  muted: false,
  raisedHand: false,
  away: false,
  invited: false,
  ...change,
});

const room = (change: Partial<Room> = {}): Room => ({
  id: 'r',
  name: 'Talk',
  ownerId: 'ada',
  audioOnly: false,
  participants: [person('ada'), person('ben')],
  speakers: ['ada'],
  ...change,
});

const other = room({ id: 'other', participants: [person('cleo')], speakers: [] });
const after = (event: ServerEvent, before = room()): Room =>
  applied([before, other], event).find(({ id }) => id === 'r') as Room;

describe('rooms', () => {
  it('come, are replaced and go', () => {
    expect(applied([], { event: 'room-created', room: room() })).toEqual([room()]);
    const renamed = room({ name: 'New' });
    expect(withRoom([room(), other], renamed)).toEqual([renamed, other]);
    expect(applied([room(), other], { event: 'room-deleted', roomId: 'r' })).toEqual([other]);
  });

  it('take people in once, and let them go with all that they were', () => {
    const joins: ServerEvent = {
      event: 'user-joined',
      roomId: 'r',
      user: { id: 'cleo', username: 'CLEO' },
    };
    const joined = after(joins);
    expect(joined.participants.map(({ id }) => id)).toEqual(['ada', 'ben', 'cleo']);
    expect(after(joins, joined)).toEqual(joined);
    const left = after({ event: 'user-left', roomId: 'r', userId: 'ada' });
    expect(left.participants.map(({ id }) => id)).toEqual(['ben']);
    expect(left.speakers).toEqual([]);
  });

  it('put a hand down and a microphone on when somebody becomes a speaker', () => {
    const before = room({
      participants: [person('ada'), person('ben', { raisedHand: true, muted: true })],
    });
    const event = { event: 'user-promoted', roomId: 'r', userId: 'ben', promoted: true } as const;
    const promoted = after(event, before);
    expect(promoted.speakers).toEqual(['ada', 'ben']);
    expect(participant(promoted, 'ben')).toEqual(person('ben'));
    expect(after(event, promoted).speakers).toEqual(['ada', 'ben']);
    expect(after({ ...event, promoted: false }, promoted).speakers).toEqual(['ada']);
  });

  it('know hands, microphones and who is away', () => {
    const at = { roomId: 'r', userId: 'ben' };
    const hand = after({ event: 'user-raised-hand', ...at, raised: true });
    expect(participant(hand, 'ben')).toEqual(person('ben', { raisedHand: true }));
    const muted = after({ event: 'user-muted', ...at, muted: true });
    expect(participant(muted, 'ben')).toEqual(person('ben', { muted: true }));
    const away = after({ event: 'user-away', ...at, away: true });
    expect(participant(away, 'ben')).toEqual(person('ben', { away: true }));
  });

  it('ignore what is about other rooms, and about nobody', () => {
    const rooms = [room(), other];
    for (const event of ['promoted', 'demoted', 'kicked', 'muted'] as const) {
      expect(applied(rooms, { event, roomId: 'r' })).toBe(rooms);
    }
    const unknown = { event: 'user-left', roomId: 'unknown', userId: 'ada' } as const;
    expect(applied(rooms, unknown)).toEqual(rooms);
  });

  it('show the owner first and hands before other listeners', () => {
    const shown = room({
      participants: [
        person('ben'),
        person('cleo'),
        person('dora', { raisedHand: true }),
        person('ada'),
      ],
      speakers: ['ben', 'ada'],
    });
    expect(speakersOf(shown).map(({ id }) => id)).toEqual(['ada', 'ben']);
    expect(listenersOf(shown).map(({ id }) => id)).toEqual(['dora', 'cleo']);
    expect(handsIn(shown).map(({ id }) => id)).toEqual(['dora']);
    expect(speakersOf(room({ speakers: ['gone'] }))).toEqual([]);
  });
});
