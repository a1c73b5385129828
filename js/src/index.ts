/** Client of a Rostra server: publish to streams, watch them, choose among their sources. */
export type {
  CommonOptions,
  ConnectionEvents,
  ConnectionState,
  MetadataEvent,
} from './connection.js';
export {
  Director,
  type DirectorReply,
  type PublisherRequest,
  type SubscriberRequest,
  type TokenGenerator,
} from './director.js';
export {
  FetchError,
  OptionError,
  SignalingError,
  StateError,
  type StateErrorCode,
} from './errors.js';
export {
  type ActiveEncoding,
  type LayerEntry,
  type LayerFigures,
  type LayersData,
  layersOf,
  type MediaLayers,
  NO_LAYER,
  type SelectedLayer,
} from './layers.js';
export type { Peer, PeerConfiguration } from './peer.js';
export type { PicTimingTimeCode } from './pic-timing.js';
export { Publish, type PublishOptions, type VideoCodec } from './publish.js';
export type { Kind } from './sdp.js';
export type { FrameMetadata } from './sei.js';
export type { BroadcastEvent } from './signal.js';
export { VIEW_EVENTS, View, type ViewOptions } from './view.js';
export {
  type Speaker,
  type SpeakersEvent,
  speakersOf,
  type VoiceEvent,
  vadOf,
} from './voices.js';
export type { LayerInfo, ProjectionMapping } from './wishes.js';
