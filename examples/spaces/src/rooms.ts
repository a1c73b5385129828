import type { Participant, Room, ServerEvent } from './types.js';

type Rooms = readonly Room[];

/** The rooms after an event. What they know already changes nothing; what they do not know is ignored. */
export function applied(rooms: Rooms, event: ServerEvent): Rooms {
  switch (event.event) {
    case 'room-created':
      return withRoom(rooms, event.room);
    case 'room-deleted':
      return rooms.filter(({ id }) => id !== event.roomId);
    case 'user-joined':
      return changed(rooms, event.roomId, (room) => {
        if (room.participants.some(({ id }) => id === event.user.id)) return room;
        const one: Participant = {
          ...event.user,
          muted: false,
          raisedHand: false,
          away: false,
          invited: false,
        };
        return { ...room, participants: [...room.participants, one] };
      });
    case 'user-left':
      return changed(rooms, event.roomId, (room) => ({
        ...room,
        participants: room.participants.filter(({ id }) => id !== event.userId),
        speakers: room.speakers.filter((id) => id !== event.userId),
      }));
    case 'user-promoted':
      return changed(rooms, event.roomId, (room) => {
        const others = room.speakers.filter((id) => id !== event.userId);
        const speakers = event.promoted ? [...others, event.userId] : others;
        const begins = event.promoted ? { raisedHand: false, muted: false, invited: false } : {};
        return withParticipant({ ...room, speakers }, event.userId, begins);
      });
    case 'user-raised-hand':
      return changed(rooms, event.roomId, (room) =>
        withParticipant(room, event.userId, { raisedHand: event.raised }),
      );
    case 'user-muted':
      return changed(rooms, event.roomId, (room) =>
        withParticipant(room, event.userId, { muted: event.muted }),
      );
    case 'user-invited':
      return changed(rooms, event.roomId, (room) =>
        withParticipant(room, event.userId, { invited: event.invited }),
      );
    case 'user-away':
      return changed(rooms, event.roomId, (room) =>
        withParticipant(room, event.userId, { away: event.away }),
      );
    case 'invited':
    case 'promoted':
    case 'demoted':
    case 'kicked':
    case 'muted':
      // What these say about a room, everybody in it hears in other words.
      return rooms;
  }
}

/** A room in the place of what was known of it, or at the end. */
export function withRoom(rooms: Rooms, room: Room): Rooms {
  const isKnown = rooms.some(({ id }) => id === room.id);
  return isKnown ? rooms.map((one) => (one.id === room.id ? room : one)) : [...rooms, room];
}

function changed(rooms: Rooms, id: string, change: (room: Room) => Room): Rooms {
  return rooms.map((room) => (room.id === id ? change(room) : room));
}

function withParticipant(room: Room, id: string, change: Partial<Participant>): Room {
  return {
    ...room,
    participants: room.participants.map((one) => (one.id === id ? { ...one, ...change } : one)),
  };
}

export const participant = (room: Room, id: string): Participant | undefined =>
  room.participants.find((one) => one.id === id);

export const speaks = (room: Room, id: string): boolean => room.speakers.includes(id);

/** The owner first, then in the order in which they became speakers. */
export function speakersOf(room: Room): Participant[] {
  const ids = [...room.speakers].sort(
    (a, b) => Number(b === room.ownerId) - Number(a === room.ownerId),
  );
  return ids.flatMap((id) => participant(room, id) ?? []);
}

/** Who has its hand up first, then in the order in which they came. */
export function listenersOf(room: Room): Participant[] {
  const listeners = room.participants.filter(({ id }) => !speaks(room, id));
  return listeners.sort((a, b) => Number(b.raisedHand) - Number(a.raisedHand));
}

export const handsIn = (room: Room): Participant[] =>
  listenersOf(room).filter(({ raisedHand }) => raisedHand);
