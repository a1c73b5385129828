/** Client of a Rostra server: publish to streams, watch them, choose among their sources. */
export type { CommonOptions, ConnectionEvents, ConnectionState } from './connection.js';
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
export type { Peer } from './peer.js';
export { Publish, type PublishOptions, type VideoCodec } from './publish.js';
export type { Kind } from './sdp.js';
export type { BroadcastEvent } from './signal.js';
export { View, type ViewOptions } from './view.js';
export type { LayerInfo, ProjectionMapping } from './wishes.js';
