import { VIEW_EVENTS, type View } from 'rostra';

/** Few people talk at a time; more tracks would only play what nobody can follow. */
const TRACKS = 3;
/** dBov below which a level is drawn as nothing: a quiet room. */
const QUIET = -60;

/** How a view asks for the voices of a stream, and for who talks. */
export const VOICES = { multiplexedAudioTracks: TRACKS, events: [...VIEW_EVENTS, 'speakers'] };

/** Whether a received track is one of the multiplexed ones: sound behind the main sound. */
export function isVoice(view: View, { track, transceiver }: RTCTrackEvent): boolean {
  const transceivers = view.webRTCPeer?.getTransceivers() ?? [];
  const sounds = transceivers.filter(({ receiver }) => receiver.track.kind === 'audio');
  return track.kind === 'audio' && sounds.indexOf(transceiver) > 0;
}

/** A level as a share of 100, as loudness is heard. */
export const shareOf = (level: number): number =>
  Math.round(100 * Math.min(1, Math.max(0, 1 - level / QUIET)));
