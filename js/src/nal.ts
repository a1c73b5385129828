/**
 * The units of an H264 frame as browsers hand it out: NAL units behind start codes (ITU-T H.264 Annex B).
 *
 * Received frames are a stranger's bytes: whatever they contain, reading takes time in proportion to
 * their length and ends in "there is nothing".
 */

/** The NAL units of a frame, without start codes and trailing zeros. */
export function* nalUnits(frame: Uint8Array): Generator<Uint8Array> {
  let start = -1;
  for (let at = 0; at + 2 < frame.length; ) {
    const third = frame[at + 2] ?? 0;
    if (third > 1) at += 3;
    else if (third === 1 && frame[at] === 0 && frame[at + 1] === 0) {
      if (start >= 0) yield frame.subarray(start, endWithoutZeros(frame, start, at));
      at += 3;
      start = at;
    } else at++;
  }
  if (start >= 0) yield frame.subarray(start, endWithoutZeros(frame, start, frame.length));
}

function endWithoutZeros(frame: Uint8Array, start: number, end: number): number {
  let last = end;
  while (last > start && frame[last - 1] === 0) last--;
  return last;
}

/** The five bits that say what a unit is. */
export const nalType = (nal: Uint8Array): number => (nal[0] ?? 0) & 0x1f;

/** Puts a 3 before every byte that would complete a start code or an escape (H.264 §7.4.1.1). */
export function escaped(payload: Uint8Array): Uint8Array {
  const bytes: number[] = [];
  let zeros = 0;
  for (const byte of payload) {
    if (zeros >= 2 && byte <= 3) {
      bytes.push(3);
      zeros = 0;
    }
    bytes.push(byte);
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return Uint8Array.from(bytes);
}

/** Takes the escapes out again. */
export function unescaped(payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(payload.length);
  let length = 0;
  let zeros = 0;
  for (const byte of payload) {
    if (zeros >= 2 && byte === 3) {
      zeros = 0;
      continue;
    }
    bytes[length++] = byte;
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return bytes.subarray(0, length);
}

/** Reads bits, most significant first. Beyond the end it throws a `RangeError`. */
export class BitReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Up to 32 bits as an unsigned number. */
  bits(count: number): number {
    let value = 0;
    for (let left = count; left > 0; left--) {
      const byte = this.#bytes[this.#at >> 3];
      if (byte === undefined) throw new RangeError('The unit ends early');
      value = value * 2 + ((byte >> (7 - (this.#at & 7))) & 1);
      this.#at++;
    }
    return value;
  }

  flag(): boolean {
    return this.bits(1) === 1;
  }

  /** An unsigned Exp-Golomb number (H.264 §9.1). */
  ue(): number {
    let zeros = 0;
    while (!this.flag()) {
      if (++zeros > 32) throw new RangeError('Not an Exp-Golomb number');
    }
    return 2 ** zeros - 1 + this.bits(zeros);
  }

  /** A signed Exp-Golomb number (H.264 §9.1.1). */
  se(): number {
    const code = this.ue();
    return code % 2 === 1 ? (code + 1) / 2 : -code / 2;
  }
}
