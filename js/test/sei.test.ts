import { describe, expect, it } from 'vitest';
import { escaped, nalUnits, unescaped } from '../src/nal.js';
import {
  MetadataReader,
  metadataUnit,
  Outbox,
  TIMED_JSON,
  uuidBytes,
  withUnits,
} from '../src/sei.js';

const PLAIN_JSON = '6e9cfd2a-5907-49ff-b363-8978a6e8340e';
const TIME_ALONE = '9a21f3be-31f0-4b78-b0be-c7f7dbb97250';
const FOREIGN = 'dc45e9bd-e6d9-48b7-962c-d820d923eeef';
const NOW = Date.UTC(2026, 10, 24, 17, 0, 0, 123);

const bytes = (...values: number[]) => Uint8Array.from(values);
const uuid = (text: string) => uuidBytes(text) ?? bytes();
/** A key frame as an encoder writes it: parameter sets and one slice. */
const PICTURE = bytes(
  ...[0, 0, 0, 1, 0x67, 66, 0xe0, 31, 0x8c],
  ...[0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80],
  ...[0, 0, 1, 0x65, 0x88, 0x84, 0, 0, 3, 1, 0x5f],
);
const sent = (value: unknown, name = TIMED_JSON) =>
  withUnits(PICTURE, [metadataUnit(uuid(name), JSON.stringify(value), NOW)]);
/** A SEI unit of one user data message with these bytes. */
const userData = (name: string, payload: readonly number[]) =>
  bytes(
    ...[0, 0, 0, 1, 6],
    ...escaped(bytes(5, 16 + payload.length, ...uuid(name), ...payload, 0x80)),
  );
const read = (frame: Uint8Array) => new MetadataReader().read(frame);

/** Numbers that look random and are the same every time (mulberry32). */
function* randomNumbers(seed: number): Generator<number, never> {
  for (let state = seed; ; ) {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed);
    yield (mixed ^ (mixed >>> 14)) >>> 0;
  }
}

describe('metadata in a frame', () => {
  it.each([
    ['an object', { a: 1, text: 'Grüße, 世界' }],
    ['a number', 0],
    ['null', null],
    ['an empty string', ''],
    ['zeros that look like start codes', '\0\0\u0001\0\0\0\0\u0003'],
    ['255 bytes with UUID and time', 'x'.repeat(255 - 24)],
    ['510 bytes with UUID and time', 'x'.repeat(510 - 24)],
    ['a lot', Array.from({ length: 20_000 }, (_, n) => n)],
  ])('is read as it was written: %s', (_, value) => {
    expect(read(sent(value))).toEqual([
      { uuid: TIMED_JSON, timecode: new Date(NOW), unregistered: value },
    ]);
  });

  it('stands behind the picture, which stays as it was', () => {
    const frame = sent({ a: 1 });
    expect(frame.subarray(0, PICTURE.length)).toEqual(PICTURE);
    expect([...nalUnits(frame)].map((nal) => nal[0])).toEqual([0x67, 0x68, 0x65, 0x66]);
  });

  it('has the layout that other clients read', () => {
    expect(metadataUnit(uuid(TIMED_JSON), '7', 0x01_02_03_04_05_06)).toEqual(
      bytes(
        ...[0, 0, 0, 1, 0x66, 5, 23],
        ...[0xd4, 0x0e, 0x38, 0xea, 0xd4, 0x19, 0x4c, 0x62],
        ...[0x94, 0xed, 0x20, 0xac, 0x37, 0xb4, 0xe4, 0xfa],
        ...[1, 2, 3, 4, 5, 6, 0x37, 0x80],
      ),
    );
  });

  it('never contains a start code, whatever the time', () => {
    for (const time of [0x01_00_00_00_00_00, 0x01_00_00_01_00_00, 0x01_00_00_03_00_00]) {
      const unit = metadataUnit(uuid(TIMED_JSON), '{}', time);
      expect([...nalUnits(unit)]).toHaveLength(1);
      expect(read(unit)[0]?.timecode?.getTime()).toBe(time);
    }
  });

  it('of older clients has no time', () => {
    expect(read(sent({ a: 1 }, PLAIN_JSON))).toEqual([
      { uuid: PLAIN_JSON, unregistered: { a: 1 } },
    ]);
  });

  it('of a server is a time alone', () => {
    const time = [0x01, 0x9a, 0xb6, 0x00, 0x00, 0x7b];
    expect(read(userData(TIME_ALONE, time))).toEqual([
      { uuid: TIME_ALONE, timecode: new Date(0x019ab600007b) },
    ]);
  });

  it('of anybody else is bytes', () => {
    expect(read(userData(FOREIGN, [0x7b, 0x7d]))).toEqual([
      { uuid: FOREIGN, unregistered: bytes(0x7b, 0x7d) },
    ]);
  });

  it('that is not JSON is bytes', () => {
    expect(read(userData(PLAIN_JSON, [0x7b, 0xff, 0, 0, 1]))).toEqual([
      { uuid: PLAIN_JSON, unregistered: bytes(0x7b, 0xff, 0, 0, 1) },
    ]);
  });

  it('comes in order when a frame has several', () => {
    const units = [1, 2].map((n) => metadataUnit(uuid(TIMED_JSON), String(n), NOW));
    expect(read(withUnits(PICTURE, units)).map(({ unregistered }) => unregistered)).toEqual([1, 2]);
  });
});

