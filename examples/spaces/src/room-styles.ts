import { css } from 'lit';

/** How the room looks: one column on a phone, two on a desktop. */
export const room = css`
:host {
  --bar: calc(5.4rem + env(safe-area-inset-bottom));
  min-block-size: 100dvh;
  padding-block-end: var(--bar);
}
header {
  position: sticky;
  inset-block-start: 0;
  z-index: 2;
  display: flex;
  gap: 0.8rem;
  align-items: center;
  justify-content: space-between;
  padding: calc(0.8rem + env(safe-area-inset-top)) max(1.1rem, (100% - 75.8rem) / 2) 0.7rem;
  background: color-mix(in srgb, var(--ground) 88%, transparent);
  backdrop-filter: blur(14px);
}
header div {
  min-inline-size: 0;
}
h1 {
  font-size: 1.25rem;
  line-height: 1.2;
  letter-spacing: -0.015em;
  overflow: hidden;
  text-overflow: ellipsis;
  display: -webkit-box;
  -webkit-box-orient: vertical;
  -webkit-line-clamp: 2;
}
header p {
  font-size: 0.92rem;
}
header .link {
  margin-inline-start: auto;
  flex: none;
}
header .count {
  display: inline-flex;
  gap: 0.35rem;
  align-items: center;
  font-weight: 600;
  white-space: nowrap;
  padding: 0.3rem 0.8rem;
  border-radius: 999px;
  background: var(--raised);
}
main {
  display: grid;
  gap: 1.3rem;
  padding: 0.3rem 1.1rem 1.5rem;
  max-inline-size: 78rem;
  margin-inline: auto;
  align-items: start;
  grid-template-columns: minmax(0, 1fr);
}
@media (min-width: 60rem) {
  header {
    padding-inline: max(2rem, (100% - 74rem) / 2);
  }
  main {
    padding-inline: max(2rem, (100% - 74rem) / 2);
    max-inline-size: none;
    gap: 2rem;
    grid-template-columns: minmax(0, 1.9fr) minmax(19rem, 1fr);
  }
  main.voices {
    grid-template-columns: minmax(0, 1.5fr) minmax(19rem, 1fr);
  }
}
.side,
.stage {
  display: grid;
  gap: 1.3rem;
}
.picture {
  position: relative;
  border-radius: 1.4rem;
  overflow: hidden;
  background: #0d0b13;
  aspect-ratio: 16 / 9;
  max-block-size: 62vh;
  inline-size: 100%;
  outline: 3px solid transparent;
  outline-offset: -3px;
}
.picture.talks {
  outline-color: var(--talk);
}
.picture video {
  display: block;
  inline-size: 100%;
  block-size: 100%;
  object-fit: cover;
}
.picture.own video {
  transform: scaleX(-1);
}
.picture .nobody {
  position: absolute;
  inset: 0;
  display: grid;
  gap: 0.8rem;
  place-content: center;
  justify-items: center;
  color: #d9d3e8;
  text-align: center;
  padding: 1rem;
}
.picture .name {
  position: absolute;
  inset: auto auto 0.7rem 0.7rem;
  display: flex;
  gap: 0.35rem;
  align-items: center;
  max-inline-size: calc(100% - 1.4rem);
  padding: 0.25rem 0.75rem;
  border-radius: 999px;
  color: #fff;
  background: rgb(10 8 16 / 0.62);
  font-size: 0.95rem;
  font-weight: 600;
}
section h2 {
  display: flex;
  align-items: baseline;
  gap: 0.5rem;
  font-size: 0.95rem;
  color: var(--faint);
  font-weight: 600;
  margin-block-end: 0.9rem;
}
.people {
  display: grid;
  gap: 1.1rem 0.5rem;
  grid-template-columns: repeat(auto-fill, minmax(5.4rem, 1fr));
}
.listeners .people {
  grid-template-columns: repeat(auto-fill, minmax(4.6rem, 1fr));
}
.person {
  display: grid;
  gap: 0.75rem;
  justify-items: center;
  align-content: start;
  inline-size: 100%;
  padding: 0.3rem 0.1rem;
  border-radius: 1.2rem;
  background: none;
  text-align: center;
  font-weight: 500;
  font-size: 0.95rem;
}
.listeners .person {
  font-size: 0.85rem;
}
.listeners spaces-face {
  --size: 3.4rem;
}
.person .called {
  display: flex;
  gap: 0.2rem;
  justify-content: center;
  align-items: center;
  max-inline-size: 100%;
}
.person .called span:not(.unseen) {
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}
.called svg,
.name svg {
  inline-size: 1em;
  block-size: 1em;
  color: var(--hand);
}
.name svg {
  color: #ffc24d;
}
.hands {
  padding: 1rem 1.1rem;
  border-radius: 1.4rem;
  background: var(--hand-ground);
}
.hands h2 {
  color: var(--hand);
}
.hands li {
  display: flex;
  gap: 0.7rem;
  align-items: center;
}
.hands li + li {
  margin-block-start: 0.6rem;
}
.hands spaces-face {
  --size: 2.7rem;
}
.hands .called {
  flex: 1;
  min-inline-size: 0;
  font-weight: 600;
  overflow: hidden;
  text-overflow: ellipsis;
}
.hands .round {
  background: var(--card);
}
.hands .round.yes {
  background: var(--accent);
  color: var(--on-accent);
}
.ask {
  display: grid;
  gap: 0.8rem;
  padding: 1.1rem;
  border-radius: 1.4rem;
  background: color-mix(in srgb, var(--accent) 14%, var(--card));
  font-weight: 600;
}
.ask div {
  display: flex;
  flex-wrap: wrap;
  gap: 0.6rem;
}
nav {
  position: fixed;
  inset: auto 0 0 0;
  z-index: 2;
  display: flex;
  gap: 0.7rem;
  align-items: center;
  justify-content: center;
  padding: 0.8rem 1.1rem calc(0.9rem + env(safe-area-inset-bottom));
  background: color-mix(in srgb, var(--card) 92%, transparent);
  backdrop-filter: blur(14px);
  border-block-start: 1px solid var(--line);
}
nav button {
  min-block-size: 3.5rem;
}
nav .round {
  inline-size: 3.5rem;
  flex: none;
}
nav .wide {
  flex: 0 1 17rem;
  font-size: 1.05rem;
}
nav .hostless {
  flex: 0 1 20rem;
}
nav .hand-up {
  background: var(--hand-ground);
  color: var(--hand);
}
nav .live {
  background: color-mix(in srgb, var(--talk) 18%, var(--card));
  color: var(--talk);
}
.sheet {
  display: grid;
  gap: 0.6rem;
}
.sheet .head {
  display: flex;
  gap: 0.9rem;
  align-items: center;
  margin-block-end: 0.6rem;
}
.sheet h2 {
  font-size: 1.25rem;
  overflow-wrap: anywhere;
}
.sheet .head spaces-face {
  --size: 3.6rem;
}
.sheet button {
  min-block-size: 3.4rem;
}
`;
