"""What the page and the server say to each other: JSON objects in text frames (README.md, "The wire").

A command has a number and is answered once, with that number. An event is told by its name and answered by nobody.
"""

from typing import Annotated, Final, NewType

import msgspec

UserId = NewType("UserId", str)
"""Of a person, and the ``sourceId`` of what the person says. Known to everybody."""
RoomId = NewType("RoomId", str)
"""Of a room, and the name of its stream."""

MAX_MESSAGE: Final = 4096
"""Bytes of a command."""


class User(msgspec.Struct, frozen=True):
    """A person, as the others know it."""

    id: UserId
    username: str


class Participant(msgspec.Struct, frozen=True, rename="camel"):
    """A person in a room. ``away``: its connection is lost, and its place is kept for some seconds.

    ``invited``: the owner asked it to speak, and it has not answered yet.
    """

    id: UserId
    username: str
    muted: bool
    raised_hand: bool
    away: bool
    invited: bool = False


class Room(msgspec.Struct, frozen=True, rename="camel"):
    """A room and who is in it, in the order in which they came."""

    id: RoomId
    name: str
    owner_id: UserId
    audio_only: bool
    participants: tuple[Participant, ...]
    speakers: tuple[UserId, ...]


# From the page. The rules are in rooms.py.


class Command(msgspec.Struct, frozen=True, tag_field="do", rename="camel"):
    """``id``: any number of the page's own; the answer has it."""

    id: int


class Authenticate(Command, frozen=True, tag="authenticate"):
    """Be somebody. → ``Welcome``."""

    username: str


class Resume(Command, frozen=True, tag="resume"):
    """Be again who one was, on another connection. → ``Welcome``."""

    user_id: UserId
    secret: str


class SignOut(Command, frozen=True, tag="sign-out"):
    """Be nobody any more: leave all rooms at once, without the seconds of grace."""


class CreateRoom(Command, frozen=True, tag="create-room"):
    """→ the id of the room. Nobody is in it yet."""

    name: str
    audio_only: bool = False


class JoinRoom(Command, frozen=True, tag="join-room"):
    """→ ``Joined``. The owner becomes a speaker. Again: new tokens, and nothing else."""

    room_id: RoomId


class LeaveRoom(Command, frozen=True, tag="leave-room"):
    """The last one closes the room."""

    room_id: RoomId


class ViewerToken(Command, frozen=True, tag="viewer-token"):
    """→ a director's ``data``, good for one connection. For everybody in the room."""

    room_id: RoomId


class PublisherToken(Command, frozen=True, tag="publisher-token"):
    """→ a director's ``data``, good for one connection. For speakers."""

    room_id: RoomId


class RaiseHand(Command, frozen=True, tag="raise-hand"):
    """Ask to speak, or no longer."""

    room_id: RoomId
    raised: bool


class PromoteUser(Command, frozen=True, tag="promote-user"):
    """The owner makes somebody a speaker, or a listener again; ``False`` for a listener takes its hand down.

    Somebody whose hand is not up is invited, and accepts by ``True`` for itself. ``False`` for oneself is everybody's
    right, and declines.
    """

    room_id: RoomId
    user_id: UserId
    promoted: bool


class KickUser(Command, frozen=True, tag="kick-user"):
    """The owner sends somebody out."""

    room_id: RoomId
    user_id: UserId


class MuteSpeaker(Command, frozen=True, tag="mute-speaker"):
    """The owner asks a speaker's page to send silence."""

    room_id: RoomId
    user_id: UserId


class Mute(Command, frozen=True, tag="mute"):
    """A speaker sends silence, or no longer."""

    room_id: RoomId
    muted: bool


AnyCommand = (
    Authenticate
    | Resume
    | SignOut
    | CreateRoom
    | JoinRoom
    | LeaveRoom
    | ViewerToken
    | PublisherToken
    | RaiseHand
    | PromoteUser
    | KickUser
    | MuteSpeaker
    | Mute
)


# Answers.


class Welcome(msgspec.Struct, frozen=True):
    """``secret`` is for ``resume`` and nobody else's business."""

    user: User
    secret: str
    rooms: tuple[Room, ...]


