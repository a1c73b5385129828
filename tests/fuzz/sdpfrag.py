"""Coverage-guided fuzzing of what strangers send to a session: fragments of trickle ICE, and the tags they are for.

``make fuzz T=sdpfrag`` runs it; the fragments of ``tests/data/fragments`` and the captured offers are the seeds.
"""

import itertools
import sys
from dataclasses import replace

import atheris

with atheris.instrument_imports(include=["rostra"]):
    from rostra.model import offers
    from rostra.model.description import IceCredentials
    from rostra.model.media import TrackId
    from rostra.model.negotiation import Identity, NegotiationError, answer_publish
    from rostra.protocol import sdp, sdpfrag
    from rostra.protocol.conditions import Condition, if_match
    from rostra.server.resources import credentials

OURS = Identity(
    ufrag="ours",
    pwd="a-password-of-22-bytes",
    fingerprint=":".join(["AB"] * 32),
    candidates=(("127.0.0.1", 8081),),
    cname="cname",
    session_id=1,
    tcp_candidates=(("127.0.0.1", 8081),),
)
FRESH = IceCredentials("fresh", "p" * 24)
ETAG = '"0123456789abcdef01234567"'


def one(data: bytes) -> None:
    """Read it as tags, a fragment and an offer whose session restarts: all but a refusal with a code is a finding."""
    text = data.decode("utf-8", "replace")
    _condition(text)
    _fragment(text)
    _restart(text)


def _condition(text: str) -> None:
    """What does not contain the tag, and is not a star, never holds."""
    if if_match(text, ETAG) is Condition.HOLDS:
        assert ETAG in text or text.strip() in ("*", '"*"')


def _fragment(text: str) -> None:
    """What was read is within the rules, and means the same when we write it."""
    try:
        found = sdpfrag.parse(text)
    except sdp.SdpError:
        return
    if found.ice is not None:
        assert 4 <= len(found.ice.ufrag) <= 256
        assert 22 <= len(found.ice.pwd) <= 256
    ours = sdpfrag.Side(True, offers.ICE_OPTIONS, (), "audio", "UDP/TLS/RTP/SAVPF", ("111",), None, found.candidates)
    again = replace(found, ice=FRESH, is_complete=True)
    if len(found.candidates) <= sdp.MAX_CANDIDATES and len(sdpfrag.write(ours, FRESH)) <= sdpfrag.MAX_TEXT:
        assert sdpfrag.parse(sdpfrag.write(ours, FRESH)) == again


def _restart(text: str) -> None:
    """A session knows its peer's credentials as the media plane does, and can say its own side again."""
    try:
        offer = sdp.parse(text)
        codec = offers.codec_for(offer)
        made = answer_publish(offer, codec=codec, identity=OURS, tracks=map(TrackId, itertools.count(1)))
    except (sdp.SdpError, NegotiationError):
        return
    assert credentials(offer) == IceCredentials(made.spec.remote_ufrag, made.spec.remote_pwd)
    ours = sdpfrag.side(offers.completed(made.description))
    again = sdpfrag.parse(sdpfrag.write(ours, FRESH))
    assert again == sdpfrag.Fragment(FRESH, ours.candidates, is_complete=True)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
