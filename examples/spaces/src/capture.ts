const SOUND = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
const PICTURE = {
  facingMode: 'user',
  width: { ideal: 960 },
  height: { ideal: 540 },
  frameRate: { ideal: 24 },
};

/**
 * The microphone, and the camera too where it is wanted and there is one.
 *
 * @throws {Error} in words for people.
 */
export async function capture(withVideo: boolean): Promise<MediaStream> {
  const devices = navigator.mediaDevices;
  if (!devices) throw new Error('Browsers give microphones to https and localhost pages only');
  try {
    return await devices.getUserMedia({ audio: SOUND, video: withVideo ? PICTURE : false });
  } catch (error) {
    // A computer without a camera can still talk.
    if (withVideo && error instanceof DOMException && error.name === 'NotFoundError') {
      return capture(false);
    }
    throw new Error(inWords(error, withVideo));
  }
}

function inWords(error: unknown, withVideo: boolean): string {
  const what = withVideo ? 'microphone or camera' : 'microphone';
  const name = error instanceof DOMException ? error.name : '';
  if (name === 'NotAllowedError') return `Your browser does not allow this page to use the ${what}`;
  if (name === 'NotFoundError') return 'There is no microphone';
  if (name === 'NotReadableError') return `Another program uses the ${what}`;
  return `The ${what} did not start: ${error instanceof Error ? error.message : String(error)}`;
}

export function release(stream: MediaStream | undefined): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
