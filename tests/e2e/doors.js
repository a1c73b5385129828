// Runs inside the browser, for the tests: WHIP and WHEP by fetch and RTCPeerConnection alone, as a page would that knows nothing of this server.

export const COLOURS = { red: [220, 30, 30], green: [30, 200, 60], blue: [40, 60, 220] };

/** A picture of one colour with moving tiles, and a tone. */
export function picture(colour, width, height, fps = 15) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  let frame = 0;
  const draw = () => {
    frame += 1;
    context.fillStyle = `rgb(${COLOURS[colour]})`;
    context.fillRect(0, 0, width, height);
    context.fillStyle = "black";
    for (let tile = 0; tile < 40; tile += 1) context.fillRect((tile * 61 + frame * 3) % width, height - 40 + (tile % 20), 9, 7);
  };
  draw();
  setInterval(draw, 1000 / fps);
  const audio = new AudioContext();
  const out = audio.createMediaStreamDestination();
  const tone = audio.createOscillator();
  tone.connect(out);
  tone.start();
  return new MediaStream([...canvas.captureStream(fps).getVideoTracks(), ...out.stream.getAudioTracks()]);
}

/** A session at one of the doors, with everything that its client has to do. */
class Session {
  constructor(token) {
    this.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.headers = token ? { Authorization: `Bearer ${token}` } : {};
    this.trickled = [];
    this.waiting = [];
    this.pc.onicecandidate = ({ candidate }) => {
      if (!candidate) return;
      if (this.url) this.trickle([candidate]);
      else this.waiting.push(candidate);
    };
  }

  async open(url) {
    await this.pc.setLocalDescription();
    const headers = { ...this.headers, "Content-Type": "application/sdp" };
    const response = await fetch(url, { method: "POST", headers, body: this.pc.localDescription.sdp });
    if (response.status !== 201) throw new Error(`${response.status}: ${await response.text()}`);
    this.url = new URL(response.headers.get("Location"), response.url).href;
    this.etag = response.headers.get("ETag");
    this.links = response.headers.get("Link") ?? "";
    this.answer = await response.text();
    await this.pc.setRemoteDescription({ type: "answer", sdp: this.answer });
    if (this.waiting.length) await this.trickle(this.waiting);
    await until(() => this.pc.connectionState === "connected", "the connection");
    return this;
  }

  fragment(candidates) {
    const lines = this.pc.localDescription.sdp.split("\r\n");
    const bundle = lines.find((line) => line.startsWith("a=group:BUNDLE"));
    const media = lines.find((line) => line.startsWith("m="));
    const mine = ["a=mid:", "a=ice-ufrag:", "a=ice-pwd:"].map((name) => lines.find((line) => line.startsWith(name)));
    return [bundle, media, ...mine, ...candidates.map((one) => `a=${one.candidate}`), ""].join("\r\n");
  }

  async patch(body, match) {
    const headers = { ...this.headers, "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": match };
    return fetch(this.url, { method: "PATCH", headers, body });
  }

  async trickle(candidates) {
    this.trickled.push((await this.patch(this.fragment(candidates), this.etag)).status);
  }

  /** New credentials on both sides; resolves when they are in use. */
  async restart() {
    this.pc.restartIce();
    await this.pc.setLocalDescription(await this.pc.createOffer());
    const response = await this.patch(this.fragment([]), "*");
    if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
    this.etag = response.headers.get("ETag");
    const fresh = await response.text();
    for (const name of ["ice-ufrag", "ice-pwd"]) {
      const line = fresh.split("\r\n").find((one) => one.startsWith(`a=${name}:`));
      this.answer = this.answer.replaceAll(new RegExp(`a=${name}:.*`, "g"), line);
    }
    const before = await this.pair();
    await this.pc.setRemoteDescription({ type: "answer", sdp: this.answer });
    await until(async () => (await this.pair()) !== before, "another pair of candidates");
    return this.pc.connectionState;
  }

  async pair() {
    const report = await this.pc.getStats();
    const transport = [...report.values()].find((one) => one.type === "transport");
    return `${transport?.iceLocalUsernameFragment} ${transport?.selectedCandidatePairId}`;
  }

