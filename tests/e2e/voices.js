// Runs inside the browser, beside page.js: microphones that can be told apart by ear, and an ear for them.
import { audio, Director, Publish, until, Watcher } from "/t.js";

/** Hz. Each speaker speaks on a tone of its own; bands of speech on different tones do not overlap. */
const TONES = [600, 1000, 1500, 2200, 3200, 4500];
const TRANSFORMS = { encodedInsertableStreams: true };

/** Changes every byte of a frame; applied twice it changes nothing. */
const scramble = () => new TransformStream({
  transform(frame, controller) {
    frame.data = new Uint8Array(frame.data).map((byte) => byte ^ 0x5a).buffer;
    controller.enqueue(frame);
  },
});

function encrypted(end) {
  const { readable, writable } = end.createEncodedStreams();
  readable.pipeThrough(scramble()).pipeTo(writable);
}

/** A microphone: a tone as loud as recorded speech is from moment to moment, when somebody speaks into it. */
async function microphone(number) {
  const recording = await (await fetch(`/speech/${number}.wav`)).arrayBuffer();
  const speech = new AudioBufferSourceNode(audio, { buffer: await audio.decodeAudioData(recording), loop: true });
  // The envelope: without sign, then without what is quicker than syllables.
  const curve = Float32Array.from({ length: 1025 }, (_, n) => Math.abs(n / 512 - 1));
  const envelope = new WaveShaperNode(audio, { curve });
  const slow = new BiquadFilterNode(audio, { type: "lowpass", frequency: 15 });
  const tone = new OscillatorNode(audio, { frequency: TONES[number] });
  const spoken = new GainNode(audio, { gain: 0 });
  const level = new GainNode(audio, { gain: 0 });
  const out = new MediaStreamAudioDestinationNode(audio, { channelCount: 1 });
  speech.connect(envelope).connect(slow).connect(spoken.gain);
  tone.connect(spoken).connect(level).connect(out);
  speech.start();
  tone.start();
  return { level, stream: out.stream };
}

/** Somebody with a microphone, who publishes nothing but sound. */
export class Guest {
  static async join(stream, name, number, options = {}) {
    const guest = new Guest();
    guest.name = name;
    const { level, stream: mediaStream } = await microphone(number);
    guest.level = level;
    guest.track = mediaStream.getAudioTracks()[0];
    guest.publish = new Publish(() => Director.getPublisher({ token: settings.publish_token, streamName: stream }));
    guest.states = [];
    guest.publish.on("connectionStateChange", (state) => guest.states.push(state));
    const { isEncrypted, ...more } = options;
    const peerConfig = isEncrypted ? TRANSFORMS : {};
    await guest.publish.connect({ mediaStream, sourceId: name, codec: "vp8", peerConfig, ...more });
    if (isEncrypted) guest.publish.webRTCPeer.getSenders().forEach(encrypted);
    return guest;
  }
  speak(gain = 4) {
    this.level.gain.setTargetAtTime(gain, audio.currentTime, 0.005);
  }
  hush() {
    this.level.gain.setTargetAtTime(0, audio.currentTime, 0.005);
  }
  /** Packets that were sent so far. */
  async sent() {
    const stats = await this.publish.webRTCPeer.getStats();
    return [...stats.values()].find(({ type }) => type === "outbound-rtp").packetsSent;
  }
}