describe('hostile frames', () => {
  it.each([
    ['nothing', []],
    ['a start code alone', [0, 0, 1]],
    ['zeros', Array<number>(64).fill(0)],
    ['no start code', [6, 5, 1, 2]],
    ['a unit without a message', [0, 0, 1, 6, 0x80]],
    ['a size beyond the end', [0, 0, 1, 6, 5, 200, ...Array<number>(20).fill(1), 0x80]],
    ['a size without an end', [0, 0, 1, 6, 5, ...Array<number>(400).fill(255)]],
    ['a type without an end', [0, 0, 1, 6, ...Array<number>(400).fill(255)]],
    ['user data shorter than a UUID', [0, 0, 1, 6, 5, 3, 1, 2, 3, 0x80]],
  ])('have nothing to say: %s', (_, frame) => {
    expect(read(bytes(...frame))).toEqual([]);
  });

  it('of JSON nested too deeply is bytes', () => {
    const unit = metadataUnit(uuid(PLAIN_JSON), '['.repeat(200_000), NOW);
    const rest = read(unit)[0]?.unregistered as Uint8Array;
    expect(new TextDecoder().decode(rest)).toBe('['.repeat(200_000));
  });

  it('with a time that is no date have none', () => {
    expect(read(userData(TIME_ALONE, Array<number>(40).fill(255)))).toEqual([{ uuid: TIME_ALONE }]);
  });

  it('of random bytes, whole or cut, end in an answer', () => {
    const random = randomNumbers(4);
    const whole = sent({ a: [1, 2, 3] });
    for (let round = 0; round < 2_000; round++) {
      const frame = whole.slice(0, random.next().value % (whole.length + 1));
      for (let flips = random.next().value % 8; flips > 0; flips--) {
        frame[random.next().value % (frame.length || 1)] = random.next().value % 6;
      }
      expect(Array.isArray(read(frame))).toBe(true);
    }
  });
});

describe('escapes', () => {
  it('come out again, and leave no start code', () => {
    const random = randomNumbers(7);
    for (let round = 0; round < 500; round++) {
      const payload = Uint8Array.from(
        { length: random.next().value % 40 },
        () => random.next().value % 5,
      );
      const written = escaped(payload);
      expect(unescaped(written)).toEqual(payload);
      expect(Buffer.from(written).toString('hex')).not.toMatch(/^(..)*?0000(00|01|02)/);
    }
  });
});

describe('the outbox', () => {
  const unit = bytes(1);

  it('gives each encoding a unit once', () => {
    const outbox = new Outbox();
    outbox.push(unit);
    expect(outbox.take(100, 0)).toEqual([unit]);
    expect(outbox.take(100, 30)).toEqual([]);
    expect(outbox.take(102, 35)).toEqual([unit]);
  });

  it('waits for the first frame, however late', () => {
    const outbox = new Outbox();
    outbox.push(unit);
    expect(outbox.take(100, 60_000)).toEqual([unit]);
  });

  it('keeps old units from an encoding that was paused', () => {
    const outbox = new Outbox();
    outbox.push(unit);
    outbox.take(100, 0);
    expect(outbox.take(102, 5_000)).toEqual([]);
  });

  it('keeps the newest 256 while no frame comes', () => {
    const outbox = new Outbox();
    for (let n = 0; n < 300; n++) outbox.push(bytes(n % 256, n >> 8));
    const units = outbox.take(1, 0);
    expect(units).toHaveLength(256);
    expect(units.at(-1)).toEqual(bytes(299 % 256, 1));
  });
});

