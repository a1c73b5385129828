/** Runs beside the page: writes metadata into the frames that leave, reads it from those that arrive. */
import { type EncodedVideoFrame, reading, type TransformInit, writing } from './sei-transform.js';

/** The part of a worker with encoded transforms that is used here (W3C webrtc-encoded-transform). */
interface TransformWorker {
  onrtctransform:
    | ((event: {
        transformer: {
          readable: ReadableStream<EncodedVideoFrame>;
          writable: WritableStream<EncodedVideoFrame>;
          options: TransformInit;
        };
      }) => void)
    | null;
}

(globalThis as unknown as TransformWorker).onrtctransform = ({ transformer }) => {
  const { direction, port } = transformer.options;
  const transform = direction === 'send' ? writing(port) : reading(port);
  // It ends with its sender or receiver; nothing is left to tell.
  transformer.readable
    .pipeThrough(transform)
    .pipeTo(transformer.writable)
    .catch(() => undefined);
};
