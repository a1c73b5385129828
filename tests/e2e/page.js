// Runs inside the browser, for the tests: test pictures, publishers, viewers, and readings of what is really shown.
// The SDK under test is the one that the server serves.
import { Director, Publish, View } from "/sdk/rostra.js";

Director.setEndpoint(location.origin);

export const COLOURS = { red: [220, 30, 30], green: [30, 200, 60], blue: [40, 60, 220], yellow: [230, 220, 40], purple: [160, 40, 200] };

const audio = new AudioContext();

/**
 * A picture of one colour with a moving bar, and a tone; `flash` makes it white for 100 ms at each full second, with a beep. `busy` fills it
 * with moving tiles, so that every layer has something to say.
 */
export function testPicture({ colour, width = 320, height = 180, fps = 15, sound = false, flash = false, busy = false }) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const [r, g, b] = COLOURS[colour];
  let gain;
  let frame = 0;
  const draw = () => {
    frame += 1;
    const lit = flash && performance.now() % 1000 < 100;
    context.fillStyle = lit ? "white" : `rgb(${r},${g},${b})`;
    context.fillRect(0, 0, width, height);
    for (let tile = 0; busy && tile < 150; tile += 1) {
      context.fillStyle = `hsl(${(tile * 47 + frame * 5) % 360} 80% 50%)`;
      context.fillRect((tile * 61 + frame * 3) % width, (tile * 37 + frame * 2) % height, 6 + (tile % 17), 4 + (tile % 11));
    }
    context.fillStyle = "black";
    context.fillRect((frame * 7) % width, height - 12, 24, 12);
    if (gain && flash) gain.gain.setValueAtTime(lit ? 0.8 : 0, audio.currentTime);
  };
  const timer = setInterval(draw, 1000 / fps);
  draw();
  const stream = canvas.captureStream(fps);
  if (sound) {
    const oscillator = audio.createOscillator();
    gain = audio.createGain();
    gain.gain.value = flash ? 0 : 0.3;
    const out = audio.createMediaStreamDestination();
    oscillator.frequency.value = 1000;
    oscillator.connect(gain).connect(out);
    oscillator.start();
    stream.addTrack(out.stream.getAudioTracks()[0]);
  }
  stream.end = () => {
    clearInterval(timer);
    for (const track of stream.getTracks()) track.stop();
  };
  return stream;
}

/** Publish a test picture and resolve when connected. */
export async function publish(settings, { stream = "demo", sourceId, codec = "vp8", picture = {}, ...options }) {
  const mediaStream = testPicture(picture);
  const publisher = new Publish(() => Director.getPublisher({ token: settings.publish_token, streamName: stream }));
  publisher.picture = mediaStream;
  await publisher.connect({ mediaStream, sourceId, codec, ...options });
  return publisher;
}

/** End a publisher and its picture. */
export async function leave(publisher) {
  publisher.picture.end();
  await publisher.stop();
}

/** A viewer that keeps its events and a <video> for every video track. */
export class Watcher {
  events = [];
  videos = [];
  #settings;
  constructor(settings, stream = "demo") {
    this.#settings = settings;
    this.view = new View(() =>
      Director.getSubscriber({
        streamName: stream,
        streamAccountId: settings.account_id,
        subscriberToken: settings.subscribe_token,
      }),
    );
    this.view.on("broadcastEvent", (event) => this.events.push(event));
    this.view.on("track", (event) => {
      if (event.track.kind === "video" && event.streams.length > 0) this.show(event.track, event.transceiver.mid);
    });
  }
  async connect(options = {}) {
    await this.view.connect({ events: ["active", "inactive", "stopped", "viewercount"], ...options });
    this.pc = this.view.webRTCPeer?.peer ?? (await this.view.getRTCPeerConnection?.());
    return this;
  }
  /** Show a track in a new <video>. */
  show(track, mid) {
    const video = document.createElement("video");
    video.muted = true;
    video.autoplay = true;
    video.playsInline = true;
    video.width = 160;
    video.srcObject = new MediaStream([track]);
    video.dataset.mid = mid;
    document.body.append(video);
    video.play().catch(() => {});
    this.videos.push(video);
    return video;
  }
  /** A new slot: resolves with its mid and its <video>. */
  async add(kind = "video") {
    const transceiver = await this.view.addRemoteTrack(kind, [new MediaStream()]);
    const video = kind === "video" ? this.show(transceiver.receiver.track, transceiver.mid) : undefined;
    return { mid: transceiver.mid, video };
  }
  video(mid) {
    return this.videos.find((video) => video.dataset.mid === String(mid));
  }
  /** The colour in the middle of the picture of `mid`, by name, or null before the first picture. */
  colour(mid) {
    const video = this.video(mid);
    if (!video || video.videoWidth === 0) return null;
    const canvas = document.createElement("canvas");
    canvas.width = 8;
    canvas.height = 8;
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0, 8, 8);
    const [r, g, b] = context.getImageData(4, 3, 1, 1).data;
    let best = null;
    let least = 120;
    for (const [name, [x, y, z]] of Object.entries(COLOURS)) {
      const distance = Math.hypot(r - x, g - y, b - z);
      if (distance < least) [best, least] = [name, distance];
    }
    return best;
  }
  /** inbound-rtp of a mid. */
  async stats(mid) {
    const report = await this.pc.getStats();
    for (const one of report.values()) {
      if (one.type === "inbound-rtp" && one.mid === String(mid)) {
        return { ...one, codec: report.get(one.codecId)?.mimeType };
      }
    }
    return { framesDecoded: 0, bytesReceived: 0, freezeCount: 0, packetsReceived: 0 };
  }
  count(name, sourceId) {
    return this.events.filter((event) => event.name === name && event.data.sourceId === sourceId).length;
  }
}

