"""Coverage-guided fuzzing of what strangers send: session descriptions, and the answers that we make of them.

``make fuzz T=sdp`` runs it; the captured offers of ``tests/data/offers`` are the seeds.
"""

import itertools
import sys

import atheris

with atheris.instrument_imports(include=["rostra"]):
    from rostra.model.media import Codec, TrackId
    from rostra.model.negotiation import Identity, NegotiationError, answer_publish, answer_view
    from rostra.protocol.sdp import SdpError, parse, write

OURS = Identity(
    ufrag="ours",
    pwd="a-password-of-22-bytes",
    fingerprint=":".join(["AB"] * 32),
    candidates=(("127.0.0.1", 8081),),
    cname="cname",
    session_id=1,
)


def one(data: bytes) -> None:
    """Parse, answer both ways, and read our own answers back: anything but a refusal with a code is a finding."""
    try:
        offer = parse(data.decode("utf-8", "replace"))
    except SdpError:
        return
    assert parse(write(offer)) == offer
    for codec in (Codec.VP8, Codec.H264):
        try:
            published = answer_publish(offer, codec=codec, identity=OURS, tracks=map(TrackId, itertools.count(1)))
            parse(write(published.description))
        except NegotiationError:
            continue
    try:
        viewed = answer_view(offer, identity=OURS, ssrcs=itertools.count(1))
        parse(write(viewed.description))
    except NegotiationError:
        return


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
