/// <reference path="./inline-worker.d.ts" />
/** Attaches the metadata transforms to senders and receivers, by whichever of its two ways a browser has. */

import type { FrameMetadata } from './sei.js';
import { type EncodedVideoFrame, reading, type TransformInit, writing } from './sei-transform.js';
import SeiWorker from './sei-worker.ts?worker&inline';

type Endpoint = RTCRtpSender | RTCRtpReceiver;
type Streams = {
  readable: ReadableStream<EncodedVideoFrame>;
  writable: WritableStream<EncodedVideoFrame>;
};
/** The way before the standard one, in Chromium up to 140. */
type Insertable = Endpoint & { createEncodedStreams?(): Streams };

const hasScriptTransform = (): boolean => 'RTCRtpScriptTransform' in globalThis;

const hasEncodedStreams = (): boolean =>
  'createEncodedStreams' in (globalThis.RTCRtpSender?.prototype ?? {});

/** Whether this browser lets a page touch the frames at all. */
export const canTransform = (): boolean => hasScriptTransform() || hasEncodedStreams();

/** What the peer connection must be made with, so that frames can be touched. */
export function transformConfiguration(): { encodedInsertableStreams?: boolean } {
  return hasScriptTransform() ? {} : { encodedInsertableStreams: true };
}

/** The transforms of one peer connection, and the worker that they run in. */
export class FrameTransforms {
  readonly #usesStreams: boolean;
  #worker: Worker | undefined;
  readonly #ports: MessagePort[] = [];

  /** @param configuration that of the peer connection: a browser allows one of the two ways only. */
  constructor(configuration: { encodedInsertableStreams?: boolean }) {
    this.#usesStreams = configuration.encodedInsertableStreams === true && hasEncodedStreams();
  }

  /** The returned function hands a unit to the frames that this sender sends. */
  write(sender: RTCRtpSender): (unit: Uint8Array) => void {
    const port = this.#attach(sender, 'send');
    return (unit) => port.postMessage(unit);
  }

  read(receiver: RTCRtpReceiver, found: (metadata: FrameMetadata) => void): void {
    const port = this.#attach(receiver, 'receive');
    port.onmessage = ({ data }: MessageEvent<FrameMetadata>) => found(data);
  }

  /** With encoded streams, media that nobody pipes does not flow. */
  pass(endpoint: Endpoint): void {
    if (!this.#usesStreams) return;
    const streams = (endpoint as Insertable).createEncodedStreams?.();
    streams?.readable.pipeTo(streams.writable).catch(() => undefined);
  }

  close(): void {
    this.#worker?.terminate();
    for (const port of this.#ports) port.close();
  }

  #attach(endpoint: Endpoint, direction: TransformInit['direction']): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#ports.push(port1);
    const init: TransformInit = { direction, port: port2 };
    if (this.#usesStreams) {
      const streams = (endpoint as Insertable).createEncodedStreams?.();
      const transform = direction === 'send' ? writing(port2) : reading(port2);
      streams?.readable
        .pipeThrough(transform)
        .pipeTo(streams.writable)
        .catch(() => undefined);
    } else {
      this.#worker ??= new SeiWorker();
      endpoint.transform = new RTCRtpScriptTransform(this.#worker, init, [port2]);
    }
    return port1;
  }
}