describe('picture timing', () => {
  /** Bits as text, grouped for reading. */
  const packed = (bits: string) => {
    const plain = bits.replaceAll(' ', '');
    const padded = plain.padEnd(Math.ceil(plain.length / 8) * 8, '0');
    return (padded.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2));
  };
  const bits = (value: number, count: number) => value.toString(2).padStart(count, '0');
  // Baseline profile, level 3.1; ids, sizes and flags as short as they can be; a picture structure, no HRD.
  const fields = `${bits(66, 8)} ${bits(0, 8)} ${bits(31, 8)} 1 1 1 1 1 0 1 1 1 1 0`;
  const sps = (usability: string) =>
    bytes(0, 0, 0, 1, 0x67, ...escaped(bytes(...packed(`${fields} ${usability} 1`))));
  const noHrd = '1 0 0 0 0 0 0 0 1 0';
  // Delays of 8 bits each, an offset of 5 bits.
  const hrd = `1 ${bits(0, 8)} 1 1 0 ${bits(23, 5)} ${bits(7, 5)} ${bits(7, 5)} ${bits(5, 5)}`;
  const withHrd = `1 0 0 0 0 0 1 ${hrd} 0 0 1 0`;
  const clock = `1 00 0 00000 1 0 0 ${bits(12, 8)} ${bits(59, 6)} ${bits(30, 6)} ${bits(17, 5)}`;
  const message = (content: string) => {
    const payload = packed(content);
    return bytes(0, 0, 0, 1, 6, ...escaped(bytes(1, payload.length, ...payload, 0x80)));
  };
  const code = { n_frames: 12, seconds_value: 59, minutes_value: 30, hours_value: 17 };

  it('reads as the parameter set says', () => {
    const plain = withUnits(sps(noHrd), [message(`0000 ${clock} ${bits(0, 24)}`)]);
    expect(read(plain)).toEqual([{ seiPicTimingTimeCodeArray: [{ ...code, time_offset: 0 }] }]);
    const delayed = withUnits(sps(withHrd), [message(`${bits(3, 16)} 0000 ${clock} 11111`)]);
    expect(read(delayed)).toEqual([{ seiPicTimingTimeCodeArray: [{ ...code, time_offset: -1 }] }]);
  });

  it('may leave out the higher places', () => {
    const short = `1 00 0 00000 0 0 0 ${bits(3, 8)} 1 ${bits(7, 6)} 0 ${bits(0, 24)}`;
    const frame = withUnits(sps(noHrd), [message(`0000 ${short}`)]);
    expect(read(frame)[0]?.seiPicTimingTimeCodeArray).toEqual([
      { n_frames: 3, seconds_value: 7, time_offset: 0 },
    ]);
  });

  it('stands beside what the application sent with the same frame', () => {
    const data = metadataUnit(uuid(PLAIN_JSON), '1', NOW);
    const frame = withUnits(sps(noHrd), [message(`0000 ${clock} ${bits(0, 24)}`), data]);
    expect(read(frame)).toEqual([
      {
        uuid: PLAIN_JSON,
        unregistered: 1,
        seiPicTimingTimeCodeArray: [{ ...code, time_offset: 0 }],
      },
    ]);
  });

  it('is remembered from the parameter set of an earlier frame', () => {
    const reader = new MetadataReader();
    const unit = message(`0000 ${clock} ${bits(0, 24)}`);
    expect(reader.read(unit)).toEqual([]);
    reader.read(sps(noHrd));
    expect(reader.read(unit)).toHaveLength(1);
  });

  it('that is cut short says what it has', () => {
    expect(read(withUnits(sps(noHrd), [message('0000 1 00')]))).toEqual([]);
  });
});
