"""Who is who, who is in which room, and who may do what there. Pure: no clock, no randomness, no sockets.

Every method either raises ``Refused`` and changes nothing, or changes the state and returns what is to be done.
"""

from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Final, Literal

from spaces.messages import (
    Demoted,
    Event,
    Invited,
    Kicked,
    Muted,
    Participant,
    Promoted,
    Room,
    RoomCreated,
    RoomDeleted,
    RoomId,
    User,
    UserAway,
    UserId,
    UserInvited,
    UserJoined,
    UserLeft,
    UserMuted,
    UserPromoted,
    UserRaisedHand,
)

GRACE_S: Final = 20.0
"""How long the place of somebody whose connection was lost is kept: a tunnel, a lift, a page loaded anew."""
MAX_USERS: Final = 5_000
MAX_ROOMS: Final = 500
MAX_ROOMS_OF_OWNER: Final = 5
MAX_SPEAKERS: Final = 200
"""Below the 256 sources that Rostra takes for a stream."""
MAX_USERNAME: Final = 32
MAX_ROOM_NAME: Final = 80

Door = Literal["publish", "view"]
"""The two ways to Rostra: sending to the stream of a room, and receiving it."""


class Refused(Exception):  # noqa: N818 — a rule said no, nothing broke
    """A rule said no. ``status``: as HTTP would say it."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell an event to these people, as far as they are connected."""

    users: tuple[UserId, ...]
    event: Event


@dataclass(frozen=True, slots=True)
class EndMedia:
    """End what somebody sends to or receives from a room, whatever its page does."""

    user: UserId
    room: RoomId
    door: Door


Effect = Tell | EndMedia


@dataclass(slots=True)
class _Person:
    user: User
    secret: str = field(repr=False)
    away_since_s: float | None = None


@dataclass(slots=True)
class _Place:
    is_muted: bool = False
    has_raised_hand: bool = False
    is_invited: bool = False
    """The owner asked it to speak, and it has not answered."""


@dataclass(slots=True)
class _Room:
    id: RoomId
    name: str
    owner: UserId
    is_audio_only: bool
    places: dict[UserId, _Place] = field(default_factory=dict)
    speakers: list[UserId] = field(default_factory=list)


