import { BitReader, unescaped } from './nal.js';

/** One clock time stamp of a picture timing message, with the names of H.264 §D.1.3. */
export interface PicTimingTimeCode {
  n_frames?: number;
  seconds_value?: number;
  minutes_value?: number;
  hours_value?: number;
  time_offset?: number;
}

/** What of a sequence parameter set decides how a picture timing message reads. */
export interface TimingFormat {
  /** Bits of the two delays before the structure; 0 without HRD parameters. */
  readonly delayBits: number;
  readonly timeOffsetBits: number;
  readonly hasStructure: boolean;
}

/** Profiles whose parameter set has the chroma and scaling fields (H.264 §7.3.2.1.1). */
const HIGH_PROFILES = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135]);
const EXTENDED_SAR = 255;
/** Clock time stamps by `pic_struct` (H.264 table D-1). */
const CLOCKS = [1, 1, 1, 2, 2, 3, 3, 2, 3];
const MOST_CPBS = 32;

/** Reads a sequence parameter set; `undefined` when it has no usability information or cannot be read. */
export function readTimingFormat(nal: Uint8Array): TimingFormat | undefined {
  try {
    const reader = new BitReader(unescaped(nal.subarray(1)));
    skipToUsability(reader);
    return reader.flag() ? readUsability(reader) : undefined;
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function skipToUsability(reader: BitReader): void {
  const profile = reader.bits(8);
  reader.bits(16);
  reader.ue();
  if (HIGH_PROFILES.has(profile)) {
    const chroma = reader.ue();
    if (chroma === 3) reader.bits(1);
    reader.ue();
    reader.ue();
    reader.bits(1);
    if (reader.flag()) {
      for (let list = 0; list < (chroma === 3 ? 12 : 8); list++) {
        if (reader.flag()) skipScalingList(reader, list < 6 ? 16 : 64);
      }
    }
  }
  reader.ue();
  const orderType = reader.ue();
  if (orderType === 0) reader.ue();
  else if (orderType === 1) {
    reader.bits(1);
    reader.se();
    reader.se();
    const cycle = reader.ue();
    if (cycle > 255) throw new RangeError('Too long a picture order cycle');
    for (let left = cycle; left > 0; left--) reader.se();
  }
  reader.ue();
  reader.bits(1);
  reader.ue();
  reader.ue();
  // frame_mbs_only_flag; without it another flag follows.
  if (!reader.flag()) reader.bits(1);
  reader.bits(1);
  if (reader.flag()) for (let side = 0; side < 4; side++) reader.ue();
}

function skipScalingList(reader: BitReader, size: number): void {
  let last = 8;
  let next = 8;
  for (let at = 0; at < size; at++) {
    if (next !== 0) next = (last + reader.se() + 256) % 256;
    if (next !== 0) last = next;
  }
}

function readUsability(reader: BitReader): TimingFormat {
  if (reader.flag() && reader.bits(8) === EXTENDED_SAR) reader.bits(32);
  if (reader.flag()) reader.bits(1);
  if (reader.flag()) {
    reader.bits(4);
    if (reader.flag()) reader.bits(24);
  }
  if (reader.flag()) {
    reader.ue();
    reader.ue();
  }
  if (reader.flag()) {
    reader.bits(32);
    reader.bits(32);
    reader.bits(1);
  }
  const nalHrd = reader.flag() ? readHrd(reader) : undefined;
  const vclHrd = reader.flag() ? readHrd(reader) : undefined;
  const hrd = nalHrd ?? vclHrd;
  if (hrd) reader.bits(1);
  return {
    delayBits: hrd?.delayBits ?? 0,
    // Inferred to be 24 when it is not there (H.264 §E.2.2).
    timeOffsetBits: hrd?.timeOffsetBits ?? 24,
    hasStructure: reader.flag(),
  };
}

function readHrd(reader: BitReader): { delayBits: number; timeOffsetBits: number } {
  const cpbs = reader.ue() + 1;
  if (cpbs > MOST_CPBS) throw new RangeError('Too many coded picture buffers');
  reader.bits(8);
  for (let left = cpbs; left > 0; left--) {
    reader.ue();
    reader.ue();
    reader.bits(1);
  }
  reader.bits(5);
  const delayBits = reader.bits(5) + 1 + reader.bits(5) + 1;
  return { delayBits, timeOffsetBits: reader.bits(5) };
}

/** Reads a picture timing message (H.264 §D.1.3). */
export function readPicTiming(payload: Uint8Array, format: TimingFormat): PicTimingTimeCode[] {
  if (!format.hasStructure) return [];
  const codes: PicTimingTimeCode[] = [];
  try {
    const reader = new BitReader(payload);
    reader.bits(format.delayBits);
    const clocks = CLOCKS[reader.bits(4)] ?? 0;
    for (let left = clocks; left > 0; left--) {
      if (reader.flag()) codes.push(readClock(reader, format.timeOffsetBits));
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return codes;
}

function readClock(reader: BitReader, timeOffsetBits: number): PicTimingTimeCode {
  reader.bits(8);
  const isFull = reader.flag();
  reader.bits(2);
  const code: PicTimingTimeCode = { n_frames: reader.bits(8) };
  if (isFull || reader.flag()) code.seconds_value = reader.bits(6);
  if (code.seconds_value !== undefined && (isFull || reader.flag())) {
    code.minutes_value = reader.bits(6);
  }
  if (code.minutes_value !== undefined && (isFull || reader.flag())) {
    code.hours_value = reader.bits(5);
  }
  if (timeOffsetBits > 0) {
    const raw = reader.bits(timeOffsetBits);
    // Two's complement.
    code.time_offset = raw >= 2 ** (timeOffsetBits - 1) ? raw - 2 ** timeOffsetBits : raw;
  }
  return code;
}
