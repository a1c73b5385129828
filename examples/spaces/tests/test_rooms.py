"""Rules of people and rooms: every event, every refusal, permissions, and the seconds of grace."""

import pytest

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
from spaces.rooms import (
    GRACE_S,
    MAX_ROOM_NAME,
    MAX_ROOMS_OF_OWNER,
    MAX_SPEAKERS,
    MAX_USERNAME,
    Effect,
    EndMedia,
    Refused,
    Rooms,
    Tell,
)

ADA, BEN, CLEO = UserId("ada"), UserId("ben"), UserId("cleo")
ROOM = RoomId("room")
TAKEN = "Somebody here has this name already. Choose another one."
EVERYBODY = (ADA, BEN, CLEO)


def people() -> Rooms:
    """Ada, Ben and Cleo."""
    rooms = Rooms()
    for user in EVERYBODY:
        rooms.authenticate(user.title(), user_id=user, secret=f"secret of {user}")
    return rooms


def talk() -> Rooms:
    """Ada's room, with Ada and Ben in it. Cleo is elsewhere."""
    rooms = people()
    rooms.create(ADA, "Talk", room_id=ROOM, audio_only=False)
    rooms.join(ADA, ROOM)
    rooms.join(BEN, ROOM)
    return rooms


def speaks(rooms: Rooms, user: UserId) -> None:
    """Makes a speaker of somebody who asked for it."""
    rooms.raise_hand(user, ROOM, raised=True)
    rooms.promote(ADA, ROOM, user, promoted=True)


def in_room(event: Event) -> Tell:
    return Tell((ADA, BEN), event)


def to_all(event: Event) -> Tell:
    return Tell(EVERYBODY, event)


def here(rooms: Rooms) -> Room:
    (room,) = rooms.view()
    return room


def place(rooms: Rooms, user: UserId) -> Participant:
    (found,) = (one for one in here(rooms).participants if one.id == user)
    return found


def refusal(call: object, *args: object, **options: object) -> str:
    assert callable(call)
    with pytest.raises(Refused) as caught:
        call(*args, **options)
    return caught.value.text


def test_a_name_is_needed_and_belongs_to_one_person() -> None:
    rooms = people()
    for nothing in ("", "   ", "x" * 33, "a\x00b"):
        assert (
            refusal(rooms.authenticate, nothing, user_id=UserId("x"), secret="s")
            == f"A name has 1 to {MAX_USERNAME} letters. Enter one."
        )
    for taken in ("Ada", "  aDA "):
        assert refusal(rooms.authenticate, taken, user_id=UserId("x"), secret="s") == TAKEN
    assert rooms.authenticate(" Dora  Maar ", user_id=UserId("d"), secret="s") == User(UserId("d"), "Dora Maar")


def test_a_room_is_told_to_everybody_and_empty_at_first() -> None:
    rooms = people()
    effects = rooms.create(ADA, " Talk ", room_id=ROOM, audio_only=True)
    room = Room(ROOM, "Talk", ADA, True, (), ())
    assert effects == [to_all(RoomCreated(room))]
    assert rooms.view() == (room,)
    assert (
        refusal(rooms.create, ADA, " ", room_id=RoomId("x"), audio_only=False)
        == f"The name of a room has 1 to {MAX_ROOM_NAME} letters. Enter one."
    )


def test_one_person_owns_a_few_rooms_and_no_more() -> None:
    rooms = people()
    for number in range(MAX_ROOMS_OF_OWNER):
        rooms.create(ADA, "Talk", room_id=RoomId(str(number)), audio_only=False)
    assert (
        refusal(rooms.create, ADA, "Talk", room_id=ROOM, audio_only=False)
        == "There are too many rooms. Close one, or join one."
    )
    rooms.create(BEN, "Talk", room_id=ROOM, audio_only=False)


def test_the_owner_speaks_from_the_start_and_others_listen() -> None:
    rooms = people()
    rooms.create(ADA, "Talk", room_id=ROOM, audio_only=False)
    assert rooms.join(ADA, ROOM) == [
        to_all(UserJoined(ROOM, User(ADA, "Ada"))),
        to_all(UserPromoted(ROOM, ADA, promoted=True)),
    ]
    assert rooms.join(BEN, ROOM) == [to_all(UserJoined(ROOM, User(BEN, "Ben")))]
    assert here(rooms).speakers == (ADA,)
    assert [one.username for one in here(rooms).participants] == ["Ada", "Ben"]
    rooms.check_publisher(ADA, ROOM)
    rooms.check_viewer(BEN, ROOM)


def test_joining_again_changes_nothing() -> None:
    rooms = talk()
    before = rooms.view()
    assert rooms.join(ADA, ROOM) == []
    assert rooms.view() == before


