"""A real Chromium offers, we answer, and it takes the answer. No packet flows: no candidate of ours listens."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from rostra.model.description import SessionDescription
from rostra.model.media import Codec, TrackId
from rostra.model.negotiation import Identity, answer_publish, answer_view
from rostra.protocol.sdp import parse, write

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --use-fake-ui-for-media-stream --use-fake-device-for-media-stream"
)
ORIGIN = "http://127.0.0.1/"  # never fetched: the page is answered by the test, and media devices want this origin
IDENTITY = Identity(
    ufrag="rostraufrag",
    pwd="rostrapasswordrostrapassword",
    fingerprint=":".join(["AB"] * 32),
    candidates=(("127.0.0.1", 9), ("::1", 9)),
    cname="rostra-cname",
    session_id=1700000000000,
)
MEDIA = "const s = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 1280, height: 720}});"
AUDIO = "pc.addTransceiver(s.getAudioTracks()[0], {direction: 'sendonly', streams: [s]});"
VIDEO = "pc.addTransceiver(s.getVideoTracks()[0], {direction: 'sendonly', streams: [s]%s});"
SIM = r"""
  const [, primary, rtx] = o.sdp.match(/a=ssrc-group:FID (\d+) (\d+)/);
  const cname = o.sdp.match(/cname:(\S+)/)[1], msid = o.sdp.match(/a=msid:(.*)\r/)[1];
  o.sdp += 'a=ssrc-group:FID 100 101\r\na=ssrc-group:FID 102 103\r\na=ssrc-group:SIM ' + primary + ' 100 102\r\n'
    + [100, 101, 102, 103].map(i => `a=ssrc:${i} cname:${cname}\r\na=ssrc:${i} msid:${msid}\r\n`).join('');
"""

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        page = browser.new_page()
        page.route("**/*", lambda route: route.fulfill(body="<html></html>", content_type="text/html"))
        page.goto(ORIGIN)
        yield page
        browser.close()


def offer(page: Page, setup: str, munge: str = "") -> SessionDescription:
    """Make the page's ``pc`` and let it offer."""
    return parse(
        page.evaluate(
            "async () => { window.pc = new RTCPeerConnection({bundlePolicy: 'max-bundle'}); window.tracks = [];"
            " pc.ontrack = e => tracks.push([e.transceiver.mid, e.streams.map(s => s.id)]);"
            f" {setup}; const o = await pc.createOffer(); {munge}; await pc.setLocalDescription(o); return o.sdp; }}"
        )
    )


def accept(page: Page, answer: SessionDescription) -> None:
    page.evaluate("sdp => pc.setRemoteDescription({type: 'answer', sdp})", write(answer))
    assert page.evaluate("pc.signalingState") == "stable"


@pytest.mark.parametrize("codec", [Codec.VP8, Codec.VP9, Codec.H264, Codec.AV1])
def test_chromium_sends_the_codec_that_was_asked_for(page: Page, codec: Codec) -> None:
    answer = answer_publish(
        offer(page, MEDIA + AUDIO + VIDEO % ""), codec=codec, identity=IDENTITY, tracks=map(TrackId, itertools.count(1))
    )
    accept(page, answer.description)
    codecs = page.evaluate("pc.getSenders().map(s => s.getParameters().codecs.map(c => c.mimeType.toLowerCase()))")
    assert codecs == [["audio/opus"], [f"video/{codec}", "video/rtx"]]
    assert page.evaluate("pc.getTransceivers().map(t => t.currentDirection)") == ["sendonly", "sendonly"]


def test_chromium_keeps_three_rid_encodings(page: Page) -> None:
    encodings = (
        ", sendEncodings: [{rid: 'l', scaleResolutionDownBy: 4}, {rid: 'm', scaleResolutionDownBy: 2}, {rid: 'h'}]"
    )
    answer = answer_publish(
        offer(page, MEDIA + AUDIO + VIDEO % encodings),
        codec=Codec.VP8,
        identity=IDENTITY,
        tracks=map(TrackId, itertools.count(1)),
    )
    accept(page, answer.description)
    kept = page.evaluate("pc.getSenders()[1].getParameters().encodings.map(e => [e.rid, e.active])")
    assert kept == [["l", True], ["m", True], ["h", True]]


@pytest.mark.parametrize("mode", ["L1T3", "L3T3_KEY"])
def test_chromium_keeps_its_scalability_mode(page: Page, mode: str) -> None:
    answer = answer_publish(
        offer(page, MEDIA + VIDEO % f", sendEncodings: [{{scalabilityMode: '{mode}'}}]"),
        codec=Codec.VP9,
        identity=IDENTITY,
        tracks=map(TrackId, itertools.count(1)),
    )
    accept(page, answer.description)
    assert page.evaluate("pc.getSenders()[0].getParameters().encodings[0].scalabilityMode") == mode