  async close() {
    const { status } = await fetch(this.url, { method: "DELETE", headers: this.headers });
    this.pc.close();
    return status;
  }
}

/** Publish. `simulcast`: three encodings, named by rid. */
export async function whip(url, token, { colour = "red", width = 320, height = 180, simulcast = false } = {}) {
  const session = new Session(token);
  const stream = picture(colour, width, height);
  const scaled = (rid, scaleResolutionDownBy) => ({ rid, scaleResolutionDownBy });
  const sendEncodings = simulcast ? [scaled("q", 4), scaled("h", 2), scaled("f", 1)] : undefined;
  session.pc.addTransceiver(stream.getAudioTracks()[0], { direction: "sendonly", streams: [stream] });
  session.pc.addTransceiver(stream.getVideoTracks()[0], { direction: "sendonly", streams: [stream], ...(sendEncodings && { sendEncodings }) });
  return session.open(url);
}

/** Watch. `kinds`: order of the m-lines; `direction`: of them. */
export async function whep(url, token, { kinds = ["audio", "video"], direction = "recvonly" } = {}) {
  const session = new Session(token);
  for (const kind of kinds) session.pc.addTransceiver(kind, { direction });
  session.video = document.createElement("video");
  Object.assign(session.video, { muted: true, autoplay: true });
  session.video.srcObject = new MediaStream(session.pc.getReceivers().map((receiver) => receiver.track));
  document.body.append(session.video);
  return session.open(url);
}

/** The URL of an extension, by the last part of its name. */
export function extension(session, name) {
  const [, url] = session.links.match(new RegExp(`<([^>]*)>; rel="urn:ietf:params:whep:ext:core:${name}"`));
  return url;
}

/** Listen to server-sent events, as every page can. */
export async function listen(session, names) {
  const headers = { ...session.headers, "Content-Type": "application/json" };
  const response = await fetch(extension(session, "server-sent-events"), { method: "POST", headers, body: JSON.stringify(names) });
  if (response.status !== 201) throw new Error(`${response.status}: ${await response.text()}`);
  session.eventsUrl = new URL(response.headers.get("Location"), response.url).href;
  session.events = [];
  const source = new EventSource(session.eventsUrl);
  for (const name of names) source.addEventListener(name, ({ data }) => session.events.push([name, JSON.parse(data)]));
  return source;
}

export async function layer(session, wish) {
  const headers = { ...session.headers, "Content-Type": "application/json" };
  const method = wish ? "POST" : "DELETE";
  return (await fetch(extension(session, "layer"), { method, headers, body: wish && JSON.stringify(wish) })).status;
}

/** What is sent or received of a kind: statistics of every stream. */
export async function streams(session, type, kind = "video") {
  const report = await session.pc.getStats();
  return [...report.values()]
    .filter((one) => one.type === type && one.kind === kind)
    .map((one) => ({
      rid: one.rid,
      frames: one.framesDecoded ?? one.framesSent,
      packets: one.packetsReceived ?? one.packetsSent,
      width: one.frameWidth,
      codec: report.get(one.codecId)?.mimeType,
    }));
}

export function colourOf(video) {
  if (!video.videoWidth) return [0, 0, 0];
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: 1, height: 1 });
  const context = canvas.getContext("2d");
  context.drawImage(video, video.videoWidth / 4, video.videoHeight / 4, 8, 8, 0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

export async function untilColour(session, name) {
  await until(() => COLOURS[name].every((value, place) => Math.abs(value - colourOf(session.video)[place]) < 60), `${name} to be seen`);
}

export async function untilMore(session, kind, count = 10) {
  const total = async () => {
    const found = await streams(session, "inbound-rtp", kind);
    return found.reduce((sum, one) => sum + (kind === "video" ? one.frames : one.packets), 0);
  };
  const before = await total();
  await until(async () => (await total()) > before + count, `more ${kind}`);
}

export async function until(condition, what, timeout = 30000) {
  const end = performance.now() + timeout;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
