// Runs inside the browser: public clients as their packages are, each used as its documentation says.

import { WebRTCPlayer } from "@eyevinn/webrtc-player";
import { WHIPClient as EyevinnWhip } from "@eyevinn/whip-web-client";
import { WHEPClient } from "whip-whep/whep.js";
import { WHIPClient } from "whip-whep/whip.js";

/** npm whip-whep. Returns the client and its connection. */
export async function publishWithWhipWhep(stream, url, token) {
  const pc = new RTCPeerConnection();
  const [audio] = stream.getAudioTracks();
  const [video] = stream.getVideoTracks();
  const sizes = [
    { rid: "q", scaleResolutionDownBy: 4 },
    { rid: "h", scaleResolutionDownBy: 2 },
    { rid: "f", scaleResolutionDownBy: 1 },
  ];
  pc.addTransceiver(audio, { direction: "sendonly", streams: [stream] });
  pc.addTransceiver(video, { direction: "sendonly", streams: [stream], sendEncodings: sizes });
  const client = new WHIPClient();
  await client.publish(pc, url, token);
  return { client, pc };
}

export async function watchWithWhipWhep(url, token) {
  const pc = new RTCPeerConnection();
  pc.addTransceiver("audio", { direction: "recvonly" });
  pc.addTransceiver("video", { direction: "recvonly" });
  const video = document.createElement("video");
  Object.assign(video, { muted: true, autoplay: true, srcObject: new MediaStream() });
  pc.ontrack = ({ track }) => video.srcObject.addTrack(track);
  document.body.append(video);
  const client = new WHEPClient();
  await client.view(pc, url, token);
  return { client, pc, video };
}

/** npm @eyevinn/whip-web-client. Its default ICE server is on the internet, so there is an empty list. */
export async function publishWithEyevinn(stream, url, token) {
  const client = new EyevinnWhip({ endpoint: url, opts: { authkey: token, iceServers: [] } });
  await client.ingest(stream);
  return client;
}

/** npm @eyevinn/webrtc-player. */
export async function watchWithEyevinn(url) {
  const video = document.createElement("video");
  Object.assign(video, { muted: true, autoplay: true });
  document.body.append(video);
  const player = new WebRTCPlayer({ video, type: "whep", iceServers: [] });
  await player.load(new URL(url));
  return { player, video };
}
