import { css } from 'lit';

/** What all parts of the page share. Everything that is tapped is at least 48 pixels high. */
export const shared = css`
  :host {
    display: block;
  }
  *,
  *::before,
  *::after {
    box-sizing: border-box;
  }
  [hidden] {
    display: none !important;
  }
  h1,
  h2,
  h3,
  p,
  ul {
    margin: 0;
    padding: 0;
  }
  ul {
    list-style: none;
  }
  button {
    font: inherit;
    font-weight: 600;
    color: var(--text);
    background: var(--raised);
    border: 1px solid transparent;
    border-radius: 999px;
    min-block-size: 3rem;
    padding: 0 1.2rem;
    display: inline-flex;
    gap: 0.5rem;
    align-items: center;
    justify-content: center;
    cursor: pointer;
    touch-action: manipulation;
  }
  @media (hover: hover) {
    button:hover {
      border-color: color-mix(in srgb, currentColor 35%, transparent);
    }
  }
  button:active {
    transform: scale(0.98);
  }
  button.main {
    background: var(--accent);
    color: var(--on-accent);
  }
  button.bad {
    background: var(--bad-ground);
    color: var(--bad);
  }
  button.round {
    padding: 0;
    inline-size: 3rem;
  }
  button:disabled {
    opacity: 0.55;
    cursor: default;
  }
  input[type='text'] {
    font: inherit;
    font-size: 1.05rem;
    color: var(--text);
    background: var(--card);
    border: 1.5px solid color-mix(in srgb, var(--faint) 75%, transparent);
    border-radius: 0.9rem;
    min-block-size: 3.2rem;
    padding: 0 1rem;
    inline-size: 100%;
    min-inline-size: 0;
  }
  input[type='text']:focus {
    border-color: var(--accent);
  }
  :focus-visible {
    outline: 3px solid var(--accent);
    outline-offset: 3px;
  }
  svg {
    inline-size: 1.35em;
    block-size: 1.35em;
    flex: none;
  }
  .faint {
    color: var(--faint);
  }
  .unseen {
    position: absolute;
    inline-size: 1px;
    block-size: 1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
  dialog {
    border: 0;
    padding: 1.5rem 1.3rem calc(1.3rem + env(safe-area-inset-bottom));
    inline-size: min(100%, 30rem);
    max-inline-size: 100%;
    margin: auto auto 0;
    border-radius: 1.6rem 1.6rem 0 0;
    background: var(--card);
    color: var(--text);
    box-shadow: 0 -8px 40px rgb(0 0 0 / 0.25);
  }
  dialog::backdrop {
    background: rgb(12 8 24 / 0.5);
  }
  @media (min-width: 40rem) {
    dialog {
      margin: auto;
      padding: 1.8rem;
      border-radius: 1.6rem;
    }
  }
  @media (prefers-reduced-motion: no-preference) {
    dialog[open] {
      animation: rise 0.18s ease-out;
    }
    @keyframes rise {
      from {
        transform: translateY(2rem);
        opacity: 0;
      }
    }
  }
`;