/** Resolve when `check` gives something true; reject with what it gave last after `timeout` milliseconds. */
export async function until(check, what, timeout = 15000) {
  const end = performance.now() + timeout;
  let last;
  while (performance.now() < end) {
    last = await check();
    if (last) return last;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`waited ${timeout} ms for ${what}; last: ${JSON.stringify(last)}`);
}

/** Milliseconds until the picture of `mid` has this colour. */
export async function untilColour(watcher, mid, colour, timeout = 15000) {
  const begun = performance.now();
  await until(() => watcher.colour(mid) === colour, `mid ${mid} to be ${colour} (is ${watcher.colour(mid)})`, timeout);
  return performance.now() - begun;
}

/** Watch framesDecoded and freezeCount of a mid for a while: how many frames, how many freezes, the longest standstill in ms. */
export async function observe(watcher, mid, milliseconds, during = async () => {}) {
  const begin = await watcher.stats(mid);
  let last = begin;
  let changed = performance.now();
  let standstill = 0;
  const end = changed + milliseconds;
  let done = false;
  const work = during().finally(() => {
    done = true;
  });
  while (performance.now() < end || !done) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const now = await watcher.stats(mid);
    if (now.framesDecoded < last.framesDecoded) throw new Error("framesDecoded went back");
    if (now.framesDecoded > last.framesDecoded) {
      standstill = Math.max(standstill, performance.now() - changed);
      changed = performance.now();
    }
    last = now;
  }
  await work;
  standstill = Math.max(standstill, performance.now() - changed);
  return {
    frames: last.framesDecoded - begin.framesDecoded,
    freezes: (last.freezeCount ?? 0) - (begin.freezeCount ?? 0),
    bytes: last.bytesReceived - begin.bytesReceived,
    standstill,
  };
}

/**
 * Listens to `sound` and looks at the picture of `mid`, made by something that flashes and beeps at the same instant. The same element plays
 * both, so that the browser keeps them in step as it does for people.
 *
 * `distances()`: from each flash to the nearest beep within half a second, in ms. `forget()`: those so far. `end()`: look no longer.
 */
export async function flashesAndBeeps(watcher, mid, sound) {
  const video = watcher.video(mid);
  video.srcObject = new MediaStream([video.srcObject.getVideoTracks()[0], sound]);
  await video.play();
  const analyser = audio.createAnalyser();
  analyser.fftSize = 256;
  const ear = audio.createMediaStreamSource(new MediaStream([sound]));
  ear.connect(analyser);
  await audio.resume();
  const wave = new Float32Array(256);
  const context = new OffscreenCanvas(2, 2).getContext("2d", { willReadFrequently: true });
  const flashes = [];
  const beeps = [];
  let lit = false;
  let loud = false;
  const timer = setInterval(() => {
    const now = performance.now();
    context.drawImage(video, 0, 0, 2, 2);
    const [r, g, b] = context.getImageData(0, 0, 1, 1).data;
    const white = Math.min(r, g, b) > 180;
    if (white && !lit) flashes.push(now);
    lit = white;
    analyser.getFloatTimeDomainData(wave);
    const beep = wave.some((sample) => Math.abs(sample) > 0.1);
    if (beep && !loud) beeps.push(now);
    loud = beep;
  }, 5);
  return {
    distances: () =>
      flashes.flatMap((at) => {
        const near = beeps.map((beep) => beep - at).filter((distance) => Math.abs(distance) < 500);
        return near.length ? [near.reduce((a, b) => (Math.abs(a) < Math.abs(b) ? a : b))] : [];
      }),
    forget() {
      flashes.length = 0;
      beeps.length = 0;
    },
    end() {
      clearInterval(timer);
      ear.disconnect();
    },
  };
}

export { audio, Director, Publish, View };
