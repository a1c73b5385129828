"""Where encoders put stream, token and parameters."""

import pytest

from rostra.protocol.rtmp import BadTarget, Target, parse_target

TOKEN = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"


@pytest.mark.parametrize(
    ("app", "tc_url", "name"),
    [
        ("v2/pub", "rtmp://h/v2/pub", f"demo?token={TOKEN}&sourceId=cam1"),
        ("v2/pub/", "rtmp://h/v2/pub/", f"demo?token={TOKEN}&sourceId=cam1"),
        (f"v2/pub?token={TOKEN}&sourceId=cam1", "rtmp://h/v2/pub", "demo"),
        ("v2/pub", f"rtmp://h/v2/pub?token={TOKEN}&sourceId=cam1", "demo"),
        ("v2/pub", f"rtmp://h/v2/pub?token={TOKEN}", "demo?sourceId=cam1"),
        ("v2/pub/demo", "rtmp://h/v2/pub/demo", f"?token={TOKEN}&sourceId=cam1"),
        ("v2/pub", "", f"?streamName=demo&token={TOKEN}&sourceId=cam1"),
        ("v2/pub", "", "demo?t=ABEiM0RVZneImaq7zN3u_wARIjNEVWZ3iJmqu8zd7v8&sourceId=cam1"),
        ("v2/pub", "", f"demo?sourceId=cam1?token={TOKEN}"),
    ],
)
def test_the_token_is_found_wherever_an_encoder_puts_it(app: str, tc_url: str, name: str) -> None:
    assert parse_target(app, tc_url, name) == Target("demo", TOKEN, "cam1")


def test_parameters_are_those_of_the_reference() -> None:
    target = parse_target("v2/pub", "", "demo?priority=-3&videoOnly&enableUTCInsertion=true&seiKeyFrameOnly=1&record=0")
    assert target == Target("demo", "", None, -3, False, True, False, True, True)
    assert not parse_target("v2/pub", "", "demo?audioOnly=1").wants_video
    assert not parse_target("v2/pub", "", "demo?noAudio").wants_audio
    assert parse_target("v2/pub", "", "demo?audioOnly=false").wants_video


@pytest.mark.parametrize(
    ("app", "name"),
    [
        ("live", "demo"),
        ("", ""),
        ("v2/pub", ""),
        ("v2/pub", "a" * 129),
        ("v2/pub", "a\0b"),
        ("v2/pub", "demo?priority=9999999999"),
        ("v2/pub", "demo?priority=²"),
        ("v2/pub", "demo?audioOnly&videoOnly"),
        ("v2/pub", "demo?simulcastId"),
        ("v2/pub", "demo?token=a&t=b"),
        ("v2/pub", "demo?t=*"),
        ("v2/pub", "demo?token=" + "a" * 257),
        ("v2/pub", "demo?t=" + "A" * 400),
        ("v2/pub", "demo?token=a%01"),
        ("v2/pub", "demo?token=\U0001f511"),
        ("v2/pub", "demo?" + "&".join(f"a{i}=1" for i in range(100))),
        ("v2/pub", "demo?" + "a" * 5000),
        ("v2/pub/a/b", "demo"),
        ("v2/pub/a", "b"),
    ],
)
def test_what_names_nothing_is_refused_in_words(app: str, name: str) -> None:
    with pytest.raises(BadTarget):
        parse_target(app, "rtmp://[", name)


@pytest.mark.parametrize("name", [" demo?token=a", "demo?token=a\n", "\tdemo?token=a \r\n"])
def test_blanks_around_a_copied_key_do_not_matter(name: str) -> None:
    target = parse_target("v2/pub ", "", name)
    assert (target.stream, target.token) == ("demo", "a")


def test_two_streams_in_one_address_are_named() -> None:
    with pytest.raises(BadTarget, match=r"'a'.*'b'"):
        parse_target("v2/pub/a", "", "b")
    assert parse_target("v2/pub/a", "", "a").stream == "a"
