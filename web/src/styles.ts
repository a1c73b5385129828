import { css } from 'lit';

export const shared = css`
  :host {
    display: block;
  }
  :host([hidden]),
  [hidden] {
    display: none !important;
  }
  h2 {
    font-size: 1.05rem;
    margin: 0;
    overflow-wrap: anywhere;
  }
  .card {
    background: var(--card);
    border: 1px solid var(--line);
    border-radius: 12px;
    padding: 1rem;
  }
  form,
  .fields {
    display: flex;
    flex-wrap: wrap;
    gap: 0.75rem;
    align-items: end;
  }
  label {
    display: grid;
    gap: 0.2rem;
    font-size: 0.85rem;
    color: var(--faint);
    flex: 1 1 9rem;
  }
  label.check {
    display: flex;
    gap: 0.45rem;
    align-items: center;
    flex: 0 0 auto;
    min-height: 2.4rem;
    color: var(--text);
  }
  input,
  select,
  button {
    font: inherit;
    color: var(--text);
    background: var(--ground);
    border: 1px solid var(--line);
    border-radius: 8px;
    min-height: 2.4rem;
    padding: 0 0.7rem;
    min-width: 0;
    box-sizing: border-box;
  }
  input[type='checkbox'] {
    min-height: 0;
    inline-size: 1.1rem;
    block-size: 1.1rem;
    margin: 0;
    accent-color: var(--accent);
  }
  button {
    cursor: pointer;
    font-weight: 600;
  }
  button:hover {
    border-color: var(--accent);
  }
  button.main {
    background: var(--accent);
    border-color: var(--accent);
    color: var(--on-accent);
    padding-inline: 1.3rem;
  }
  button.main:hover {
    filter: brightness(1.1);
  }
  :focus-visible {
    outline: 3px solid var(--accent);
    outline-offset: 2px;
  }
  video {
    display: block;
    inline-size: 100%;
    aspect-ratio: 16 / 9;
    object-fit: contain;
    background: #000;
    border-radius: 8px;
  }
  .head {
    display: flex;
    gap: 0.6rem;
    align-items: center;
    justify-content: space-between;
  }
  .facts {
    display: flex;
    flex-wrap: wrap;
    gap: 0.15rem 0.9rem;
    font-size: 0.85rem;
    color: var(--faint);
    font-variant-numeric: tabular-nums;
    min-height: 1.25rem;
  }
  .state {
    display: inline-flex;
    gap: 0.4rem;
    align-items: center;
    color: var(--text);
  }
  .state::before {
    content: '';
    inline-size: 0.6rem;
    block-size: 0.6rem;
    border-radius: 50%;
    background: var(--faint);
  }
  .state.good::before {
    background: var(--good);
  }
  .state.warn::before {
    background: var(--warn);
  }
  .state.bad::before {
    background: var(--bad);
  }
  .talks {
    box-shadow: inset 0 0 0 2px var(--good);
  }
  .trouble {
    margin: 0;
    color: var(--bad);
    font-size: 0.9rem;
  }
  .quiet {
    color: var(--faint);
  }
  .quiet a {
    color: var(--accent);
  }
`;
