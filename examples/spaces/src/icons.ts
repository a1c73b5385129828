import { html, svg, type TemplateResult } from 'lit';

const DRAWINGS = {
  mic: svg`<rect x="9" y="3" width="6" height="11" rx="3" /><path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3" />`,
  'mic-off': svg`<path d="M9 9.5V11a3 3 0 0 0 5 2.2M15 9.5V6a3 3 0 0 0-5.8-1.1M5.5 11.5a6.5 6.5 0 0 0 10.6 5M18.5 11.5a6.6 6.6 0 0 1-.5 2.5M12 18v3M4 3.5l16 17" />`,
  hand: svg`<path d="M8 12.5V6a1.5 1.5 0 0 1 3 0v5V4.5a1.5 1.5 0 0 1 3 0V11V6a1.5 1.5 0 0 1 3 0v8.5c0 3.6-2.4 6-5.7 6-2.6 0-4-1-5.3-3.2L3.9 13.6a1.5 1.5 0 0 1 2.5-1.6L8 14" />`,
  leave: svg`<path d="M14 4H7a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h7M10.5 12H20m-3.5-3.5L20 12l-3.5 3.5" />`,
  camera: svg`<rect x="3" y="6.5" width="12" height="11" rx="2.5" /><path d="m15 11 6-3.2v8.4L15 13" />`,
  'camera-off': svg`<path d="M8 6.5h4.5A2.5 2.5 0 0 1 15 9v2l6-3.2v8.4l-3-1.6M14.5 16.7a2.5 2.5 0 0 1-2 .8h-7A2.5 2.5 0 0 1 3 15V9a2.5 2.5 0 0 1 1.7-2.4M4 3.5l16 17" />`,
  check: svg`<path d="m5 12.5 4.5 4.5L19 7.5" />`,
  close: svg`<path d="m6 6 12 12M18 6 6 18" />`,
  down: svg`<path d="M12 5v13m-5-5 5 5 5-5" />`,
  link: svg`<path d="M10 14a4 4 0 0 0 5.700 0l3-3A4 4 0 0 0 13 5.300l-1 1M14 10a4 4 0 0 0-5.700 0l-3 3A4 4 0 0 0 11 18.700l1-1" />`,
  plus: svg`<path d="M12 5v14M5 12h14" />`,
  sound: svg`<path d="M4 10v4h3l5 4V6L7 10H4Zm11.5-1.5a5 5 0 0 1 0 7M18 6a8.5 8.5 0 0 1 0 12" />`,
  star: svg`<path fill="currentColor" d="m12 4.2 2.3 4.9 5.3.7-3.9 3.7 1 5.3L12 16.200l-4.700 2.600 1-5.300-3.900-3.700 5.300-.7Z" />`,
  people: svg`<circle cx="9" cy="8.500" r="3.200" /><path d="M3 19c.4-3.400 2.700-5.300 6-5.300s5.600 1.900 6 5.300M15.500 5.600a3.200 3.200 0 0 1 0 5.800M17.500 14.200c2 .7 3.200 2.400 3.500 4.800" />`,
} as const;

export type Icon = keyof typeof DRAWINGS;

/** A drawing in the colour of the text beside it, which says what it means. */
export const icon = (name: Icon): TemplateResult => html`
  <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
    ${DRAWINGS[name]}
  </svg>
`;
