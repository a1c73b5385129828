/** What the server says; the same shapes as in `spaces/messages.py`. */

export interface User {
  readonly id: string;
  readonly username: string;
}

export interface Participant extends User {
  readonly muted: boolean;
  readonly raisedHand: boolean;
  /** Its connection is lost, and its place is kept for some seconds. */
  readonly away: boolean;
  /** The host asked it to speak, and it has not answered. */
  readonly invited: boolean;
}

export interface Room {
  readonly id: string;
  readonly name: string;
  readonly ownerId: string;
  readonly audioOnly: boolean;
  readonly participants: readonly Participant[];
  readonly speakers: readonly string[];
}

export interface Welcome {
  readonly user: User;
  readonly secret: string;
  readonly rooms: readonly Room[];
}

/** A director's answer; its addresses are relative to the page's. */
export interface Token {
  readonly urls: readonly string[];
  readonly jwt: string;
  readonly iceServers: RTCIceServer[];
}

export interface Joined {
  readonly room: Room;
  readonly viewerToken?: Token;
  readonly publisherToken?: Token;
}

export type ServerEvent =
  | { readonly event: 'room-created'; readonly room: Room }
  | { readonly event: 'room-deleted'; readonly roomId: string }
  | { readonly event: 'user-joined'; readonly roomId: string; readonly user: User }
  | { readonly event: 'user-left'; readonly roomId: string; readonly userId: string }
  | {
      readonly event: 'user-away';
      readonly roomId: string;
      readonly userId: string;
      readonly away: boolean;
    }
  | {
      readonly event: 'user-raised-hand';
      readonly roomId: string;
      readonly userId: string;
      readonly raised: boolean;
    }
  | {
      readonly event: 'user-promoted';
      readonly roomId: string;
      readonly userId: string;
      readonly promoted: boolean;
    }
  | {
      readonly event: 'user-muted';
      readonly roomId: string;
      readonly userId: string;
      readonly muted: boolean;
    }
  | {
      readonly event: 'user-invited';
      readonly roomId: string;
      readonly userId: string;
      readonly invited: boolean;
    }
  | {
      readonly event: 'invited' | 'promoted' | 'demoted' | 'kicked' | 'muted';
      readonly roomId: string;
    };