class DirectorData(msgspec.Struct, frozen=True, rename="camel"):
    """What a director answers, as clients of the protocol take it."""

    urls: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    jwt: str
    ice_servers: Annotated[tuple[dict[str, object], ...], msgspec.Meta(max_length=64)] = ()


class Joined(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The room as it is now: hands and microphones are told to the room only, and so unknown to who comes in.

    ``publisherToken`` is for speakers. ``viewerToken`` is missing while the stream is not live and the server does not
    let people wait for it.
    """

    room: Room
    viewer_token: DirectorData | None = None
    publisher_token: DirectorData | None = None


# Events.


class Event(msgspec.Struct, frozen=True, tag_field="event", rename="camel"):
    """Something that happened."""


class RoomCreated(Event, frozen=True, tag="room-created"):
    """To everybody."""

    room: Room


class RoomDeleted(Event, frozen=True, tag="room-deleted"):
    """To everybody."""

    room_id: RoomId


class UserJoined(Event, frozen=True, tag="user-joined"):
    """To everybody."""

    room_id: RoomId
    user: User


class UserLeft(Event, frozen=True, tag="user-left"):
    """To everybody."""

    room_id: RoomId
    user_id: UserId


class UserAway(Event, frozen=True, tag="user-away"):
    """To the room: its connection was lost, or is there again."""

    room_id: RoomId
    user_id: UserId
    away: bool


class UserRaisedHand(Event, frozen=True, tag="user-raised-hand"):
    """To the room."""

    room_id: RoomId
    user_id: UserId
    raised: bool


class UserPromoted(Event, frozen=True, tag="user-promoted"):
    """To everybody. A hand that was up is down; who begins to speak is not muted."""

    room_id: RoomId
    user_id: UserId
    promoted: bool


class UserMuted(Event, frozen=True, tag="user-muted"):
    """To the room."""

    room_id: RoomId
    user_id: UserId
    muted: bool


class UserInvited(Event, frozen=True, tag="user-invited"):
    """To the room: the owner asks it to speak, or no longer."""

    room_id: RoomId
    user_id: UserId
    invited: bool


class Invited(Event, frozen=True, tag="invited"):
    """To who is invited to speak. It is no speaker before it accepts."""

    room_id: RoomId


class Promoted(Event, frozen=True, tag="promoted"):
    """To the new speaker, who asks for a token when its microphone is ready."""

    room_id: RoomId


class Demoted(Event, frozen=True, tag="demoted"):
    """To who was a speaker. Its feed is ended already."""

    room_id: RoomId


class Kicked(Event, frozen=True, tag="kicked"):
    """To who was sent out."""

    room_id: RoomId


class Muted(Event, frozen=True, tag="muted"):
    """To a speaker whom the owner muted."""

    room_id: RoomId


class WireError(Exception):
    """A message is none. ``id``: what it has of a number."""

    def __init__(self, number: int | None, text: str) -> None:
        super().__init__(text)
        self.id = number
        self.text = text


class _Numbered(msgspec.Struct):
    id: int


_COMMAND: Final[msgspec.json.Decoder[AnyCommand]] = msgspec.json.Decoder(AnyCommand)
_NUMBERED: Final = msgspec.json.Decoder(_Numbered)
_encoder: Final = msgspec.json.Encoder()


def decode(text: str | bytes) -> AnyCommand:
    """Read a command. Unknown keys are ignored.

    Raises:
        WireError: it is none.
    """
    try:
        return _COMMAND.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        try:
            number: int | None = _NUMBERED.decode(text).id
        except (msgspec.DecodeError, UnicodeError):
            number = None
        raise WireError(number, f"Not a command: {error}") from error


def encode_event(event: Event) -> str:
    """An event."""
    return _encoder.encode(event).decode()


def encode_answer(number: int, data: object) -> str:
    """What a command brought; ``None`` when it brings nothing."""
    return _encoder.encode({"answer": number, "data": data}).decode()


def encode_refusal(number: int | None, error: str, status: int = 400) -> str:
    """Why a command was not obeyed. ``status``: as HTTP would say it; after 401 and 403 a page does not try again."""
    return _encoder.encode({"answer": number, "error": error, "status": status}).decode()