/** A viewer that listens: what it is told of its multiplexed tracks, and who is really heard in them. */
export class Listener extends Watcher {
  told = {};
  order = {};
  speakers = [];
  log = [];
  states = [];
  #ears = new Map();
  constructor(settings, stream, names) {
    super(settings, stream);
    this.names = names;
    this.view.on("track", (event) => this.#hear(event));
    this.view.on("vad", ({ mediaId, sourceId }) => {
      this.told[mediaId] = sourceId;
      (this.order[mediaId] ??= []).push(sourceId);
    });
    this.view.on("speakers", ({ speakers }) => {
      this.speakers.push({ at: performance.now(), speakers });
    });
    this.view.on("connectionStateChange", (state) => this.states.push(state));
  }
  async listen({ isEncrypted, ...options }) {
    this.isEncrypted = isEncrypted;
    const peerConfig = isEncrypted ? TRANSFORMS : {};
    const connect = () => this.connect({ disableVideo: true, peerConfig, events: ["active", "inactive", "vad", "speakers"], ...options });
    await until(() => connect().then(() => true, () => this.view.stop() && false), "the stream to be live");
    await until(() => this.view.isActive(), "the listener's connection");
    this.timer = setInterval(() => this.log.push({ told: { ...this.told }, heard: this.heard() }), 20);
    return this;
  }
  #hear({ track, receiver, transceiver }) {
    if (this.isEncrypted) encrypted(receiver);
    // Chromium gives the sound of a remote track to WebAudio only while an element plays it.
    const element = new Audio();
    element.muted = true;
    element.srcObject = new MediaStream([track]);
    element.play().catch(() => {});
    const ear = new AnalyserNode(audio, { fftSize: 4096, smoothingTimeConstant: 0 });
    new MediaStreamAudioSourceNode(audio, { mediaStream: new MediaStream([track]) }).connect(ear);
    this.#ears.set(transceiver.mid, { ear, element });
  }
  get mids() {
    return [...this.#ears.keys()].slice(1);
  }
  /** Who is heard in a track by its sound: the loudest tone, if it stands out. */
  voice(mid) {
    const { ear } = this.#ears.get(mid);
    const bins = new Float32Array(ear.frequencyBinCount);
    ear.getFloatFrequencyData(bins);
    const width = audio.sampleRate / ear.fftSize;
    const loudness = TONES.map((tone) => {
      const centre = Math.round(tone / width);
      return Math.max(...bins.slice(centre - 4, centre + 5));
    });
    const order = loudness.map((_, n) => n).sort((a, b) => loudness[b] - loudness[a]);
    const stands = loudness[order[0]] > -55 && loudness[order[0]] > loudness[order[1]] + 15;
    return stands ? this.names[order[0]] : undefined;
  }
  heard() {
    return Object.fromEntries(this.mids.map((mid) => [mid, this.voice(mid)]));
  }
  /** Resolves when these and nobody else are told of, and each is heard where it is told to be. */
  async untilHeard(...names) {
    const want = [...names].sort().join();
    const times = Object.fromEntries(this.mids.map((mid) => [mid, 0]));
    const state = () => `told ${JSON.stringify(this.told)}, heard ${JSON.stringify(this.heard())}`;
    await until(() => {
      const told = this.mids.map((mid) => this.told[mid]).filter((name) => name !== undefined);
      if ([...told].sort().join() !== want) return false;
      const heard = this.heard();
      for (const mid of this.mids) if (heard[mid] !== undefined && heard[mid] === this.told[mid]) times[mid] += 1;
      return this.mids.every((mid) => this.told[mid] === undefined || times[mid] >= 3);
    }, `${want} to be heard`, 10000).catch((error) => {
      throw new Error(`${error.message}; ${state()}`);
    });
    return { ...this.told };
  }
  /** Resolves when these and nobody else speak, as the server tells. */
  untilSpeaking(...names) {
    const want = [...names].sort().join();
    const speaking = () => (this.speakers.at(-1)?.speakers ?? []).map(({ sourceId }) => sourceId).sort().join();
    return until(() => speaking() === want, `${want || "nobody"} to speak`, 10000);
  }
  /**
   * Of each track, who was heard in it, in that order, by its sound, beside who was told to be. Sound comes later than words, by a jitter
   * buffer and by what a busy machine takes, and a pause of speech may hide somebody; so what is heard has to be a part of what is told.
   */
  comparison() {
    return this.mids.map((mid) => {
      const heard = this.log.flatMap(({ heard }) => heard[mid] ?? []).filter((name, n, all) => name !== all[n - 1]);
      const told = (this.order[mid] ?? []).filter((name, n, all) => name !== undefined && name !== all[n - 1]);
      let next = 0;
      for (const name of told) if (name === heard[next]) next += 1;
      return { agrees: next === heard.length, heard, told };
    });
  }
  end() {
    clearInterval(this.timer);
    this.view.stop();
  }
}

/** Lets time pass while something is going on that is looked at afterwards. */
export const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
