import { CELLS, encodeClock, ROW_SHARE } from './clock.js';

export interface PictureSettings {
  /** Written into the picture; decides its colour and the pitch of its beep. */
  name: string;
  width: number;
  height: number;
  fps: number;
  sound: boolean;
}

/** The parts of Chromium's insertable streams that are used here; not in TypeScript's library. */
interface TrackGenerator extends MediaStreamTrack {
  readonly writable: WritableStream<VideoFrame>;
}
declare global {
  var MediaStreamTrackGenerator: (new (init: { kind: 'video' }) => TrackGenerator) | undefined;
}

const FLASH_MS = 100;
const BEEP_S = 0.08;

/** A number that is the same for the same name, and well spread for similar ones (FNV-1a). */
function hashOf(name: string): number {
  let hash = 0x811c9dc5;
  for (const char of name) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return hash;
}

/**
 * The colour of a name, in degrees. FNV's prime lies close to a multiple of 180, so names that count up
 * would get two colours in turn; a turn by the golden ratio keeps neighbours apart.
 */
export function hueOf(name: string): number {
  return Math.floor(((Math.imul(hashOf(name), 0x9e3779b1) >>> 0) / 2 ** 32) * 360);
}

/**
 * A picture that shows whether and when it arrives: a running clock for people, one for machines
 * (`clock.ts`), and a flash with a beep at every full second.
 */
export class TestPicture {
  readonly stream: MediaStream;
  readonly #settings: PictureSettings;
  readonly #canvas = document.createElement('canvas');
  readonly #context = this.#canvas.getContext('2d', { alpha: false });
  readonly #ticker = new Worker(new URL('./ticker.ts', import.meta.url), { type: 'module' });
  readonly #hue: number;
  #frames: WritableStreamDefaultWriter<VideoFrame> | undefined;
  #audio: { context: AudioContext; volume: GainNode } | undefined;
  #second = 0;

  constructor(settings: PictureSettings) {
    this.#settings = settings;
    this.#hue = hueOf(settings.name);
    this.#canvas.width = settings.width;
    this.#canvas.height = settings.height;
    this.stream = new MediaStream([this.#video(), ...(settings.sound ? [this.#sound()] : [])]);
    this.#ticker.onmessage = () => this.#tick();
    this.#ticker.postMessage(1000 / settings.fps);
    this.#tick();
  }

  stop(): void {
    this.#ticker.terminate();
    for (const track of this.stream.getTracks()) track.stop();
    void this.#audio?.context.close();
  }

  /** Frames written by hand go on in a hidden tab, where those captured from a canvas stop. */
  #video(): MediaStreamTrack {
    const Generator = globalThis.MediaStreamTrackGenerator;
    if (Generator) {
      const track = new Generator({ kind: 'video' });
      this.#frames = track.writable.getWriter();
      return track;
    }
    const [track] = this.#canvas.captureStream(this.#settings.fps).getVideoTracks();
    if (!track) throw new Error('This browser cannot make a picture to send');
    return track;
  }

  #sound(): MediaStreamTrack {
    const context = new AudioContext();
    const destination = context.createMediaStreamDestination();
    const volume = new GainNode(context, { gain: 0 });
    const frequency = 440 * 2 ** ((hashOf(this.#settings.name) % 13) / 12);
    const tone = new OscillatorNode(context, { frequency });
    tone.connect(volume).connect(destination);
    tone.start();
    this.#audio = { context, volume };
    const [track] = destination.stream.getAudioTracks();
    if (!track) throw new Error('This browser cannot make a sound to send');
    return track;
  }

  #tick(): void {
    const now = Date.now();
    this.#draw(now);
    const second = Math.floor(now / 1000);
    if (second !== this.#second) this.#beep();
    this.#second = second;
    if (!this.#frames) return;
    const frame = new VideoFrame(this.#canvas, { timestamp: now * 1000 });
    this.#frames.write(frame).catch(() => frame.close());
  }

  #beep(): void {
    if (!this.#audio) return;
    const { context, volume } = this.#audio;
    void context.resume();
    volume.gain.setValueAtTime(0.3, context.currentTime);
    volume.gain.setValueAtTime(0, context.currentTime + BEEP_S);
  }

  #draw(now: number): void {
    const context = this.#context;
    if (!context) return;
    const { width, height } = this.#canvas;
    const row = Math.ceil(height * ROW_SHARE);
    const unit = height / 18;

    context.fillStyle = `hsl(${this.#hue} 55% 32%)`;
    context.fillRect(0, 0, width, height);

    // One turn in four seconds: a frozen or stuttering picture is seen at a glance.
    const angle = ((now % 4000) / 4000) * 2 * Math.PI;
    const [x, y, radius] = [width - 4 * unit, 6 * unit, 2.6 * unit];
    context.strokeStyle = `hsl(${this.#hue} 60% 80%)`;
    context.lineWidth = unit / 3;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.moveTo(x, y);
    context.lineTo(x + radius * Math.sin(angle), y - radius * Math.cos(angle));
    context.stroke();

    context.fillStyle = '#fff';
    context.font = `600 ${3 * unit}px system-ui, sans-serif`;
    context.fillText(this.#settings.name, 1.5 * unit, 5.6 * unit, width - 9 * unit);
    context.font = `${2.6 * unit}px ui-monospace, monospace`;
    context.fillText(new Date(now).toISOString().slice(11, 23), 1.5 * unit, 9.8 * unit);
    context.font = `${1.3 * unit}px system-ui, sans-serif`;
    context.fillText(`${width}×${height}, ${this.#settings.fps} fps`, 1.5 * unit, 12.6 * unit);

    if (now % 1000 < FLASH_MS)
      context.fillRect(width - 6.6 * unit, 10 * unit, 5.2 * unit, 4 * unit);

    for (const [cell, isWhite] of encodeClock(now).entries()) {
      context.fillStyle = isWhite ? '#fff' : '#000';
      const left = Math.round((cell * width) / CELLS);
      const right = Math.round(((cell + 1) * width) / CELLS);
      context.fillRect(left, height - row, right - left, row);
    }
  }
}
