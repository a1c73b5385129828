import { OptionError, StateError } from './errors.js';
import { FrameTransforms } from './frames.js';
import { extendAnswer, hasTemplate, type Kind, withExtension, withVideoBandwidth } from './sdp.js';
import type { FrameMetadata } from './sei.js';

export interface PeerConfiguration extends RTCConfiguration {
  /** Chromium's way to the frames before `RTCRtpScriptTransform`. */
  encodedInsertableStreams?: boolean;
}

export interface PeerHandlers {
  stateChanged(state: RTCPeerConnectionState): void;
  tracked(event: RTCTrackEvent): void;
}

/** A header extension to offer besides those that the browser offers by itself. */
export interface OfferedExtension {
  readonly uri: string;
  /** Written into the offer where the browser has no way to ask for it. */
  readonly insists: boolean;
}

interface Extending {
  setHeaderExtensionsToNegotiate(list: { uri: string; direction: string }[]): void;
  getHeaderExtensionsToNegotiate(): { uri: string; direction: string }[];
}

/** The browser's peer connection with the few things that an application does to it. */
export class Peer {
  readonly #connection: RTCPeerConnection;
  readonly #mungeOffer: (sdp: string) => string;
  readonly #extensions: readonly OfferedExtension[];
  readonly #frames: FrameTransforms;
  /** Local negotiations run one after the other: a description belongs to exactly one of them. */
  #negotiations: Promise<unknown> = Promise.resolve();