def test_a_listener_may_not_publish_and_a_stranger_may_nothing() -> None:
    rooms = talk()
    assert refusal(rooms.check_publisher, BEN, ROOM) == "participant is not a speaker"
    assert refusal(rooms.check_publisher, CLEO, ROOM) == "participant does not exist in room"
    assert refusal(rooms.check_viewer, CLEO, ROOM) == "participant does not exist in room"
    assert refusal(rooms.check_viewer, BEN, RoomId("other")) == "This room is closed. Choose another one, or open one."


def test_a_hand_goes_up_and_down_before_the_room() -> None:
    rooms = talk()
    assert rooms.raise_hand(BEN, ROOM, raised=True) == [in_room(UserRaisedHand(ROOM, BEN, raised=True))]
    assert place(rooms, BEN).raised_hand
    assert rooms.raise_hand(BEN, ROOM, raised=False) == [in_room(UserRaisedHand(ROOM, BEN, raised=False))]
    assert not place(rooms, BEN).raised_hand
    assert refusal(rooms.raise_hand, ADA, ROOM, raised=True) == "participant is already speaking"
    assert refusal(rooms.raise_hand, CLEO, ROOM, raised=True) == "participant does not exist in room"


def test_promotion_takes_the_hand_down_and_opens_the_door() -> None:
    rooms = talk()
    rooms.raise_hand(BEN, ROOM, raised=True)
    assert rooms.promote(ADA, ROOM, BEN, promoted=True) == [
        Tell((BEN,), Promoted(ROOM)),
        to_all(UserPromoted(ROOM, BEN, promoted=True)),
    ]
    assert here(rooms).speakers == (ADA, BEN)
    assert not place(rooms, BEN).raised_hand
    rooms.check_publisher(BEN, ROOM)
    assert refusal(rooms.promote, ADA, ROOM, BEN, promoted=True) == "participant is already speaking"


def test_somebody_who_is_invited_is_no_speaker_before_it_accepts() -> None:
    rooms = talk()
    assert rooms.promote(ADA, ROOM, BEN, promoted=True) == [
        Tell((BEN,), Invited(ROOM)),
        in_room(UserInvited(ROOM, BEN, invited=True)),
    ]
    assert here(rooms).speakers == (ADA,)
    assert place(rooms, BEN).invited
    assert refusal(rooms.check_publisher, BEN, ROOM) == "participant is not a speaker"
    assert rooms.promote(BEN, ROOM, BEN, promoted=True) == [
        Tell((BEN,), Promoted(ROOM)),
        to_all(UserPromoted(ROOM, BEN, promoted=True)),
    ]
    assert here(rooms).speakers == (ADA, BEN)
    assert not place(rooms, BEN).invited


@pytest.mark.parametrize("who", [ADA, BEN])
def test_an_invitation_is_declined_or_withdrawn(who: UserId) -> None:
    rooms = talk()
    rooms.promote(ADA, ROOM, BEN, promoted=True)
    assert in_room(UserInvited(ROOM, BEN, invited=False)) in rooms.promote(who, ROOM, BEN, promoted=False)
    assert refusal(rooms.promote, BEN, ROOM, BEN, promoted=True) == "You are not the owner of the room"


def test_without_the_host_nobody_can_ask_to_speak() -> None:
    rooms = talk()
    rooms.leave(ADA, ROOM)
    assert refusal(rooms.raise_hand, BEN, ROOM, raised=True).startswith("The host has left the room")
    assert not place(rooms, BEN).raised_hand


def test_a_host_that_leaves_takes_invitations_and_hands_along() -> None:
    rooms = talk()
    rooms.join(CLEO, ROOM)
    rooms.promote(ADA, ROOM, BEN, promoted=True)
    rooms.raise_hand(CLEO, ROOM, raised=True)
    told = rooms.leave(ADA, ROOM)
    assert Tell((BEN, CLEO), UserInvited(ROOM, BEN, invited=False)) in told
    assert Tell((BEN, CLEO), UserRaisedHand(ROOM, CLEO, raised=False)) in told
    assert not place(rooms, BEN).invited
    assert not place(rooms, CLEO).raised_hand


def test_demotion_ends_the_feed_and_closes_the_door() -> None:
    rooms = talk()
    speaks(rooms, BEN)
    assert rooms.promote(ADA, ROOM, BEN, promoted=False) == [
        EndMedia(BEN, ROOM, "publish"),
        Tell((BEN,), Demoted(ROOM)),
        to_all(UserPromoted(ROOM, BEN, promoted=False)),
    ]
    assert here(rooms).speakers == (ADA,)
    assert refusal(rooms.check_publisher, BEN, ROOM) == "participant is not a speaker"