def test_chromium_takes_the_answer_to_a_munged_sim_group(page: Page) -> None:
    answer = answer_publish(
        offer(page, MEDIA + AUDIO + VIDEO % "", SIM),
        codec=Codec.H264,
        identity=IDENTITY,
        tracks=map(TrackId, itertools.count(1)),
    )
    assert [encoding.ssrc for encoding in answer.spec.receive[1].encodings][1:] == [100, 102]
    accept(page, answer.description)


@pytest.mark.parametrize(
    "setup",
    [
        MEDIA + AUDIO.replace("sendonly", "inactive") + VIDEO % "",
        MEDIA + AUDIO + VIDEO % "" + "pc.createDataChannel('x');",
        MEDIA + AUDIO + VIDEO % "" + "pc.addTransceiver('video', {direction: 'recvonly'});",
    ],
    ids=["inactive audio", "data channel", "receiving video"],
)
def test_chromium_takes_inactive_lines_in_the_bundle(page: Page, setup: str) -> None:
    offered = offer(page, setup)
    answer = answer_publish(offered, codec=Codec.VP8, identity=IDENTITY, tracks=map(TrackId, itertools.count(1)))
    accept(page, answer.description)
    assert answer.description.groups[0].mids == tuple(media.mid for media in offered.media)
    assert [media.port for media in answer.description.media] == [9] * len(offered.media)


def view(videos: int, audios: int) -> str:
    lines = ["pc.addTransceiver('video', {direction: 'recvonly'});"] * videos
    return "".join(lines + ["pc.addTransceiver('audio', {direction: 'recvonly'});"] * audios)


@pytest.mark.parametrize("audios", [1, 3])
def test_chromium_groups_the_main_pair_and_the_multiplexed_audio(page: Page, audios: int) -> None:
    answer = answer_view(offer(page, view(1, audios)), identity=IDENTITY, ssrcs=itertools.count(1000))
    accept(page, answer.description)
    expected = [["0", ["main"]], ["1", ["main"]], ["2", ["multiplex"]], ["3", ["multiplex"]]]
    assert page.evaluate("tracks") == expected[: 1 + audios]
    assert page.evaluate("pc.getTransceivers().map(t => t.currentDirection)") == ["recvonly"] * (1 + audios)


def test_chromium_takes_sixty_lines(page: Page) -> None:
    answer = answer_view(offer(page, view(30, 30)), identity=IDENTITY, ssrcs=itertools.count(1000))
    accept(page, answer.description)
    assert len(answer.slots) == len(page.evaluate("tracks")) == 60


def test_chromium_takes_multiopus_where_it_is_wanted(page: Page) -> None:
    munge = r"""
      o.sdp = o.sdp.replace(/useinbandfec=1/g, 'useinbandfec=1; stereo=1').replace(/(m=audio [^\r]*)\r\n/,
        '$1 121\r\na=rtpmap:121 multiopus/48000/6\r\na=fmtp:121 channel_mapping=0,4,1,2,3,5;coupled_streams=2;'
        + 'minptime=10;num_streams=4;useinbandfec=1\r\n');
    """
    offered = offer(page, view(1, 1), munge)
    answer = answer_view(offered, identity=IDENTITY, ssrcs=itertools.count(1000), multiopus=True)
    assert Codec.MULTIOPUS in [spec.codec for spec in answer.slots[1].codecs]
    accept(page, answer.description)


def test_chromium_takes_lines_that_it_adds_itself(page: Page) -> None:
    """What clients do for one more track: offer again, clone a section of our old answer, tell nobody."""
    answer = answer_view(offer(page, view(1, 1)), identity=IDENTITY, ssrcs=itertools.count(1000))
    accept(page, answer.description)
    page.evaluate(
        r"""async () => {
          for (const kind of ['video', 'audio']) pc.addTransceiver(kind, {direction: 'recvonly'});
          await pc.setLocalDescription(await pc.createOffer());
          const [session, ...sections] = pc.remoteDescription.sdp.split(/(?=^m=)/m);
          for (const [mid, kind] of [['2', 'video'], ['3', 'audio']]) {
            const template = sections.find(section => section.startsWith('m=' + kind));
            const bare = template.replace(/^a=(ssrc|ssrc-group|msid):.*\r\n/gm, '');
            sections.push(bare.replace(/^a=mid:.*/m, 'a=mid:' + mid));
          }
          const sdp = session.replace(/a=group:BUNDLE.*/, 'a=group:BUNDLE 0 1 2 3').replace('a=ice-lite\r\n', '')
            + sections.join('');
          await pc.setRemoteDescription({type: 'answer', sdp});
        }"""
    )
    assert page.evaluate("tracks.slice(2)") == [["2", []], ["3", []]]
    assert page.evaluate("pc.signalingState") == "stable"
