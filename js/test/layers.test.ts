import { describe, expect, it } from 'vitest';
import { layersOf } from '../src/index.js';

const event = (medias: unknown) => ({ name: 'layers', data: { streamId: 'k9Mwad/demo', medias } });

describe('layersOf', () => {
  it('leaves a good report as it is', () => {
    const entry = { encodingId: '1', simulcastIdx: 1, spatialLayerId: 255, temporalLayerId: 255 };
    const medias = {
      '0': {
        active: [
          { id: '1', simulcastIdx: 1, bitrate: 640_000, width: 640, height: 360, layers: [] },
        ],
        inactive: [{ id: '0' }],
        layers: [{ ...entry, bitrate: 640_000, width: 640, height: 360, another: 'key' }],
        selected: { encodingId: '1', spatialLayerId: 255, temporalLayerId: 255 },
        limited: true,
      },
      '2': { active: [], inactive: [], layers: [], selected: null },
    };
    expect(layersOf(event(medias))).toEqual({ streamId: 'k9Mwad/demo', medias });
  });

  it('fills in what older servers leave out', () => {
    const medias = { '0': { layers: [{ encodingId: '0' }] } };
    expect(layersOf(event(medias))?.medias['0']).toEqual({
      active: [],
      inactive: [],
      layers: [{ encodingId: '0', spatialLayerId: 255, temporalLayerId: 255 }],
    });
  });

  it.each([
    ['another event', { name: 'active', data: { medias: {} } }],
    ['no medias', event(undefined)],
  ])('is nothing for %s', (_, given) => {
    expect(layersOf(given)).toBeUndefined();
  });

  it('drops what cannot be chosen', () => {
    const medias = {
      '0': { active: [{ id: 7 }, null], inactive: 'x', layers: [{}, 3] },
      '1': null,
    };
    expect(layersOf(event(medias))?.medias).toEqual({
      '0': { active: [], inactive: [], layers: [] },
    });
  });
});