def test_demoting_a_listener_rejects_its_hand() -> None:
    rooms = talk()
    rooms.raise_hand(BEN, ROOM, raised=True)
    assert rooms.promote(ADA, ROOM, BEN, promoted=False) == [in_room(UserRaisedHand(ROOM, BEN, raised=False))]
    assert not place(rooms, BEN).raised_hand


def test_a_speaker_may_step_down_by_itself() -> None:
    rooms = talk()
    speaks(rooms, BEN)
    assert EndMedia(BEN, ROOM, "publish") in rooms.promote(BEN, ROOM, BEN, promoted=False)
    assert refusal(rooms.promote, BEN, ROOM, BEN, promoted=True) == "You are not the owner of the room"


def test_a_room_has_a_limit_of_speakers() -> None:
    rooms = talk()
    for number in range(MAX_SPEAKERS):
        user = UserId(str(number))
        rooms.authenticate(f"Guest {number}", user_id=user, secret="s")
        rooms.join(user, ROOM)
        if number < MAX_SPEAKERS - 1:
            speaks(rooms, user)
    rooms.raise_hand(BEN, ROOM, raised=True)
    assert refusal(rooms.promote, ADA, ROOM, BEN, promoted=True) == "Too many speakers"


def test_somebody_who_is_sent_out_is_told_first_and_hears_nothing_more() -> None:
    rooms = talk()
    speaks(rooms, BEN)
    assert rooms.kick(ADA, ROOM, BEN) == [
        Tell((BEN,), Kicked(ROOM)),
        EndMedia(BEN, ROOM, "publish"),
        EndMedia(BEN, ROOM, "view"),
        to_all(UserLeft(ROOM, BEN)),
    ]
    assert refusal(rooms.check_viewer, BEN, ROOM) == "participant does not exist in room"


def test_the_owner_mutes_a_speaker_who_may_unmute_itself() -> None:
    rooms = talk()
    assert refusal(rooms.mute_speaker, ADA, ROOM, BEN) == "participant is not a speaker"
    assert refusal(rooms.mute, BEN, ROOM, muted=True) == "participant is not a speaker"
    speaks(rooms, BEN)
    assert rooms.mute_speaker(ADA, ROOM, BEN) == [
        Tell((BEN,), Muted(ROOM)),
        in_room(UserMuted(ROOM, BEN, muted=True)),
    ]
    assert place(rooms, BEN).muted
    assert rooms.mute(BEN, ROOM, muted=False) == [in_room(UserMuted(ROOM, BEN, muted=False))]
    assert not place(rooms, BEN).muted


def test_a_new_speaker_is_not_muted() -> None:
    rooms = talk()
    speaks(rooms, BEN)
    rooms.mute(BEN, ROOM, muted=True)
    rooms.promote(ADA, ROOM, BEN, promoted=False)
    speaks(rooms, BEN)
    assert not place(rooms, BEN).muted


@pytest.mark.parametrize("act", ["promote", "demote", "kick", "mute"])
def test_only_the_owner_has_the_rights_of_the_owner(act: str) -> None:
    rooms = talk()
    acts = {
        "promote": lambda: rooms.promote(BEN, ROOM, BEN, promoted=True),
        "demote": lambda: rooms.promote(BEN, ROOM, ADA, promoted=False),
        "kick": lambda: rooms.kick(BEN, ROOM, ADA),
        "mute": lambda: rooms.mute_speaker(BEN, ROOM, ADA),
    }
    before = rooms.view()
    assert refusal(acts[act]) == "You are not the owner of the room"
    assert rooms.view() == before


@pytest.mark.parametrize("act", ["promote", "demote", "kick", "mute"])
def test_the_owner_acts_on_people_of_the_room_only(act: str) -> None:
    rooms = talk()
    acts = {
        "promote": lambda: rooms.promote(ADA, ROOM, CLEO, promoted=True),
        "demote": lambda: rooms.promote(ADA, ROOM, CLEO, promoted=False),
        "kick": lambda: rooms.kick(ADA, ROOM, CLEO),
        "mute": lambda: rooms.mute_speaker(ADA, ROOM, CLEO),
    }
    assert refusal(acts[act]) == "participant does not exist in room"


@pytest.mark.parametrize("act", ["join", "leave", "hand", "promote", "kick", "mute", "mute_speaker", "view", "publish"])
def test_there_is_nothing_to_do_in_a_room_that_does_not_exist(act: str) -> None:
    rooms = talk()
    gone = RoomId("gone")
    acts = {
        "join": lambda: rooms.join(ADA, gone),
        "leave": lambda: rooms.leave(ADA, gone),
        "hand": lambda: rooms.raise_hand(ADA, gone, raised=True),
        "promote": lambda: rooms.promote(ADA, gone, BEN, promoted=True),
        "kick": lambda: rooms.kick(ADA, gone, BEN),
        "mute": lambda: rooms.mute(ADA, gone, muted=True),
        "mute_speaker": lambda: rooms.mute_speaker(ADA, gone, BEN),
        "view": lambda: rooms.check_viewer(ADA, gone),
        "publish": lambda: rooms.check_publisher(ADA, gone),
    }
    assert refusal(acts[act]) == "This room is closed. Choose another one, or open one."