  /** `mungeOffer` is applied to every offer, because the browser forgets it from one to the next. */
  constructor(
    configuration: PeerConfiguration,
    handlers: PeerHandlers,
    mungeOffer: (sdp: string) => string,
    extensions: readonly OfferedExtension[],
  ) {
    this.#mungeOffer = mungeOffer;
    this.#extensions = extensions;
    this.#frames = new FrameTransforms(configuration);
    this.#connection = new RTCPeerConnection(configuration);
    this.#connection.onconnectionstatechange = () =>
      handlers.stateChanged(this.#connection.connectionState);
    this.#connection.ontrack = (event) => handlers.tracked(event);
  }

  /** The browser's own object: statistics, encoded transforms, anything that this class does not do. */
  get peer(): RTCPeerConnection {
    return this.#connection;
  }

  getRTCPeer(): RTCPeerConnection {
    return this.#connection;
  }

  getRTCPeerStatus(): RTCPeerConnectionState {
    return this.#connection.connectionState;
  }

  getSenders(): RTCRtpSender[] {
    return this.#connection.getSenders();
  }

  getReceivers(): RTCRtpReceiver[] {
    return this.#connection.getReceivers();
  }

  getTransceivers(): RTCRtpTransceiver[] {
    return this.#connection.getTransceivers();
  }

  /** The tracks being sent. */
  getTracks(): MediaStreamTrack[] {
    return this.getSenders().flatMap((sender) => sender.track ?? []);
  }

  getStats(): Promise<RTCStatsReport> {
    return this.#connection.getStats();
  }

  /** Sends another track in place of the one of its kind, without the server noticing. */
  async replaceTrack(track: MediaStreamTrack): Promise<void> {
    const transceiver = this.getTransceivers().find(
      (one) => one.direction !== 'recvonly' && one.sender.track?.kind === track.kind,
    );
    if (!transceiver) throw new OptionError(`No ${track.kind} is being sent`);
    await transceiver.sender.replaceTrack(track);
  }

  /** Limits what the video is sent with, in kilobits per second; 0 lifts the limit. */
  async updateBitrate(kbps: number): Promise<void> {
    await this.#alone(async () => {
      const { remoteDescription } = this.#connection;
      if (!remoteDescription) throw new StateError('not_connected', 'There is no answer yet');
      await this.#connection.setLocalDescription(await this.#offer());
      await this.#answer(withVideoBandwidth(remoteDescription.sdp, kbps));
    });
  }

  addTransceiver(
    trackOrKind: MediaStreamTrack | Kind,
    init: RTCRtpTransceiverInit,
  ): RTCRtpTransceiver {
    const transceiver = this.#connection.addTransceiver(trackOrKind, init);
    const extending = transceiver as RTCRtpTransceiver & Partial<Extending>;
    const known = extending.getHeaderExtensionsToNegotiate?.();
    if (known && this.#extensions.length > 0) {
      extending.setHeaderExtensionsToNegotiate?.(
        known.map((entry) =>
          this.#extensions.some(({ uri }) => uri === entry.uri)
            ? { ...entry, direction: 'sendrecv' }
            : entry,
        ),
      );
    }
    return transceiver;
  }

  /** Hands the metadata in the received frames of a transceiver to `found`. */
  readMetadata(transceiver: RTCRtpTransceiver, found: (metadata: FrameMetadata) => void): void {
    this.#frames.read(transceiver.receiver, found);
  }

  /** The returned function puts a unit behind the next frame of every encoding that is sent. */
  writeMetadata(transceiver: RTCRtpTransceiver): (unit: Uint8Array) => void {
    return this.#frames.write(transceiver.sender);
  }

  /** Lets the frames of a transceiver pass where the way to them was opened for the sake of others. */
  passFrames({ direction, sender, receiver }: RTCRtpTransceiver): void {
    this.#frames.pass(direction === 'recvonly' ? receiver : sender);
  }

  /** The first negotiation: `exchange` takes the offer to the server and brings the answer. */
  negotiate(exchange: (offer: string) => Promise<string>): Promise<void> {
    return this.#alone(async () => {
      const offer = await this.#offer();
      // The offer goes out without candidates, so nothing is gained by waiting for the browser.
      const [answer] = await Promise.all([
        exchange(offer.sdp),
        this.#connection.setLocalDescription(offer),
      ]);
      await this.#answer(answer);
    });
  }

  /**
   * One more receiver, negotiated with ourselves: the server meets its mid in the first `project`.
   * `added` sees it before it is negotiated.
   *
   * @throws {OptionError} when the connection was made without that kind of media.
   */
  addReceiver(
    kind: Kind,
    added: (transceiver: RTCRtpTransceiver) => void,
  ): Promise<RTCRtpTransceiver> {
    return this.#alone(async () => {
      const { remoteDescription } = this.#connection;
      if (!remoteDescription) throw new StateError('not_connected', 'There is no answer yet');
      if (!hasTemplate(remoteDescription.sdp, kind)) {
        throw new OptionError(`No ${kind} can be added to a view that was made without ${kind}`);
      }
      const transceiver = this.addTransceiver(kind, { direction: 'recvonly' });
      added(transceiver);
      const offer = await this.#offer();
      await this.#connection.setLocalDescription(offer);
      await this.#answer(extendAnswer(remoteDescription.sdp, offer.sdp));
      return transceiver;
    });
  }

  close(): void {
    this.#connection.onconnectionstatechange = null;
    this.#connection.ontrack = null;
    this.#connection.close();
    this.#frames.close();
  }

  async #offer(): Promise<{ type: 'offer'; sdp: string }> {
    const { sdp } = await this.#connection.createOffer();
    const munged = this.#mungeOffer(sdp ?? '');
    return { type: 'offer', sdp: this.#knowsExtensions ? munged : this.#withExtensions(munged) };
  }

  /** The browser has the standard way to offer extensions (W3C webrtc-extensions §5.2). */
  get #knowsExtensions(): boolean {
    return this.getTransceivers().some((one) => 'setHeaderExtensionsToNegotiate' in one);
  }

  #withExtensions(sdp: string): string {
    const asked = this.#extensions.filter(({ insists }) => insists);
    return asked.reduce((text, { uri }) => withExtension(text, uri), sdp);
  }

  #answer(sdp: string): Promise<void> {
    return this.#connection.setRemoteDescription({ type: 'answer', sdp });
  }

  #alone<T>(negotiation: () => Promise<T>): Promise<T> {
    const result = this.#negotiations.then(negotiation);
    this.#negotiations = result.catch(() => undefined);
    return result;
  }
}
