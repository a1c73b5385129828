import { MetadataReader, Outbox, withUnits } from './sei.js';

/** A frame between encoder and packetiser (W3C webrtc-encoded-transform). */
export interface EncodedVideoFrame {
  data: ArrayBuffer;
  getMetadata(): { synchronizationSource?: number; mimeType?: string };
}

/** What a transform is told when it starts; the port carries units in, or metadata out. */
export interface TransformInit {
  readonly direction: 'send' | 'receive';
  readonly port: MessagePort;
}

/** Whether this is an H264 frame; where the browser does not say, a start code does. */
function isH264(frame: EncodedVideoFrame, bytes: Uint8Array): boolean {
  const { mimeType } = frame.getMetadata();
  if (mimeType) return /\/h264$/i.test(mimeType);
  const [first, second, third, fourth] = bytes;
  return first === 0 && second === 0 && (third === 1 || (third === 0 && fourth === 1));
}

/** Puts the units that come through the port behind the next frame of every encoding. */
export function writing(port: MessagePort): TransformStream<EncodedVideoFrame, EncodedVideoFrame> {
  const outbox = new Outbox();
  port.onmessage = ({ data }: MessageEvent<Uint8Array>) => outbox.push(data);
  return new TransformStream({
    transform(frame, controller) {
      const bytes = new Uint8Array(frame.data);
      if (isH264(frame, bytes)) {
        const ssrc = frame.getMetadata().synchronizationSource ?? 0;
        const units = outbox.take(ssrc, performance.now());
        if (units.length > 0) frame.data = withUnits(bytes, units).buffer as ArrayBuffer;
      }
      controller.enqueue(frame);
    },
  });
}

/** Sends what the frames carry through the port, and lets them pass unchanged. */
export function reading(port: MessagePort): TransformStream<EncodedVideoFrame, EncodedVideoFrame> {
  const reader = new MetadataReader();
  return new TransformStream({
    transform(frame, controller) {
      const bytes = new Uint8Array(frame.data);
      if (isH264(frame, bytes)) {
        for (const metadata of reader.read(bytes)) port.postMessage(metadata);
      }
      controller.enqueue(frame);
    },
  });
}
