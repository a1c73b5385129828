// A publisher as OBS 30 is one: libdatachannel, an offer without candidates and without trickle, H264 and Opus, DELETE with the bearer.
//
//     node obs.mjs URL TOKEN < commands
//
// It says where it wants RTP of its encoders, on 127.0.0.1, then what happens; one JSON object a line. The end of its input ends it.
import dgram from "node:dgram";
import nodeDataChannel from "node-datachannel";

const [url, token] = process.argv.slice(2);
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const headers = { Authorization: `Bearer ${token}`, "User-Agent": "Mozilla/5.0 (OBS-Studio/30.2.3; Linux x86_64; en-US)" };

/** The port on which packets for a track come in. */
async function feeding(track) {
  const socket = dgram.createSocket("udp4");
  socket.on("message", (packet) => track.isOpen() && track.sendMessageBinary(packet));
  await new Promise((done) => socket.bind(0, "127.0.0.1", done));
  return socket.address().port;
}

const pc = new nodeDataChannel.PeerConnection("obs", { iceServers: [], bindAddress: "127.0.0.1", disableAutoNegotiation: true });
const audio = new nodeDataChannel.Audio("0", "SendOnly");
audio.addOpusCodec(111);
audio.addSSRC(43, "obs", "obs-stream", "obs-audio");
const video = new nodeDataChannel.Video("1", "SendOnly");
video.addH264Codec(96);
video.addSSRC(42, "obs", "obs-stream", "obs-video");
const ports = { audio: await feeding(pc.addTrack(audio)), video: await feeding(pc.addTrack(video)) };
pc.onStateChange((state) => say({ state }));
pc.setLocalDescription("offer");
const response = await fetch(url, { method: "POST", headers: { ...headers, "Content-Type": "application/sdp" }, body: pc.localDescription().sdp });
const location = response.headers.get("Location");
say({ status: response.status, location, ports });
pc.setRemoteDescription(await response.text(), "answer");

for await (const _ of process.stdin);
const { status } = await fetch(new URL(location, response.url), { method: "DELETE", headers });
say({ deleted: status });
pc.close();
nodeDataChannel.cleanup();
process.exit(0);
