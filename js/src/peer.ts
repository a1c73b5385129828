import { OptionError, StateError } from './errors.js';
import { extendAnswer, hasTemplate, type Kind, withVideoBandwidth } from './sdp.js';

export interface PeerHandlers {
  stateChanged(state: RTCPeerConnectionState): void;
  tracked(event: RTCTrackEvent): void;
}

interface Extending {
  setHeaderExtensionsToNegotiate(list: { uri: string; direction: string }[]): void;
  getHeaderExtensionsToNegotiate(): { uri: string; direction: string }[];
}

/** The browser's peer connection with the few things that an application does to it. */
export class Peer {
  readonly #connection: RTCPeerConnection;
  readonly #mungeOffer: (sdp: string) => string;
  /** Local negotiations run one after the other: a description belongs to exactly one of them. */
  #negotiations: Promise<unknown> = Promise.resolve();

  /** `mungeOffer` is applied to every offer, because the browser forgets it from one to the next. */
  constructor(
    configuration: RTCConfiguration,
    handlers: PeerHandlers,
    mungeOffer: (sdp: string) => string,
  ) {
    this.#mungeOffer = mungeOffer;
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
    return this.#connection.addTransceiver(trackOrKind, init);
  }

  /** Offers a header extension that the browser knows but does not offer by itself. */
  offerExtension(transceiver: RTCRtpTransceiver, uri: string): void {
    const extending = transceiver as RTCRtpTransceiver & Partial<Extending>;
    const list = extending.getHeaderExtensionsToNegotiate?.();
    if (!list) return;
    extending.setHeaderExtensionsToNegotiate?.(
      list.map((entry) => (entry.uri === uri ? { ...entry, direction: 'sendrecv' } : entry)),
    );
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
   *
   * @throws {OptionError} when the connection was made without that kind of media.
   */
  addReceiver(kind: Kind): Promise<RTCRtpTransceiver> {
    return this.#alone(async () => {
      const { remoteDescription } = this.#connection;
      if (!remoteDescription) throw new StateError('not_connected', 'There is no answer yet');
      if (!hasTemplate(remoteDescription.sdp, kind)) {
        throw new OptionError(`No ${kind} can be added to a view that was made without ${kind}`);
      }
      const transceiver = this.#connection.addTransceiver(kind, { direction: 'recvonly' });
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
  }

  async #offer(): Promise<{ type: 'offer'; sdp: string }> {
    const { sdp } = await this.#connection.createOffer();
    return { type: 'offer', sdp: this.#mungeOffer(sdp ?? '') };
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