def test_nobody_does_nothing() -> None:
    rooms = talk()
    nobody = UserId("nobody")
    assert refusal(rooms.create, nobody, "Talk", room_id=RoomId("x"), audio_only=False) == "Not authenticated"
    assert refusal(rooms.join, nobody, ROOM) == "Not authenticated"
    assert rooms.sign_out(nobody) == []
    assert rooms.lost(nobody, 0) == []


def test_the_last_one_closes_the_room() -> None:
    rooms = talk()
    # Listeners stay among themselves when the owner goes, who may come back as the owner.
    assert rooms.leave(ADA, ROOM) == [
        EndMedia(ADA, ROOM, "publish"),
        EndMedia(ADA, ROOM, "view"),
        to_all(UserLeft(ROOM, ADA)),
    ]
    assert refusal(rooms.leave, ADA, ROOM) == "participant does not exist in room"
    assert rooms.leave(BEN, ROOM) == [
        EndMedia(BEN, ROOM, "view"),
        to_all(UserLeft(ROOM, BEN)),
        to_all(RoomDeleted(ROOM)),
    ]
    assert rooms.view() == ()


def test_an_owner_who_comes_back_is_the_owner() -> None:
    rooms = talk()
    rooms.leave(ADA, ROOM)
    rooms.join(ADA, ROOM)
    assert here(rooms).speakers == (ADA,)
    speaks(rooms, BEN)


def test_who_signs_out_is_gone_at_once_and_the_name_is_free() -> None:
    rooms = talk()
    assert rooms.sign_out(BEN) == [EndMedia(BEN, ROOM, "view"), to_all(UserLeft(ROOM, BEN))]
    rooms.authenticate("Ben", user_id=UserId("other"), secret="s")
    assert refusal(rooms.resume, BEN, "secret of ben") == "Not authenticated"


def test_a_room_that_nobody_ever_entered_goes_with_its_owner() -> None:
    rooms = people()
    rooms.create(ADA, "Talk", room_id=ROOM, audio_only=False)
    assert rooms.sign_out(ADA) == [to_all(RoomDeleted(ROOM))]


def test_a_lost_connection_keeps_everything_for_some_seconds() -> None:
    rooms = talk()
    speaks(rooms, BEN)
    before = rooms.view()
    assert rooms.lost(BEN, 100.0) == [in_room(UserAway(ROOM, BEN, away=True))]
    assert place(rooms, BEN).away
    assert rooms.expire(100.0 + GRACE_S - 0.1) == []
    assert refusal(rooms.authenticate, "Ben", user_id=UserId("x"), secret="s") == TAKEN
    assert rooms.resume(BEN, "secret of ben") == (User(BEN, "Ben"), [in_room(UserAway(ROOM, BEN, away=False))])
    assert rooms.view() == before
    assert rooms.expire(1e9) == []


def test_after_the_grace_a_place_is_free() -> None:
    rooms = talk()
    rooms.lost(ADA, 100.0)
    effects: list[Effect] = rooms.expire(100.0 + GRACE_S)
    assert EndMedia(ADA, ROOM, "publish") in effects
    assert to_all(UserLeft(ROOM, ADA)) in effects
    assert refusal(rooms.resume, ADA, "secret of ada") == "Not authenticated"
    rooms.authenticate("Ada", user_id=UserId("other"), secret="s")


def test_each_loss_has_its_own_grace() -> None:
    rooms = talk()
    rooms.lost(BEN, 100.0)
    rooms.resume(BEN, "secret of ben")
    rooms.lost(BEN, 100.0 + GRACE_S - 1)
    assert rooms.expire(100.0 + GRACE_S) == []


def test_a_place_is_given_back_for_its_secret_only() -> None:
    rooms = talk()
    rooms.lost(BEN, 100.0)
    for wrong in ("", "secret of ada", "sécret"):
        assert refusal(rooms.resume, BEN, wrong) == "Not authenticated"
    assert refusal(rooms.resume, UserId("nobody"), "secret of ben") == "Not authenticated"


def test_resuming_without_a_loss_is_no_news() -> None:
    rooms = talk()
    assert rooms.resume(BEN, "secret of ben") == (User(BEN, "Ben"), [])
