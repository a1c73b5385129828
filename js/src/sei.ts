/** Data that travels inside H264 frames: supplemental enhancement information (ITU-T H.264 annex D). */
import { escaped, nalType, nalUnits, unescaped } from './nal.js';
import {
  type PicTimingTimeCode,
  readPicTiming,
  readTimingFormat,
  type TimingFormat,
} from './pic-timing.js';

/** What one message of a frame says. */
export interface FrameMetadata {
  /** Which kind of data it is. */
  uuid?: string;
  /** When the sender, or the server that took the frame in, had it. */
  timecode?: Date;
  /** The value that was sent; bytes when it is not JSON or the `uuid` is none of ours. */
  unregistered?: unknown;
  seiPicTimingTimeCodeArray?: PicTimingTimeCode[];
}

/** Milliseconds since 1970, then JSON: what is written unless the application names another. */
export const TIMED_JSON = 'd40e38ea-d419-4c62-94ed-20ac37b4e4fa';
/** JSON alone, of older clients. */
const PLAIN_JSON = '6e9cfd2a-5907-49ff-b363-8978a6e8340e';
/** Milliseconds since 1970 and nothing else, written by servers. */
const TIME_ALONE = '9a21f3be-31f0-4b78-b0be-c7f7dbb97250';

const NAL_SEI = 6;
const NAL_SPS = 7;
const SEI_PIC_TIMING = 1;
const SEI_USER_DATA = 5;
const UUID_BYTES = 16;
/** Milliseconds since 1970 take this many bytes from the year 2004 to the year 10889. */
const TIME_BYTES = 6;
/** Type 6 with the reference bits that clients of this protocol set. */
const NAL_HEADER = 0x66;
const STOP_BIT = 0x80;

/** The 16 bytes of a UUID, or `undefined` when it is not one. */
export function uuidBytes(uuid: string): Uint8Array | undefined {
  const digits = uuid.replaceAll('-', '');
  if (!/^[0-9a-f]{32}$/i.test(digits)) return undefined;
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

function uuidText(bytes: Uint8Array): string {
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** Big-endian, without leading zeros. */
function numberBytes(value: number): number[] {
  const bytes: number[] = [];
  for (let left = Math.max(0, Math.floor(value)); left > 0; left = Math.floor(left / 256)) {
    bytes.unshift(left % 256);
  }
  return bytes;
}

/**
 * A unit that carries a JSON text, start code included. With the `uuid` of timed JSON it carries
 * `epochMs` too.
 */
export function metadataUnit(uuid: Uint8Array, json: string, epochMs: number): Uint8Array {
  const time = uuidText(uuid) === TIMED_JSON ? numberBytes(epochMs) : [];
  const payload = [...uuid, ...time, ...new TextEncoder().encode(json)];
  const size = [...Array<number>(Math.floor(payload.length / 255)).fill(255), payload.length % 255];
  const message = escaped(Uint8Array.from([SEI_USER_DATA, ...size, ...payload, STOP_BIT]));
  return Uint8Array.from([0, 0, 0, 1, NAL_HEADER, ...message]);
}

/** The frame with units behind it. */
export function withUnits(frame: Uint8Array, units: readonly Uint8Array[]): Uint8Array {
  const total = units.reduce((sum, unit) => sum + unit.length, frame.length);
  const bytes = new Uint8Array(total);
  bytes.set(frame);
  let at = frame.length;
  for (const unit of units) {
    bytes.set(unit, at);
    at += unit.length;
  }
  return bytes;
}

/** The messages of a SEI unit; one whose size goes beyond the end is left out, with what follows it. */
function* messages(nal: Uint8Array): Generator<{ type: number; payload: Uint8Array }> {
  const bytes = unescaped(nal.subarray(1));
  let at = 0;
  const chained = (): number => {
    let sum = 0;
    while (bytes[at] === 255) {
      sum += 255;
      at++;
    }
    return sum + (bytes[at++] ?? 0);
  };
  // The last byte is the stop bit and belongs to no message.
  while (at < bytes.length - 1) {
    const type = chained();
    const size = chained();
    if (at + size > bytes.length) return;
    yield { type, payload: bytes.subarray(at, at + size) };
    at += size;
  }
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
  } catch {
    return bytes.slice();
  }
}

function dated(bytes: Uint8Array): Pick<FrameMetadata, 'timecode'> {
  const timecode = new Date(bytes.reduce((value, byte) => value * 256 + byte, 0));
  return Number.isNaN(timecode.getTime()) ? {} : { timecode };
}

function readUserData(payload: Uint8Array): FrameMetadata | undefined {
  if (payload.length < UUID_BYTES) return undefined;
  const uuid = uuidText(payload.subarray(0, UUID_BYTES));
  const rest = payload.subarray(UUID_BYTES);
  switch (uuid) {
    case TIMED_JSON:
      return {
        uuid,
        ...dated(rest.subarray(0, TIME_BYTES)),
        unregistered: parsed(rest.subarray(TIME_BYTES)),
      };
    case PLAIN_JSON:
      return { uuid, unregistered: parsed(rest) };
    case TIME_ALONE:
      return { uuid, ...dated(rest) };
    default:
      return { uuid, unregistered: rest.slice() };
  }
}

/** Reads the metadata of the frames of one track, in order. */
export class MetadataReader {
  /** Of the last parameter set: a picture timing message cannot be read without it. */
  #timing: TimingFormat | undefined;

  /** One entry per message; the time codes of the picture stand in each, or alone. */
  read(frame: Uint8Array): FrameMetadata[] {
    const found: FrameMetadata[] = [];
    const codes: PicTimingTimeCode[] = [];
    for (const nal of nalUnits(frame)) {
      const type = nalType(nal);
      if (type === NAL_SPS) this.#timing = readTimingFormat(nal);
      if (type !== NAL_SEI) continue;
      for (const message of messages(nal)) {
        if (message.type === SEI_PIC_TIMING && this.#timing) {
          codes.push(...readPicTiming(message.payload, this.#timing));
        } else if (message.type === SEI_USER_DATA) {
          const data = readUserData(message.payload);
          if (data) found.push(data);
        }
      }
    }
    if (codes.length === 0) return found;
    const timing = { seiPicTimingTimeCodeArray: codes };
    return found.length === 0 ? [timing] : found.map((entry) => ({ ...entry, ...timing }));
  }
}

/** Metadata on its way out: each unit goes once into the frames of every encoding. */
export class Outbox {
  /** A frame that comes later than this belongs to an encoding that was paused meanwhile. */
  static readonly #LIFETIME_MS = 1_000;
  /** While no frame comes, the newest are kept. */
  static readonly #MOST = 256;
  #waiting: { unit: Uint8Array; sentFirst: number | undefined; readonly sentIn: Set<number> }[] =
    [];

  push(unit: Uint8Array): void {
    this.#waiting.push({ unit, sentFirst: undefined, sentIn: new Set() });
    if (this.#waiting.length > Outbox.#MOST) this.#waiting.shift();
  }

  /** What goes into the next frame of this encoding. */
  take(ssrc: number, nowMs: number): Uint8Array[] {
    this.#waiting = this.#waiting.filter(
      ({ sentFirst }) => sentFirst === undefined || nowMs - sentFirst < Outbox.#LIFETIME_MS,
    );
    const due = this.#waiting.filter(({ sentIn }) => !sentIn.has(ssrc));
    for (const entry of due) {
      entry.sentFirst ??= nowMs;
      entry.sentIn.add(ssrc);
    }
    return due.map(({ unit }) => unit);
  }
}
