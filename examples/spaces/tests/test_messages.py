"""The wire: what is read, what is written."""

import json

import pytest

from spaces import messages
from spaces.messages import RoomId, UserId


def test_every_command_has_its_name_and_its_arguments() -> None:
    read = messages.decode('{"id": 7, "do": "promote-user", "roomId": "r", "userId": "u", "promoted": true, "more": 1}')
    assert read == messages.PromoteUser(7, RoomId("r"), UserId("u"), promoted=True)
    assert messages.decode('{"id": 1, "do": "create-room", "name": "Talk"}') == messages.CreateRoom(1, "Talk")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", None),
        ("[]", None),
        ("\ud800", None),
        ('{"do": "join-room", "roomId": "r"}', None),
        ('{"id": 3, "do": "join-room"}', 3),
        ('{"id": 4, "do": "be-the-owner"}', 4),
        ('{"id": 5, "do": "mute", "roomId": "r", "muted": "yes"}', 5),
    ],
)
def test_what_is_no_command_is_refused_by_its_number(text: str, number: int | None) -> None:
    with pytest.raises(messages.WireError) as caught:
        messages.decode(text)
    assert caught.value.id == number
    assert caught.value.text.startswith("Not a command")


def test_events_are_named_and_flat() -> None:
    event = messages.UserMuted(RoomId("r"), UserId("u"), muted=True)
    assert json.loads(messages.encode_event(event)) == {
        "event": "user-muted",
        "roomId": "r",
        "userId": "u",
        "muted": True,
    }


def test_a_room_is_written_as_the_page_knows_it() -> None:
    participant = messages.Participant(UserId("u"), "Ada", muted=False, raised_hand=True, away=False)
    room = messages.Room(RoomId("r"), "Talk", UserId("u"), True, (participant,), (UserId("u"),))
    assert json.loads(messages.encode_event(messages.RoomCreated(room)))["room"] == {
        "id": "r",
        "name": "Talk",
        "ownerId": "u",
        "audioOnly": True,
        "participants": [
            {"id": "u", "username": "Ada", "muted": False, "raisedHand": True, "away": False, "invited": False}
        ],
        "speakers": ["u"],
    }


def test_answers_have_the_number_of_the_question() -> None:
    assert json.loads(messages.encode_answer(3, None)) == {"answer": 3, "data": None}
    assert json.loads(messages.encode_refusal(3, "No", 403)) == {"answer": 3, "error": "No", "status": 403}


def test_tokens_that_are_not_given_are_left_out() -> None:
    room = messages.Room(RoomId("r"), "Talk", UserId("u"), False, (), ())
    assert json.loads(messages.encode_answer(1, messages.Joined(room)))["data"].keys() == {"room"}
