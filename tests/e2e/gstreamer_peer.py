"""GStreamer's webrtcbin as a client of WHIP and WHEP, a program of its own: ``gstreamer_peer.py publish|view URL [TOKEN]``.

Run by the distribution's Python, which has GStreamer's bindings. Everything is as webrtcbin has it by default: its own certificate (RSA), no
setting of DTLS, ICE or the jitter buffer. Writes a JSON object a line: ``state`` of the connection, and every second what was ``decoded``.
"""

import json
import sys
import urllib.request
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

PUBLISH = """
webrtcbin name=rtc bundle-policy=max-bundle
videotestsrc is-live=true pattern=red ! video/x-raw,width=320,height=180,framerate=30/1
  ! vp8enc deadline=1 keyframe-max-dist=60 ! rtpvp8pay ! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! rtc.
audiotestsrc is-live=true ! opusenc ! rtpopuspay ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! rtc.
"""
WANTED = (
    "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000",
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000,encoding-params=(string)2",
)
DECODERS = {
    "video": "rtpvp8depay ! vp8dec ! fakesink name=sink signal-handoffs=true sync=false",
    "audio": "rtpopusdepay ! opusdec ! fakesink name=sink signal-handoffs=true sync=false",
}


def say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Peer:
    """One connection, from its offer to its end."""

    def __init__(self, mode: str, url: str, token: str | None) -> None:
        self._url = url
        self._token = token
        self._decoded = {"video": 0, "audio": 0}
        if mode == "publish":
            self.pipeline = Gst.parse_launch(PUBLISH)
            self._rtc = self.pipeline.get_by_name("rtc")
        else:
            self._rtc = Gst.ElementFactory.make("webrtcbin", "rtc")
            self._rtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
            self.pipeline = Gst.Pipeline.new("view")
            self.pipeline.add(self._rtc)
            for caps in WANTED:
                direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
                self._rtc.emit("add-transceiver", direction, Gst.Caps.from_string(caps))
        self._rtc.connect("on-negotiation-needed", self._offer)
        self._rtc.connect("pad-added", self._decode)
        self._rtc.connect("notify::ice-gathering-state", self._gathered)
        self._rtc.connect("notify::connection-state", self._changed)
        GLib.timeout_add_seconds(1, self._report)

    def _offer(self, rtc: Any) -> None:
        rtc.emit("create-offer", None, Gst.Promise.new_with_change_func(self._created, None))

    def _created(self, promise: Any, _data: object) -> None:
        # The description is the reply's: it lives as long as that.
        reply = promise.get_reply()
        offer = reply.get_value("offer")
        self._rtc.emit("set-local-description", offer, Gst.Promise.new())

    def _gathered(self, rtc: Any, _property: object) -> None:
        if rtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self._post)

    def _post(self) -> bool:
        offer = self._rtc.get_property("local-description").sdp.as_text()
        headers = {"Content-Type": "application/sdp"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self._url, offer.encode(), headers, method="POST")
        with urllib.request.urlopen(request, timeout=10) as reply:
            _, answer = GstSdp.SDPMessage.new_from_text(reply.read().decode())
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, answer)
        self._rtc.emit("set-remote-description", description, Gst.Promise.new())
        return False

    def _changed(self, rtc: Any, _property: object) -> None:
        say(state=rtc.get_property("connection-state").value_nick)

    def _decode(self, _rtc: Any, pad: Any) -> None:
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        decoder = Gst.parse_bin_from_description(DECODERS[kind], True)
        decoder.get_by_name("sink").connect("handoff", self._count, kind)
        self.pipeline.add(decoder)
        pad.link(decoder.get_static_pad("sink"))
        decoder.sync_state_with_parent()

    def _count(self, _sink: Any, _buffer: Any, _pad: Any, kind: str) -> None:
        self._decoded[kind] += 1

    def _report(self) -> bool:
        say(decoded=self._decoded)
        return True


def main(mode: str, url: str, token: str | None = None) -> None:
    Gst.init(None)
    peer = Peer(mode, url, token)
    say(version=Gst.version_string())
    peer.pipeline.set_state(Gst.State.PLAYING)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
