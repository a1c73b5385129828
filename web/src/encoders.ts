/** How each kind of encoder connects: addresses, keys and commands, as pure text. */

export interface Where {
  /** Of the page: `http://host:8080`. */
  readonly origin: string;
  /** `null` when the server takes no RTMP. */
  readonly rtmpPort: number | null;
  /** Encoders on the server's own machine alone reach RTMP. */
  readonly rtmpIsLocal: boolean;
}

export interface What {
  readonly accountId: string;
  readonly stream: string;
  /** Empty is the main source. */
  readonly source: string;
  /** Empty when it is not known: then a placeholder stands for it. */
  readonly publishToken: string;
  readonly subscribeToken: string;
}

export interface Field {
  readonly name: string;
  readonly value: string;
}

/** One way in. Everything that holds the token is a function of it, so that it can be shown masked. */
export interface Way {
  readonly id: string;
  readonly name: string;
  readonly fields: (token: string) => readonly Field[];
  /** Missing where the fields are all that is typed. */
  readonly command?: { readonly label: string; readonly text: (token: string) => string };
  readonly advice: string;
}

export const MASK = '••••••••';
const PLACE_OF_TOKEN = 'YOUR_TOKEN';
const PLACE_OF_ACCOUNT = 'YOUR_ACCOUNT';

/** One word of a POSIX shell. */
export const shellQuoted = (text: string): string =>
  /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

/** A part of a URL; stricter than `encodeURIComponent`, for encoders that split at any punctuation. */
export const urlQuoted = (text: string): string =>
  encodeURIComponent(text).replace(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );

const query = (...parameters: readonly [string, string][]): string => {
  const given = parameters.filter(([, value]) => value !== '');
  const text = given.map(([key, value]) => `${key}=${urlQuoted(value)}`).join('&');
  return text && `?${text}`;
};

/** The mask is for people, and so stays as it is. */
const tokenIn = (token: string): string => (token === MASK ? token : urlQuoted(token));

const secretIn = (text: string): string => (text === MASK ? `"${MASK}"` : shellQuoted(text));

const TEST_PICTURE = [
  '-re -f lavfi -i testsrc2=size=1280x720:rate=30',
  '-f lavfi -i sine=frequency=440:sample_rate=48000',
  '-c:v libx264 -preset veryfast -tune zerolatency',
  '-pix_fmt yuv420p -bf 0 -g 60 -b:v 2500k',
];

const lines = (...parts: readonly string[]): string => parts.join(' \\\n  ');

const H264 = 'H264 without B-frames, a key frame every 2 seconds, 2500 kb/s for 720p30.';

const SHELL = 'The command is for the shells of Linux, macOS and WSL.';