class Rooms:
    """All people and all rooms. Times are seconds of any clock that does not go back."""

    def __init__(self) -> None:
        self._people: Final[dict[UserId, _Person]] = {}
        self._rooms: Final[dict[RoomId, _Room]] = {}

    # People.

    def authenticate(self, username: str, *, user_id: UserId, secret: str) -> User:
        """Somebody new. ``user_id`` and ``secret`` were never used before.

        Raises:
            Refused: there is no such name, or somebody has it.
        """
        name = _named(username, MAX_USERNAME, f"A name has 1 to {MAX_USERNAME} letters. Enter one.")
        if any(person.user.username.casefold() == name.casefold() for person in self._people.values()):
            raise Refused("Somebody here has this name already. Choose another one.")
        if len(self._people) >= MAX_USERS:
            raise Refused("Too many people are here. Try again later.", 503)
        user = User(user_id, name)
        self._people[user_id] = _Person(user, secret)
        return user

    def resume(self, user_id: UserId, secret: str) -> tuple[User, list[Effect]]:
        """Somebody whose connection was lost is there again, with everything that was.

        Raises:
            Refused: nobody, or somebody whose time is over.
        """
        person = self._people.get(user_id)
        if person is None or not compare_digest(person.secret.encode(), secret.encode()):
            raise Refused("Not authenticated", 401)
        if person.away_since_s is None:
            return person.user, []
        person.away_since_s = None
        return person.user, self._tell_away(user_id, away=False)

    def lost(self, user_id: UserId, now_s: float) -> list[Effect]:
        """The connection of somebody is gone. It may come back within ``GRACE_S``."""
        person = self._people.get(user_id)
        if person is None:
            return []
        person.away_since_s = now_s
        return self._tell_away(user_id, away=True)

    def sign_out(self, user_id: UserId) -> list[Effect]:
        """Somebody is gone for good: out of all rooms, and the name is free."""
        if user_id not in self._people:
            return []
        effects: list[Effect] = []
        for room in [room for room in self._rooms.values() if user_id in room.places]:
            effects += self._leave(room, user_id)
        for room in [room for room in self._rooms.values() if room.owner == user_id and not room.places]:
            effects += self._delete(room)
        del self._people[user_id]
        return effects

    def expire(self, now_s: float) -> list[Effect]:
        """Let go of everybody whose time to come back is over."""
        gone = [
            user_id
            for user_id, person in self._people.items()
            if person.away_since_s is not None and now_s - person.away_since_s >= GRACE_S
        ]
        return [effect for user_id in gone for effect in self.sign_out(user_id)]

    def view(self) -> tuple[Room, ...]:
        """All rooms, the oldest first."""
        return tuple(self._view(room) for room in self._rooms.values())

    # Rooms.

    def create(self, user_id: UserId, name: str, *, room_id: RoomId, audio_only: bool) -> list[Effect]:
        """A room, with nobody in it yet. ``room_id`` was never used before.

        Raises:
            Refused: there is no such name, or there are enough rooms.
        """
        self._person(user_id)
        its_name = _named(name, MAX_ROOM_NAME, f"The name of a room has 1 to {MAX_ROOM_NAME} letters. Enter one.")
        owned = sum(room.owner == user_id for room in self._rooms.values())
        if len(self._rooms) >= MAX_ROOMS or owned >= MAX_ROOMS_OF_OWNER:
            raise Refused("There are too many rooms. Close one, or join one.")
        room = self._rooms[room_id] = _Room(room_id, its_name, user_id, audio_only)
        return [self._to_all(RoomCreated(self._view(room)))]

    def join(self, user_id: UserId, room_id: RoomId) -> list[Effect]:
        """Come in. The owner is a speaker from the start.

        Raises:
            Refused: no such room.
        """
        user, room = self._person(user_id).user, self._room(room_id)
        if user_id in room.places:
            return []
        room.places[user_id] = _Place()
        effects: list[Effect] = [self._to_all(UserJoined(room_id, user))]
        if user_id == room.owner:
            room.speakers.append(user_id)
            effects.append(self._to_all(UserPromoted(room_id, user_id, promoted=True)))
        return effects

    def leave(self, user_id: UserId, room_id: RoomId) -> list[Effect]:
        """Go out. The last one closes the room.

        Raises:
            Refused: no such room, or not in it.
        """
        room = self._room(room_id)
        _place(room, user_id)
        return self._leave(room, user_id)

    def raise_hand(self, user_id: UserId, room_id: RoomId, *, raised: bool) -> list[Effect]:
        """Ask to speak.

        Raises:
            Refused: no such room, not in it, or speaking already.
        """
        room = self._room(room_id)
        place = _place(room, user_id)
        if raised and user_id in room.speakers:
            raise Refused("participant is already speaking")
        if raised and room.owner not in room.places:
            raise Refused("The host has left the room: nobody can let you speak")
        return self._raise(room, user_id, place, raised=raised)

    def promote(self, caller: UserId, room_id: RoomId, user_id: UserId, *, promoted: bool) -> list[Effect]:
        """The owner makes a speaker of a listener, or a listener of a speaker. Everybody may stop being one.

        A listener whose hand is up speaks at once. Another one is invited, and speaks when it promotes itself.

        Raises:
            Refused: no such room, not its owner, nobody of the room, speaking already, or enough speak.
        """
        room = self._room(room_id)
        is_own = user_id == caller and (not promoted or (caller in room.places and room.places[caller].is_invited))
        if not is_own:
            self._owned(caller, room_id)
        place = _place(room, user_id)
        if promoted:
            if user_id in room.speakers:
                raise Refused("participant is already speaking")
            if not is_own and not place.has_raised_hand:
                return self._invite(room, user_id, place, invited=True)
            if len(room.speakers) >= MAX_SPEAKERS:
                raise Refused("Too many speakers")
            room.speakers.append(user_id)
            place.has_raised_hand = place.is_muted = place.is_invited = False
            return [
                Tell((user_id,), Promoted(room_id)),
                self._to_all(UserPromoted(room_id, user_id, promoted=True)),
            ]
        if user_id not in room.speakers:
            withdrawn = self._invite(room, user_id, place, invited=False) if place.is_invited else []
            return [*withdrawn, *self._raise(room, user_id, place, raised=False)]
        room.speakers.remove(user_id)
        return [
            EndMedia(user_id, room_id, "publish"),
            Tell((user_id,), Demoted(room_id)),
            self._to_all(UserPromoted(room_id, user_id, promoted=False)),
        ]

    def kick(self, caller: UserId, room_id: RoomId, user_id: UserId) -> list[Effect]:
        """The owner sends somebody out.

        Raises:
            Refused: no such room, not its owner, or nobody of the room.
        """
        room = self._owned(caller, room_id)
        _place(room, user_id)
        return [Tell((user_id,), Kicked(room_id)), *self._leave(room, user_id)]

    def mute_speaker(self, caller: UserId, room_id: RoomId, user_id: UserId) -> list[Effect]:
        """The owner has a speaker's page send silence.

        Raises:
            Refused: no such room, not its owner, nobody of the room, or no speaker.
        """
        room = self._owned(caller, room_id)
        place = _speaking(room, user_id)
        place.is_muted = True
        return [Tell((user_id,), Muted(room_id)), self._to_room(room, UserMuted(room_id, user_id, muted=True))]

    def mute(self, user_id: UserId, room_id: RoomId, *, muted: bool) -> list[Effect]:
        """A speaker's own word about its microphone.

        Raises:
            Refused: no such room, not in it, or no speaker.
        """
        room = self._room(room_id)
        place = _speaking(room, user_id)
        place.is_muted = muted
        return [self._to_room(room, UserMuted(room_id, user_id, muted))]

    def check_viewer(self, user_id: UserId, room_id: RoomId) -> None:
        """Whether somebody may receive the stream of a room.

        Raises:
            Refused: no.
        """
        _place(self._room(room_id), user_id)

    def check_publisher(self, user_id: UserId, room_id: RoomId) -> None:
        """Whether somebody may send to the stream of a room.

        Raises:
            Refused: no.
        """
        _speaking(self._room(room_id), user_id)

    def room(self, room_id: RoomId) -> Room:
        """One room.

        Raises:
            Refused: there is none.
        """
        return self._view(self._room(room_id))

    # What they have in common.

    def _person(self, user_id: UserId) -> _Person:
        person = self._people.get(user_id)
        if person is None:
            raise Refused("Not authenticated", 401)
        return person

    def _room(self, room_id: RoomId) -> _Room:
        room = self._rooms.get(room_id)
        if room is None:
            raise Refused("This room is closed. Choose another one, or open one.", 403)
        return room

    def _owned(self, caller: UserId, room_id: RoomId) -> _Room:
        room = self._room(room_id)
        if room.owner != caller:
            raise Refused("You are not the owner of the room", 403)
        return room

    def _raise(self, room: _Room, user_id: UserId, place: _Place, *, raised: bool) -> list[Effect]:
        place.has_raised_hand = raised
        return [self._to_room(room, UserRaisedHand(room.id, user_id, raised))]

    def _invite(self, room: _Room, user_id: UserId, place: _Place, *, invited: bool) -> list[Effect]:
        place.is_invited = invited
        told: list[Effect] = [Tell((user_id,), Invited(room.id))] if invited else []
        return [*told, self._to_room(room, UserInvited(room.id, user_id, invited))]

    def _leave(self, room: _Room, user_id: UserId) -> list[Effect]:
        effects: list[Effect] = [EndMedia(user_id, room.id, "view")]
        if user_id in room.speakers:
            room.speakers.remove(user_id)
            effects.insert(0, EndMedia(user_id, room.id, "publish"))
        del room.places[user_id]
        effects.append(self._to_all(UserLeft(room.id, user_id)))
        if user_id == room.owner:
            effects += self._withdraw(room)
        if not room.places:
            effects += self._delete(room)
        return effects

    def _withdraw(self, room: _Room) -> list[Effect]:
        """Without the owner nobody becomes a speaker: invitations and hands are taken back."""
        effects: list[Effect] = []
        for user_id, place in room.places.items():
            if place.is_invited:
                effects += self._invite(room, user_id, place, invited=False)
            if place.has_raised_hand:
                effects += self._raise(room, user_id, place, raised=False)
        return effects

    def _delete(self, room: _Room) -> list[Effect]:
        del self._rooms[room.id]
        return [self._to_all(RoomDeleted(room.id))]

    def _tell_away(self, user_id: UserId, *, away: bool) -> list[Effect]:
        rooms = [room for room in self._rooms.values() if user_id in room.places]
        return [self._to_room(room, UserAway(room.id, user_id, away)) for room in rooms]

    def _to_all(self, event: Event) -> Tell:
        return Tell(tuple(self._people), event)

    def _to_room(self, room: _Room, event: Event) -> Tell:
        return Tell(tuple(room.places), event)

    def _view(self, room: _Room) -> Room:
        participants = (
            Participant(
                user_id,
                self._people[user_id].user.username,
                place.is_muted,
                place.has_raised_hand,
                self._people[user_id].away_since_s is not None,
                place.is_invited,
            )
            for user_id, place in room.places.items()
        )
        speakers = tuple(room.speakers)
        return Room(room.id, room.name, room.owner, room.is_audio_only, tuple(participants), speakers)


def _place(room: _Room, user_id: UserId) -> _Place:
    place = room.places.get(user_id)
    if place is None:
        raise Refused("participant does not exist in room", 403)
    return place


def _speaking(room: _Room, user_id: UserId) -> _Place:
    place = _place(room, user_id)
    if user_id not in room.speakers:
        raise Refused("participant is not a speaker", 403)
    return place


def _named(text: str, limit: int, missing: str) -> str:
    """The name without what is around it. Runs of white space count as one blank: names that look alike are alike."""
    name = " ".join(text.split())
    if not name or len(name) > limit or not name.isprintable():
        raise Refused(missing)
    return name
