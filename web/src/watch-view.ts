import { css, html, LitElement, nothing } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import { watchedIn, withWatched } from './location.js';
import { NO_SETTINGS, type Settings } from './settings.js';
import { shared } from './styles.js';
import './watch-player.js';

@customElement('watch-view')
export class WatchView extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: grid;
        gap: 1rem;
      }
      form {
        max-inline-size: 34rem;
      }
      .players {
        display: grid;
        gap: 1rem;
        grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
        align-items: start;
      }
      .players.one {
        max-inline-size: 72rem;
      }
    `,
  ];

  @property({ attribute: false }) settings: Settings = NO_SETTINGS;
  @state() private streams: string[] = watchedIn(location.search);

  override render() {
    return html`
      <form @submit=${this.#add} aria-label="Watch">
        <label>Stream<input name="stream" required maxlength="128" value="demo" /></label>
        <button class="main">Watch</button>
      </form>
      ${
        this.streams.length === 0
          ? html`<p class="quiet">Name a stream to watch. Several can be watched side by side.</p>`
          : nothing
      }
      <div class="players ${this.streams.length === 1 ? 'one' : ''}">
        ${repeat(
          this.streams,
          (stream) => stream,
          (stream) => html`<watch-player
            .stream=${stream}
            .settings=${this.settings}
            @ended=${() => this.#show(this.streams.filter((one) => one !== stream))}
          ></watch-player>`,
        )}
      </div>
    `;
  }

  #add(event: SubmitEvent): void {
    event.preventDefault();
    const stream = String(new FormData(event.target as HTMLFormElement).get('stream')).trim();
    if (stream && !this.streams.includes(stream)) this.#show([...this.streams, stream]);
  }

  /** The address names what is watched, so it can be sent to somebody or reloaded. */
  #show(streams: string[]): void {
    this.streams = streams;
    const search = withWatched(location.search, streams);
    history.replaceState(null, '', `${location.pathname}${search}#watch`);
  }
}