/** All ways in, and one out, that this server has. */
export function waysOf(page: Where, what: What): Way[] {
  const where = { ...page, origin: reachable(page.origin) };
  const source = query(['sourceId', what.source]);
  const whip = `${where.origin}/api/whip/${urlQuoted(what.stream)}${source}`;
  const whipFields = (token: string): Field[] => [
    { name: 'Server', value: whip },
    { name: 'Bearer token', value: token },
  ];
  const account = what.accountId || PLACE_OF_ACCOUNT;
  const whep = `${where.origin}/api/whep/${urlQuoted(account)}/${urlQuoted(what.stream)}${source}`;
  const rtmp = rtmpOf(where, what);
  const offer = (url: string, token: string): string =>
    lines(
      `curl -X POST -H 'Content-Type: application/sdp'`,
      ...(token === '' ? [] : [`-H ${secretInHeader(token)}`]),
      `--data-binary @offer.sdp ${shellQuoted(url)}`,
    );
  const ways: (Way | undefined)[] = [
    {
      id: 'obs-whip',
      name: 'OBS, WHIP',
      fields: whipFields,
      advice: `OBS 30 or newer, Settings → Stream → Service: WHIP. ${H264} Set B-frames to 0 and the sound to Opus.`,
    },
    rtmp && {
      id: 'obs-rtmp',
      name: 'OBS, RTMP',
      fields: rtmp.fields,
      advice: `Settings → Stream → Service: Custom. Keyframe interval 2 s, profile baseline or B-frames 0, tune zerolatency, sound AAC at 48 kHz. ${H264}${rtmp.reach}`,
    },
    rtmp && {
      id: 'ffmpeg-rtmp',
      name: 'ffmpeg, RTMP',
      fields: rtmp.fields,
      command: {
        label: 'Command, with a test picture',
        text: (token) =>
          lines(
            `ffmpeg ${TEST_PICTURE[0]}`,
            ...TEST_PICTURE.slice(1),
            '-c:a aac -b:a 128k',
            `-f flv ${rtmp.quoted(token)}`,
          ),
      },
      advice: `Any ffmpeg. ${H264} Sound as AAC. -bf 0 and -g 60 are what matters. ${SHELL}${rtmp.reach}`,
    },
    {
      id: 'ffmpeg-whip',
      name: 'ffmpeg, WHIP',
      fields: whipFields,
      command: {
        label: 'Command, with a test picture',
        text: (token) =>
          lines(
            `ffmpeg ${TEST_PICTURE[0]}`,
            ...TEST_PICTURE.slice(1),
            '-profile:v baseline -c:a libopus -ar 48000 -ac 2 -b:a 96k',
            `-f whip -authorization ${secretIn(token)} ${shellQuoted(whip)}`,
          ),
      },
      advice: `FFmpeg 8 or newer, built with its WHIP muxer. ${H264} Sound as Opus, 48 kHz, stereo. ${SHELL}`,
    },
    {
      id: 'gstreamer',
      name: 'GStreamer',
      fields: whipFields,
      command: {
        label: 'Command, with a test picture',
        text: (token) =>
          lines(
            'gst-launch-1.0 whipclientsink name=out',
            `signaller::whip-endpoint=${shellQuoted(whip)} signaller::auth-token=${secretIn(token)}`,
            'videotestsrc is-live=true ! video/x-raw,width=1280,height=720,framerate=30/1 ! videoconvert ! out.',
            'audiotestsrc is-live=true ! audioconvert ! audioresample ! out.',
          ),
      },
      advice:
        'whipclientsink is in gst-plugins-rs. Without it, webrtcbin makes the offer and the program posts it to the same address. ' +
        `x264enc wants bframes=0 key-int-max=60 tune=zerolatency. ${SHELL}`,
    },
    {
      id: 'browser',
      name: 'Browser',
      fields: whipFields,
      command: {
        label: 'Script of a page, with our SDK',
        text: (token) => browserScript(where, what, token),
      },
      advice:
        'Opus sound; VP8, H264, VP9 or AV1. Browsers send key frames when they are asked, and give their camera to https and localhost pages only. ' +
        'Whoever opens such a page can read the token in it: it is for pages of your own.',
    },
    {
      id: 'whip',
      name: 'Other WHIP',
      fields: whipFields,
      command: {
        label: 'The request that a client makes',
        text: (token) => offer(whip, token),
      },
      advice: `RFC 9725. A client that can send no header puts ?auth=TOKEN into the address. ${H264} Sound as Opus.`,
    },
    rtmp && {
      id: 'rtmp',
      name: 'Other RTMP',
      fields: rtmp.fields,
      command: { label: 'Server and key in one', text: rtmp.url },
      advice: `Hardware and software encoders. ${H264} Sound as AAC at 44.1 or 48 kHz.${rtmp.reach}`,
    },
    {
      id: 'whep',
      name: 'Viewers, WHEP',
      fields: (token) => [
        { name: 'Address', value: whep },
        ...(token === '' ? [] : [{ name: 'Bearer token', value: token }]),
      ],
      command: {
        label: 'The request that a player makes',
        text: (token) => offer(whep, token),
      },
      advice: `For players that speak WHEP. H264 and Opus reach all of them.${what.subscribeToken === '' ? ' Streams that are not public want a subscribe token as bearer.' : ''}`,
    },
  ];
  return ways.filter((way) => way !== undefined);
}

/** The token of a way, or what stands for it. Viewers may need none. */
export function tokenOf(way: Way, what: What): string {
  if (way.id === 'whep') return what.subscribeToken;
  return what.publishToken || PLACE_OF_TOKEN;
}

function rtmpOf({ origin, rtmpPort, rtmpIsLocal }: Where, { stream, source }: What) {
  if (rtmpPort === null) return undefined;
  const host = new URL(origin).hostname;
  const server = `rtmp://${host}${rtmpPort === 1935 ? '' : `:${rtmpPort}`}/v2/pub`;
  // The token is last: what follows the name of a file with an ending that they know, some encoders rename.
  const key = (token: string): string => {
    const start = `${urlQuoted(stream)}${query(['sourceId', source])}`;
    return `${start}${start.includes('?') ? '&' : '?'}token=${tokenIn(token)}`;
  };
  const url = (token: string): string => `${server}/${key(token)}`;
  const quoted = (token: string): string =>
    token === MASK ? `'${url(token)}'` : shellQuoted(url(token));
  const fields = (token: string): Field[] => [
    { name: 'Server', value: server },
    { name: 'Stream key', value: key(token) },
  ];
  const reach =
    rtmpIsLocal && !isLoopback(host)
      ? ` This server takes RTMP from its own machine alone; rostra dev --rtmp 0.0.0.0:${rtmpPort} lets other machines in.`
      : '';
  return { key, url, quoted, fields, reach };
}

/** Some browsers open a page at an address that is one to listen on alone; encoders do not. */
const reachable = (origin: string): string =>
  origin.replace(/\/\/0\.0\.0\.0(?=:|$)/, '//127.0.0.1').replace(/\/\/\[::\](?=:|$)/, '//[::1]');

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '[::1]' || /^127(\.\d+){3}$/.test(host);

const secretInHeader = (token: string): string =>
  token === MASK
    ? `'Authorization: Bearer ${MASK}'`
    : shellQuoted(`Authorization: Bearer ${token}`);

/** A literal that is safe within a script element, too. */
const literal = (value: string): string => JSON.stringify(value).replaceAll('<', '\\u003c');

function browserScript({ origin }: Where, { stream, source }: What, token: string): string {
  return `import { Director, Publish } from ${literal(`${origin}/sdk/rostra.js`)};
Director.setEndpoint(${literal(`${origin}/`)});
const publish = new Publish(() =>
  Director.getPublisher({ token: ${literal(token)}, streamName: ${literal(stream)} }));
const mediaStream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
await publish.connect({ mediaStream, sourceId: ${source === '' ? 'null' : literal(source)}, codec: 'h264' });`;
}
