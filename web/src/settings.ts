/** What a server in development mode tells its own page; elsewhere the person types it. */
export interface Settings {
  accountId: string;
  publishToken: string;
  subscribeToken: string;
  /** Allows to ask what comes in, and why a viewer has no picture; empty when it is not known. */
  apiSecret: string;
  version: string;
}

export const NO_SETTINGS: Settings = {
  accountId: '',
  publishToken: '',
  subscribeToken: '',
  apiSecret: '',
  version: '',
};

/** The settings, or `undefined` when the server does not hand out tokens. */
export async function loadSettings(): Promise<Settings | undefined> {
  const response = await fetch('api/dev/settings').catch(() => undefined);
  if (!response?.ok) return undefined;
  const given = (await response.json().catch(() => null)) as Partial<Settings> | null;
  return given ? { ...NO_SETTINGS, ...given } : undefined;
}

/** Where encoders come in beside the page's own port. */
export interface Doors {
  /** `null`: the server takes no RTMP. */
  rtmpPort: number | null;
  /** Encoders on the server's own machine alone reach RTMP. */
  rtmpIsLocal: boolean;
}

export const NO_DOORS: Doors = { rtmpPort: null, rtmpIsLocal: false };

/** A server that does not tell has the page's own port alone. */
export async function loadDoors(): Promise<Doors> {
  const response = await fetch('api/doors').catch(() => undefined);
  const given = response?.ok ? ((await response.json().catch(() => null)) as Doors | null) : null;
  return { rtmpPort: given?.rtmpPort ?? null, rtmpIsLocal: given?.rtmpIsLocal ?? false };
}
